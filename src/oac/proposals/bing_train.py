"""Trains BING on photos with boxes, as in Cheng et al. (CVPR 2014), section 3.

Stage I learns one 8 x 8 filter: positives are the windows of quantised size that overlap a true box by half
or more, and their mirror images; negatives are random windows that overlap none. Stage II learns, for each
size with enough positives, a slope and an offset which make the scores of different sizes comparable.

Two differences from the original code. Windows are taken from the resized image in which they are searched
later, not cut out and resized one by one, so training sees the gradients that inference sees. And the two
support vector machines minimise the squared hinge loss with an L2 penalty by L-BFGS, where the original uses
liblinear's L1-penalised one: on 65 dense features there is nothing to make sparse, and the result is smooth
and repeatable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from oac.proposals.bing import PER_SIZE, Bing
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients
from oac.proposals.suppression import overlap

SIDES = (16, 32, 64, 128, 256, 512)
"""Quantised widths and heights in pixels (base 2), all pairs of which are window sizes."""

MAX_IMAGES = 3000
"""Images used at the most; VOC2007 train, which the paper used, has 2,501."""

IOU = 0.5
"""Overlap from which a window counts as an object."""


def train(
    images: Iterable[np.ndarray],
    boxes: Iterable[np.ndarray],
    *,
    seed: int,
    sides: Sequence[int] = SIDES,
    max_images: int | None = MAX_IMAGES,
    min_positives: int | None = None,
    negatives: int = 100,
    max_samples: int = 100_000,
    cost: float = 10.0,
    cost_sizes: float = 100.0,
    per_size: int = PER_SIZE,
    source: str = "",
) -> Bing:
    """Train BING on images and their true boxes; the same arguments give the same weights.

    images: uint8 (H, W, 3) RGB each. They are read twice: a sequence (which may decode photos when indexed)
    is indexed twice, anything else is held in memory. boxes: (n, 4) xmin, ymin, xmax, ymax in [0, 1] each.
    sides: quantised lengths. max_images: a seeded sample of so many where there are more; None uses all.
    min_positives: sizes with that many or fewer positives (mirror images not counted) are dropped; None takes
    the paper's 50, scaled by the number of images used to its 2,501. negatives: random windows per image.
    max_samples: samples of stage I, drawn where there are more. cost, cost_sizes: C of the two machines.
    source: name of the photos, kept in the weights. Raises ValueError where no size is left.
    """
    rng = np.random.default_rng(seed)
    images, boxes = _as_sequence(images), [np.reshape(box, (-1, 4)) for box in boxes]
    if len(images) != len(boxes):
        raise ValueError(f"{len(images)} images and {len(boxes)} arrays of boxes: pass one array per image")
    chosen = _choose(boxes, max_images, rng)
    features, labels, counts = _samples(images, boxes, chosen, tuple(itertools.product(sides, sides)), negatives, rng)
    if min_positives is None:
        min_positives = round(50 * len(chosen) / 2501)
    sizes = tuple(size for size, n in zip(itertools.product(sides, sides), counts, strict=True) if n > min_positives)
    if not sizes:
        raise ValueError(
            f"no window size has more than {min_positives} positives in {len(chosen)} images with boxes: "
            "train on more boxes or lower min_positives"
        )
    if len(features) > max_samples:
        some = np.sort(rng.choice(len(features), max_samples, replace=False))
        features, labels = features[some], labels[some]
    weights = linear_svm(features / 255.0, labels, cost)[:-1] / 255.0
    about = {"source": source, "images": len(chosen), "boxes": sum(len(boxes[i]) for i in chosen), "seed": seed}
    filter_ = weights.reshape(WINDOW, WINDOW).astype(np.float32)
    stage_one = Bing(sizes, filter_, np.tile([1.0, 0.0], (len(sizes), 1)), per_size, about)
    return replace(stage_one, calibration=_calibrate(stage_one, images, boxes, chosen, cost_sizes))


def _choose(boxes: Sequence[np.ndarray], count: int | None, rng: np.random.Generator) -> np.ndarray:
    """Indices of the images with boxes, rising; a sample of `count` where there are more."""
    chosen = np.array([i for i, box in enumerate(boxes) if len(box)], dtype=np.int64)
    if count is not None and len(chosen) > count:
        chosen = np.sort(rng.choice(chosen, count, replace=False))
    return chosen


def linear_svm(features: np.ndarray, labels: np.ndarray, cost: float) -> np.ndarray:
    """Weights and, last, bias minimising |w|^2 / 2 + cost * sum(max(0, 1 - y (w x + b))^2).

    features: (n, d); labels: (n,) bool. The bias is a feature that is always 1 and is penalised like the
    others, as in liblinear.
    """
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1).astype(np.float32)
    signs = np.where(labels, 1.0, -1.0).astype(np.float32)
    scale = cost * max(len(inputs), 1)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        slack = np.maximum(0.0, 1.0 - signs * (inputs @ weights.astype(np.float32)))
        value = 0.5 * weights @ weights + cost * float(np.sum(slack.astype(np.float64) ** 2))
        gradient = weights - 2.0 * cost * ((signs * slack) @ inputs).astype(np.float64)
        return value / scale, gradient / scale

    start = np.zeros(inputs.shape[1])
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-6})
    return np.asarray(result.x)


def _as_sequence(images: Iterable[np.ndarray]) -> Sequence[np.ndarray]:
    return images if hasattr(images, "__getitem__") and hasattr(images, "__len__") else list(images)  # type: ignore[return-value]


def _readable(
    images: Sequence[np.ndarray | None], boxes: Sequence[np.ndarray], chosen: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The chosen photos with their boxes; None stands for a photo that could not be read."""
    for index in chosen:
        image = images[index]
        if image is not None:
            yield image, boxes[index]


