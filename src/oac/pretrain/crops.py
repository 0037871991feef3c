"""Where the two views of a photo are cut: every crop policy of the paper, as pure geometry over a batch.

Section and figure numbers are those of arXiv 2112.00319v1 (figure 2 shows the policies). Boxes come in as shares
of the photo and leave as pixels; both are float arrays with xmin, ymin, xmax, ymax in the last axis. Nothing here
reads a file or holds a random state: the random numbers are an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oac.crop_options import OPTIONS, POLICIES
from oac.pretrain.released import dilate_coordinate, grow_small

TRIES = 10  # attempts at a crop of random shape that fits, as in torchvision's RandomResizedCrop
DRAWS_PER_CROP = 2 * TRIES + 2
DRAWS = 2 * DRAWS_PER_CROP + 2 + 2 * TRIES  # two crops; which box, swap; shift directions and lengths


def _frozen(value: Any) -> Any:
    """Make tuples of lists, which is what YAML and JSON have, at every depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _default(key: str) -> Any:
    return _frozen(OPTIONS[key].default)


@dataclass(frozen=True)
class CropPolicy:
    """How two views are cut: the options of a crop variant. `oac.crop_options` says what each means.

    policy: one of POLICIES. boxes: the proposal source of the object policies.
    """

    policy: str
    boxes: str | None = None
    delta: float = _default("delta")
    shift: tuple[float, float] = _default("shift")
    scale_lower: float | None = _default("scale_lower")
    scale_cap: float = _default("scale_cap")
    scene_scale: tuple[float, float] = _default("scene_scale")
    ratio: tuple[float, float] = _default("ratio")
    dilation: str = _default("dilation")
    scales: tuple[tuple[float, float], tuple[float, float]] | None = _default("scales")
    smallest_box: str = _default("smallest_box")
    items: str = _default("items")
    count: int | None = _default("count")

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> CropPolicy:
        """Read the crop parameters of a recipe (`oac.crop_options.crop_params`)."""
        return cls(**{key: _frozen(value) for key, value in params.items()})

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"unknown crop policy {self.policy!r}: choose one of {', '.join(POLICIES)}")
        if self.needs_boxes and not self.boxes:
            raise ValueError(f"crop policy {self.policy} needs `boxes`: bing, ground_truth or random")
        for key in ("dilation", "smallest_box", "items"):
            if getattr(self, key) not in (known := OPTIONS[key].schema["enum"]):
                raise ValueError(f"{key} is {getattr(self, key)!r}: choose one of {', '.join(known)}")

    @property
    def needs_boxes(self) -> bool:
        """Whether the policy looks at object proposals at all."""
        return self.policy != "scene-scene"


@dataclass(frozen=True)
class Views:
    """Two crops of n photos, in pixels.

    query, key: (n, 4) what is cut; box: (n, 4) the proposal drawn (the whole photo for scene-scene);
    regions: (n, 2, 4) where the first and the second view were cut in, before the swap;
    swapped: (n,) whether the query is the second view.
    """

    query: np.ndarray
    key: np.ndarray
    box: np.ndarray
    regions: np.ndarray
    swapped: np.ndarray


def scale_lower_bound(areas: np.ndarray, cap: float) -> float:
    """s_min = 0.2 / mean proposal size (section 4.1), so that a crop inside a box shows what a scene crop does.

    `areas` are the proposals' shares of their photos. For boxes of 39 % on average, COCO's, this gives 0.51. Where
    proposals are smaller than a fifth of the photo on average the formula exceeds 1 and leaves nothing to crop;
    `cap` bounds it. The paper does not say what it does there.
    """
    if len(areas) == 0:
        raise ValueError("s_min needs proposals and there are none: check the study's box source")
    return float(min(0.2 / np.mean(areas), cap))


def draw_views(
    policy: CropPolicy,
    scale_lower: float,
    proposals: np.ndarray,
    counts: np.ndarray,
    size: np.ndarray,
    u: np.ndarray,
    chosen: np.ndarray | None = None,
) -> Views:
    """Cut two views of n photos.

    scale_lower: s_min in (0, 1]; proposals: (n, k, 4) shares of the photo, of which the first counts[i] are
    valid (n,); size: (n, 2) width and height in pixels; u: (n, DRAWS) in [0, 1); chosen: (n,) which proposal to cut
    around, where items are boxes; None draws one. Only the released code's options cut outside of the photo.
    """
    n = len(size)
    photo = np.concatenate([np.zeros((n, 2)), size], axis=1)
    box = photo
    if policy.needs_boxes:
        drawn = np.minimum((u[:, -1] * counts).astype(int), counts - 1) if chosen is None else chosen
        box = _usable(proposals[np.arange(n), drawn] * np.tile(size, 2), size)
    first, second = _regions(policy, photo, box, size, u[:, 2 * DRAWS_PER_CROP : -2])
    if policy.smallest_box == "released":
        first, second = (region if region is photo else grow_small(region, size) for region in (first, second))
    # A scene view is the same crop in every policy; only crops inside boxes use s_min.
    inside = policy.scales or ((scale_lower, 1.0), (scale_lower, 1.0))
    scales = [
        policy.scene_scale if region is photo else own for region, own in zip((first, second), inside, strict=True)
    ]
    views = np.stack(
        [
            random_crop(first, scales[0], policy.ratio, u[:, :DRAWS_PER_CROP]),
            random_crop(second, scales[1], policy.ratio, u[:, DRAWS_PER_CROP : 2 * DRAWS_PER_CROP]),
        ],
        axis=1,
    )
    swapped = u[:, -2] < 0.5
    rows = np.arange(n)
    query, key = views[rows, swapped.astype(int)], views[rows, 1 - swapped.astype(int)]
    return Views(query, key, box, np.stack([first, second], axis=1), swapped)


