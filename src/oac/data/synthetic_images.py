"""The images of the synthetic release: what stands where, and how it is painted, many images at once.

What an object *is* can be told by its shape and texture alone: fill colours, outline and background are drawn
without looking at the class. Every object has a closed outline and sizes recur, as real objects do for a window
scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ("disk", "square", "triangle", "diamond")
TEXTURES = ("striped", "checked", "dotted", "ringed")
CLASSES = tuple((shape, texture) for shape in SHAPES for texture in TEXTURES)
# One combination of each row and column is rare: no shape and no texture gives a rare class away.
RARE = tuple(i for i, (s, t) in enumerate(CLASSES) if SHAPES.index(s) == TEXTURES.index(t))
FREQUENT = tuple(i for i in range(len(CLASSES)) if i not in RARE)

RARE_SHARE = 0.02  # of the images show one object of a rare class
SINGLE_CLASS_SHARE = 0.1  # of the images show one class only: "at least two classes" drops them
GROUP_SHARE = 0.03  # of the objects are a group under one box
ROOM = 1.1  # an object's cell of the grid, at least, and its patch, as a multiple of its side: it may be turned
VARIATION = 0.06  # of a size, each way


@dataclass(frozen=True)
class Layouts:
    """What stands where in n images: k places each, the unused ones with `label` -1.

    label, side: (n, k) class index and side in pixels; centre: (n, k, 2) x, y in pixels; group: (n, k) bool.
    """

    label: np.ndarray
    side: np.ndarray
    centre: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Design:
    """What images are like.

    size: width and height in pixels. objects: fewest and most of an image. object_sizes: their sides as shares of
    the image's, each of which recurs. gratings: of a background; the more, the more cluttered it is.

    Raises ValueError where the most objects do not fit side by side.
    """

    size: int = 144
    objects: Sequence[int] = (3, 6)
    object_sizes: Sequence[float] = (0.17, 0.22, 0.28)
    gratings: int = 24

    def __post_init__(self) -> None:
        fewest, most = self.objects
        if not 1 <= fewest <= most <= self.cells**2:
            raise ValueError(
                f"{fewest} to {most} objects with sides of up to {max(self.object_sizes):g} of the image's do not"
                f" fit: give a range within 1 to {self.cells**2}"
            )

    @property
    def cells(self) -> int:
        """Cells along a side of the grid that objects stand in, each in its own, so that none covers another."""
        return max(1, int(1 / (max(self.object_sizes) * ROOM * (1 + VARIATION)) + 1e-9))


def compose(rng: np.random.Generator, n: int, design: Design) -> Layouts:
    """Decide which objects stand where in n images."""
    size, grid = design.size, design.cells
    places = grid * grid
    # Two or three classes an image, and every object is one of them.
    palette = rng.permuted(np.tile(FREQUENT, (n, 1)), axis=1)[:, :3]
    classes = np.where(rng.random(n) < SINGLE_CLASS_SHARE, 1, rng.integers(2, 4, n))
    pick = np.minimum((rng.random((n, places)) * classes[:, None]).astype(int), classes[:, None] - 1)
    # Each class of an image is seen at least once, where there are objects enough.
    pick[:, :3] = np.minimum(np.arange(places)[:3], classes[:, None] - 1)
    label = np.take_along_axis(palette, pick, axis=1)
    # An image's last object is the one of a rare class.
    count = rng.integers(design.objects[0], design.objects[1] + 1, n)
    rare = rng.random(n) < RARE_SHARE
    label[rare, count[rare] - 1] = rng.choice(RARE, rare.sum())
    label[np.arange(places) >= count[:, None]] = -1

    side = (
        size * rng.choice(design.object_sizes, (n, places)) * rng.uniform(1 - VARIATION, 1 + VARIATION, (n, places))
    )
    cell = rng.permuted(np.tile(np.arange(places), (n, 1)), axis=1)
    width = size / grid
    slack = np.maximum(width - side * ROOM, 0)[..., None] * rng.uniform(-0.5, 0.5, (n, places, 2))
    centre = np.stack([cell % grid, cell // grid], axis=-1) * width + width / 2 + slack
    # Far enough from the border for a whole object, whatever its turn.
    centre = np.clip(centre, side[..., None] * ROOM / 2, size - side[..., None] * ROOM / 2)
    return Layouts(label, side, centre, rng.random((n, places)) < GROUP_SHARE)


def background(rng: np.random.Generator, n: int, size: int, gratings: int) -> np.ndarray:
    """Draw n cluttered backgrounds, (n, size, size, 3) in [0, 1]: soft colour fields under windowed gratings.

    A grating under a Gaussian window is a sum of two products of a row and a column function, so all of them
    are one batched matrix product.
    """
    fields = np.zeros((n, size, size, 3), np.float32)
    for cells, strength in ((3, 0.5), (9, 0.25)):
        knots = _uniform(rng, -strength, strength, (n, cells, cells, 3))
        weights = _interpolation(cells, size)
        fields += np.einsum("xa,nabc,yb->nxyc", weights, knots, weights, optimize=True)
    axis = np.arange(size, dtype=np.float32) / size
    angle = _uniform(rng, 0, np.pi, (n, gratings, 1))
    frequency = 2 * np.pi * _uniform(rng, 4, 16, (n, gratings, 1))
    centre, width = _uniform(rng, 0, 1, (2, n, gratings, 1)), _uniform(rng, 0.05, 0.2, (n, gratings, 1))
    phases = [
        frequency * np.cos(angle) * axis,
        frequency * np.sin(angle) * axis + _uniform(rng, 0, 7, (n, gratings, 1)),
    ]
    windows = [np.exp(-(((axis - c) / width) ** 2) / 2) for c in centre]
    rows = np.concatenate([windows[0] * np.cos(phases[0]), windows[0] * np.sin(phases[0])], axis=1)
    columns = np.concatenate([windows[1] * np.cos(phases[1]), -windows[1] * np.sin(phases[1])], axis=1)
    colour = np.tile(_uniform(rng, -0.25, 0.25, (n, gratings, 3)), (1, 2, 1))
    for channel in range(3):
        fields[..., channel] += np.matmul((columns * colour[..., channel, None]).transpose(0, 2, 1), rows)
    return np.clip(fields + 0.5, 0, 1)


def draw_objects(rng: np.random.Generator, canvas: np.ndarray, layouts: Layouts) -> np.ndarray:
    """Paint the objects of the images into `canvas` (n, size, size, 3); return their tight boxes (n, k, 4) in pixels.

    Boxes are xmin, ymin, xmax, ymax, NaN where a place is empty.
    """
    n, size = canvas.shape[:2]
    image, place = np.nonzero(layouts.label >= 0)
    side, centre = layouts.side[image, place], layouts.centre[image, place]
    patch = min(size, int(np.ceil(layouts.side.max() * ROOM)) + 2)
    corner = np.clip(np.rint(centre - patch / 2).astype(int), 0, size - patch)
    alpha, colour = _render(
        rng, layouts.label[image, place], layouts.group[image, place], side, centre - corner, patch
    )
    boxes = np.full((n, layouts.label.shape[1], 4), np.nan)
    inside = np.greater(alpha, 0.5)
    for axis in (0, 1):  # x, then y
        profile = inside.any(axis=1 + axis)
        boxes[image, place, axis] = corner[:, axis] + profile.argmax(axis=1)
        boxes[image, place, axis + 2] = corner[:, axis] + patch - profile[:, ::-1].argmax(axis=1)
    for i, (x, y), a, c in zip(image, corner, alpha[..., None], colour, strict=True):
        window = canvas[i, y : y + patch, x : x + patch]
        window += a * (c - window)
    return boxes


def _render(
    rng: np.random.Generator,
    label: np.ndarray,
    group: np.ndarray,
    side: np.ndarray,
    centre: np.ndarray,
    patch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Render m objects: coverage (m, patch, patch) and colour (m, patch, patch, 3), both in [0, 1]."""
    m = len(label)
    pixel = np.arange(patch, dtype=np.float32) + 0.5
    x = ((pixel - centre[:, 0, None]) / (side[:, None] / 2)).astype(np.float32)[:, None, :]
    y = ((pixel - centre[:, 1, None]) / (side[:, None] / 2)).astype(np.float32)[:, :, None]
    turn = _uniform(rng, -0.15, 0.15, (m, 1, 1))  # about 9 degrees each way
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    # A group is four small ones close together under one box.
    quarter = group[:, None, None]
    u, v = (np.where(quarter, (w - np.where(w < 0, -0.5, 0.5)) * 2, w) for w in (u, v))
    shape, texture = np.divmod(label, len(TEXTURES))
    distance = _choose(shape, [_disk, _square, _triangle, _diamond], u, v)
    phase = _uniform(rng, 0, 1, (m, 1, 1))
    pattern = _choose(texture, [_stripes, _checks, _dots, _rings], u + phase, v + phase * 0.7, u, v)
    scale = (side / np.where(group, 4, 2)).astype(np.float32)[:, None, None]
    coverage = np.clip((1 - distance) * scale + 0.5, 0, 1)
    edge = np.clip((distance - 1 + 2.2 / scale) * scale + 0.5, 0, 1)[..., None]
    light, dark = _uniform(rng, 0.55, 1, (m, 1, 1, 3)), _uniform(rng, 0, 0.45, (m, 1, 1, 3))
    swap = rng.random((m, 1, 1, 1)) < 0.5
    first, second = np.where(swap, dark, light), np.where(swap, light, dark)
    outline = np.where(rng.random((m, 1, 1, 1)) < 0.5, 0.02, 0.98).astype(np.float32)
    fill = first + (second - first) * pattern[..., None]
    return coverage, fill + (outline - fill) * edge