def _samples(
    images: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    chosen: np.ndarray,
    sizes: tuple[tuple[int, int], ...],
    negatives: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stage I: features (n, 64) uint8, labels (n,), and positives of every size, mirror images not counted."""
    features, labels = [], []
    counts = np.zeros(len(sizes), dtype=np.int64)
    for image, truth in _readable(images, boxes, chosen):
        mosaic = layout(image.shape[0], image.shape[1], sizes)
        gradients = normed_gradients(image, mosaic)
        views = np.lib.stride_tricks.sliding_window_view(gradients, (WINDOW, WINDOW))
        y, x, block = _positives(mosaic, truth)
        counts += np.bincount(mosaic.blocks[block, 0], minlength=len(sizes))
        positive = views[y, x]
        y, x = _negatives(mosaic, truth, negatives, rng)
        for windows in (positive, positive[:, :, ::-1], views[y, x]):
            features.append(np.rint(windows).astype(np.uint8).reshape(-1, WINDOW * WINDOW))
        labels.append(np.arange(2 * len(positive) + len(y)) < 2 * len(positive))
    if not features:
        return np.zeros((0, WINDOW * WINDOW), dtype=np.uint8), np.zeros(0, dtype=bool), counts
    return np.concatenate(features), np.concatenate(labels), counts


def _nearest(mosaic: Layout, centres: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Window position (y, x) of a block whose centre is nearest to a centre (x, y) in [0, 1]."""
    _, top, left, height, width = mosaic.blocks[block].T
    x = np.clip(np.rint(centres[:, 0] * width - WINDOW / 2), 0, width - WINDOW).astype(np.int64)
    y = np.clip(np.rint(centres[:, 1] * height - WINDOW / 2), 0, height - WINDOW).astype(np.int64)
    return top + y, left + x


def _positives(mosaic: Layout, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The window of each size centred on each true box, where the two overlap by half or more."""
    block = np.tile(np.arange(len(mosaic.blocks)), len(truth))
    owner = np.repeat(np.arange(len(truth)), len(mosaic.blocks))
    centres = (truth[:, :2] + truth[:, 2:]) / 2
    y, x = _nearest(mosaic, centres[owner], block)
    table = overlap(mosaic.boxes(y, x, block), truth)
    good = table[np.arange(len(owner)), owner] >= IOU
    return y[good], x[good], block[good]


def _negatives(
    mosaic: Layout, truth: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random windows that overlap no true box by half: two random corners, then the nearest window."""
    corners = rng.random((count, 2, 2))
    sides = np.abs(corners[:, 0] - corners[:, 1])
    nominal = WINDOW / mosaic.blocks[:, [4, 3]]
    distance = np.abs(np.log(np.maximum(sides, 1e-6))[:, None, :] - np.log(nominal)).sum(axis=2)
    block = distance.argmin(axis=1)
    y, x = _nearest(mosaic, corners.mean(axis=1), block)
    good = overlap(mosaic.boxes(y, x, block), truth).max(axis=1) < IOU
    return y[good], x[good]


def _calibrate(
    model: Bing, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], chosen: np.ndarray, cost: float
) -> np.ndarray:
    """Stage II: slope and offset (S, 2) per size, learnt from the stage I windows of the training images."""
    scores, labels, sizes = [], [], []
    for image, truth in _readable(images, boxes, chosen):
        windows, values, size = model.windows(image)
        scores.append(values)
        sizes.append(size)
        labels.append(overlap(windows, truth).max(axis=1) >= IOU)
    score, label, size = np.concatenate(scores), np.concatenate(labels), np.concatenate(sizes)
    result = np.empty((len(model.sizes), 2))
    for index in range(len(result)):
        mine = size == index
        result[index] = linear_svm(score[mine, None], label[mine], cost)
    return result