def _regions(
    policy: CropPolicy, photo: np.ndarray, box: np.ndarray, size: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the regions that the two views are cut in (section 3, figure 2)."""
    if policy.policy == "scene-scene":
        return photo, photo
    if policy.policy == "object-scene":
        return box, photo
    if policy.policy == "object-object":
        second = box
    elif policy.policy == "object-shift":
        second = shift(box, policy.shift, size, u)
    elif policy.policy != "object-dilate":
        raise ValueError(f"crop policy {policy.policy} has no regions: cut them here")
    elif policy.dilation == "coordinate":
        second = dilate_coordinate(box, policy.delta, size)
    else:
        second = dilate(box, policy.delta, size)
    return box, second


def dilate(box: np.ndarray, delta: float, size: np.ndarray) -> np.ndarray:
    """Move each edge outwards by `delta` times the photo's width or height, and clip to the photo.

    box: (n, 4) pixels; size: (n, 2) pixels. (The released code scales the coordinate instead: `dilate_coordinate`.)
    """
    margin = delta * size
    return np.concatenate([np.maximum(box[:, :2] - margin, 0), np.minimum(box[:, 2:] + margin, size)], axis=1)


def shift(box: np.ndarray, distance: tuple[float, float], size: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Move a box of unchanged size in a random direction by a distance in the range, a share of the mean side.

    Of TRIES directions the first that keeps the box inside the photo is taken; where none does, the last is, and
    the box is pushed back inside. u: (n, 2 * TRIES).
    """
    angle, length = 2 * np.pi * u[:, :TRIES], distance[0] + (distance[1] - distance[0]) * u[:, TRIES:]
    step = (length * size.mean(axis=1, keepdims=True))[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    moved = box[:, None] + np.concatenate([step, step], axis=-1)
    inside = (moved[..., :2] >= 0).all(-1) & (moved[..., 2:] <= size[:, None]).all(-1)
    moved = moved[np.arange(len(box)), np.where(inside.any(1), inside.argmax(1), TRIES - 1)]
    corner = np.clip(moved[:, :2], 0, size - (box[:, 2:] - box[:, :2]))
    return np.concatenate([corner, np.minimum(corner + box[:, 2:] - box[:, :2], size)], axis=1)


def random_crop(
    region: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float], u: np.ndarray
) -> np.ndarray:
    """Cut a crop of random area and shape inside each region, as torchvision's RandomResizedCrop does.

    region: (n, 4) pixels; scale: range of the area, a share of the region's; ratio: range of width / height, drawn
    on a log scale; u: (n, DRAWS_PER_CROP). Of TRIES draws the first that fits is taken, else the largest centred
    crop whose shape is in the range. Crops are not rounded to whole pixels: the resampling reads between them.
    """
    width, height = (region[:, 2:] - region[:, :2]).T
    area = (width * height)[:, None] * (scale[0] + (scale[1] - scale[0]) * u[:, :TRIES])
    shape = np.exp(np.log(ratio[0]) + (np.log(ratio[1]) - np.log(ratio[0])) * u[:, TRIES : 2 * TRIES])
    w, h = np.sqrt(area * shape), np.sqrt(area / shape)
    fits = (w <= width[:, None]) & (h <= height[:, None])
    # A range from 0 can ask for less than a pixel, which torchvision rounds to nothing and draws again.
    if scale[0] == 0:
        fits &= np.minimum(w, h) > 0.5
    rows, first, any_fits = np.arange(len(region)), fits.argmax(1), fits.any(1)
    whole_shape = np.clip(width / height, *ratio)
    w = np.where(any_fits, w[rows, first], np.minimum(width, height * whole_shape))
    h = np.where(any_fits, h[rows, first], np.minimum(height, width / whole_shape))
    x = region[:, 0] + (width - w) * np.where(any_fits, u[:, -2], 0.5)
    y = region[:, 1] + (height - h) * np.where(any_fits, u[:, -1], 0.5)
    crop = np.stack([x, y, x + w, y + h], axis=1)
    # Sums of floats can pass the region's edge by a rounding error; a resampler refuses that.
    return np.clip(crop, region[:, [0, 1, 0, 1]], region[:, [2, 3, 2, 3]])


def _usable(box: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Clip boxes to the photo and let none be thinner than two pixels (or the photo, where that is thinner)."""
    low, high = np.clip(box[:, :2], 0, size), np.clip(box[:, 2:], 0, size)
    side = np.minimum(np.maximum(high - low, 2.0), size)
    low = np.clip((low + high - side) / 2, 0, size - side)
    return np.concatenate([low, np.minimum(low + side, size)], axis=1)  # the sum may round past the border