def _choose(which: np.ndarray, functions: list[Callable[..., np.ndarray]], *arguments: np.ndarray) -> np.ndarray:
    """Evaluate functions[which[i]] on row i of the arguments, a function at a time."""
    result = np.empty_like(arguments[0])
    for index, function in enumerate(functions):
        rows = which == index
        result[rows] = function(*(a[rows] for a in arguments))
    return result


def _disk(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sqrt(u * u + v * v)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) / 0.9


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(v / 0.9, np.abs(u) * 1.1 - (v - 0.9) * 0.55)


def _diamond(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(u) + np.abs(v)


def _stripes(u: np.ndarray, v: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return (np.sin(2 * np.pi * 1.2 * u) > 0).astype(np.float32)


def _checks(u: np.ndarray, v: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return ((np.sin(2 * np.pi * 0.9 * u) > 0) ^ (np.sin(2 * np.pi * 0.9 * v) > 0)).astype(np.float32)


def _dots(u: np.ndarray, v: np.ndarray, *_: np.ndarray) -> np.ndarray:
    return (np.hypot(u * 1.1 % 1 - 0.5, v * 1.1 % 1 - 0.5) < 0.3).astype(np.float32)


def _rings(_u: np.ndarray, _v: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.sin(2 * np.pi * 1.2 * np.hypot(u, v)) > 0).astype(np.float32)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform float32 numbers: twice as fast to compute with as numpy's default of float64."""
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def _interpolation(knots: int, size: int) -> np.ndarray:
    """Weights (size, knots) of linear interpolation between evenly spaced knots."""
    position = np.linspace(0, knots - 1, size, dtype=np.float32)
    return np.clip(1 - np.abs(position[:, None] - np.arange(knots)), 0, 1).astype(np.float32)
