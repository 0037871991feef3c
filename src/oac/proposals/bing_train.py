"""Trains BING on photos with boxes, as in Cheng et al. (CVPR 2014), section 3.

Stage I learns one 8 x 8 filter: positives are the windows of quantised size that overlap a true box by half
or more, and their mirror images; negatives are random windows that overlap none. Stage II learns, for each
size with enough positives, a slope and an offset which make the scores of different sizes comparable.

Beyond the paper, where `place` and `edges` ask for it: stage II is a logistic regression per size that also sees
where the window lies (`oac.proposals.place`), so that a score is the logarithm of the odds of an object; and a
regression learns to move the edges of windows (`oac.proposals.refine`).

Two differences from the original code. Windows are taken from the resized image in which they are searched
later, not cut out and resized one by one, so training sees the gradients that inference sees. And the two
support vector machines minimise the squared hinge loss with an L2 penalty by L-BFGS, where the original uses
liblinear's L1-penalised one: on 65 dense features there is nothing to make sparse, and the result is smooth
and repeatable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from oac.proposals import refine
from oac.proposals.bing import PER_SIZE, Bing
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients
from oac.proposals.place import place_terms
from oac.proposals.suppression import overlap

SIDES = (16, 32, 64, 128, 256, 512)
"""Quantised widths and heights in pixels (base 2), all pairs of which are window sizes."""

MAX_IMAGES = 3000
"""Images used at the most; VOC2007 train, which the paper used, has 2,501."""

IOU = 0.5
"""Overlap from which a window counts as an object."""

SHARE = 0.75
"""How much of the predicted change the edges make: the regression is learnt from windows that hold an object, many of
those it moves hold none or two. Less finds fewer objects tightly, more fewer at all; chosen like NMS_IOU."""

NMS_IOU = 0.6
"""Largest overlap among the boxes at the head of a list; chosen on a fifth of VOC2007 train, held out."""

_PRIOR = 1.0  # L2 penalty of the logistic regressions of stage II


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
    place: bool = True,
    edges: bool = True,
    nms_iou: float | None = NMS_IOU,
    source: str = "",
) -> Bing:
    """Train BING on images and their true boxes; the same arguments give the same weights.

    images: uint8 (H, W, 3) RGB each. They are read twice: a sequence (which may decode photos when indexed)
    is indexed twice, anything else is held in memory. boxes: (n, 4) xmin, ymin, xmax, ymax in [0, 1] each.
    sides: quantised lengths. max_images: a seeded sample of so many where there are more; None uses all.
    min_positives: sizes with that many or fewer positives (mirror images not counted) are dropped; None takes
    the paper's 50, scaled by the number of images used to its 2,501. negatives: random windows per image.
    max_samples: samples of stage I, drawn where there are more. cost, cost_sizes: C of the two machines.
    place, edges, nms_iou: the additions to the published method (see `oac.proposals.bing`); False, False and None
    give that method, whose stage II is a support vector machine on the score.
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
    seen = _seen(stage_one, images, boxes, chosen)
    calibration, terms = _calibrate(seen, len(sizes), cost_sizes, place)
    moves = SHARE * refine.fit(seen.inputs, seen.objects, seen.truth) if edges and len(seen.inputs) else None
    return replace(stage_one, calibration=calibration, place=terms, edges=moves, nms_iou=nms_iou)


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


def logistic_regression(features: np.ndarray, labels: np.ndarray, penalty: float) -> np.ndarray:
    """Weights and, last, bias minimising penalty * |w|^2 / 2 + the log loss; the bias is not penalised.

    features: (n, d); labels: (n,) bool. Where all labels are one, the bias stays finite because the search ends.
    """
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    signs = np.where(labels, 1.0, -1.0)
    penalties = np.append(np.full(inputs.shape[1] - 1, penalty), 0.0)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (inputs @ weights)
        value = np.logaddexp(0.0, -margins).sum() + 0.5 * (penalties * weights**2).sum()
        gradient = penalties * weights - (signs * expit(-margins)) @ inputs
        return value / max(len(inputs), 1), gradient / max(len(inputs), 1)

    start = np.zeros(inputs.shape[1])
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-7})
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


@dataclass(frozen=True)
class _Seen:
    """What stage I finds in the training images: boxes (n, 4), score, size and label of every window; and of those
    that are objects (m, 4), their true boxes (m, 4) and the inputs of the regression (m, f).
    """

    boxes: np.ndarray
    score: np.ndarray
    size: np.ndarray
    label: np.ndarray
    objects: np.ndarray
    truth: np.ndarray
    inputs: np.ndarray


def _seen(model: Bing, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], chosen: np.ndarray) -> _Seen:
    parts: list[tuple[np.ndarray, ...]] = []
    for image, truth in _readable(images, boxes, chosen):
        found = model.windows(image)
        table = overlap(found.boxes, truth)
        label = table.max(axis=1) >= IOU
        inputs = refine.features(found.cells()[label], found.boxes[label], found.size[label], len(model.sizes))
        nearest = truth[table[label].argmax(axis=1)]
        parts.append((found.boxes, found.scores, found.size, label, found.boxes[label], nearest, inputs))
    return _Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _calibrate(seen: _Seen, sizes: int, cost: float, place: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Stage II: slope and offset (S, 2) per size and, with `place`, its weights (S, TERMS)."""
    if not place:
        rows = [linear_svm(seen.score[seen.size == z, None], seen.label[seen.size == z], cost) for z in range(sizes)]
        return np.array(rows), None
    inputs = np.concatenate([seen.score[:, None], place_terms(seen.boxes)], axis=1)
    rows = [logistic_regression(inputs[seen.size == z], seen.label[seen.size == z], _PRIOR) for z in range(sizes)]
    table = np.array(rows)
    return table[:, [0, -1]], table[:, 1:-1]
