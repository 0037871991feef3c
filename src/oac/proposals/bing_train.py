"""Trains BING on photos with boxes, as in Cheng et al. (CVPR 2014), section 3.

Stage I learns one 8 x 8 filter. Positives are the windows of quantised size that overlap a ground-truth box by half
or more, and their mirror images; negatives are random windows that overlap none. Stage II learns, for each
size with enough positives, a slope and an offset which make the scores of different sizes comparable.

Beyond the paper, with `position` and `regression`: stage II is a logistic regression per size that also sees
where the window lies (`oac.proposals.score_maps`), so that a score is the log odds of an object; and a
bounding-box regression learns to move the edges of windows (`oac.proposals.box_regression`).

Two differences from the original code. Windows are taken from the resized image in which they are searched
later, not cut out and resized one by one, so training sees the gradients that inference sees. And the two
support vector machines minimise the squared hinge loss with an L2 penalty by L-BFGS, where the original uses
liblinear's L1-penalised one: on 65 dense features there is nothing to make sparse, and the result is smooth
and repeatable.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from oac.proposals.bing import Bing
from oac.proposals.box_regression import fit_regression, regression_inputs
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients
from oac.proposals.score_maps import position_terms
from oac.proposals.suppression import pairwise_iou

Examples = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Reads the photos that are trained on once more, each with its boxes."""

SIDES = (16, 32, 64, 128, 256, 512)
"""Quantised widths and heights in pixels (base 2), all pairs of which are window sizes."""

MAX_IMAGES = 3000
"""Images used at the most; VOC2007 train, which the paper used, has 2,501."""

IOU = 0.5
"""Overlap from which a window counts as an object."""

SHRINKAGE = 0.75
"""Share of the predicted change by which edges are moved: the regression is learnt from windows that hold an object,
many of those it moves hold none or two. Less finds fewer objects tightly, more fewer at all; chosen like NMS_IOU."""

NMS_IOU = 0.6
"""Largest overlap among the boxes at the head of a list; chosen on a fifth of VOC2007 train, held out."""

MAX_SAMPLES = 100_000
"""Windows that stage I is trained on at the most; drawn where there are more."""

COST = 10.0
"""C of the support vector machine of stage I."""

SIZES_COST = 100.0
"""C of the support vector machines of stage II."""

PENALTY = 1.0
"""L2 penalty of the logistic regressions of stage II."""


def train(
    images: Sequence[np.ndarray | None],
    boxes: Sequence[np.ndarray],
    *,
    seed: int,
    sides: Sequence[int] = SIDES,
    max_images: int | None = MAX_IMAGES,
    negatives: int = 100,
    position: bool = True,
    regression: bool = True,
    nms_iou: float | None = NMS_IOU,
    source: str = "",
) -> Bing:
    """Train BING on images and their ground-truth boxes; the same arguments give the same weights.

    images: uint8 (H, W, 3) RGB each, None for one that cannot be read; each is indexed twice and may be decoded then.
    boxes: (n, 4) xmin, ymin, xmax, ymax in [0, 1] each. sides: quantised lengths. max_images: a seeded sample of so
    many where there are more; None uses all. negatives: random windows per image.
    position, regression, nms_iou: the additions to the published method (see `oac.proposals.bing`); False, False and
    None give that method, whose stage II is a support vector machine on the score. source: name of the photos, kept
    in the weights. Sizes with few positives (mirror images not counted) are dropped: up to the paper's 50, scaled by
    the number of images used to its 2,501. Raises ValueError where no size is left.
    """
    rng = np.random.default_rng(seed)
    boxes = [np.reshape(box, (-1, 4)) for box in boxes]
    if len(images) != len(boxes):
        raise ValueError(f"{len(images)} images and {len(boxes)} arrays of boxes: pass one array per image")
    chosen = _choose(boxes, max_images, rng)
    examples = partial(_examples, images, boxes, chosen)
    features, labels, counts = _samples(examples, tuple(itertools.product(sides, sides)), negatives, rng)
    min_positives = round(50 * len(chosen) / 2501)
    sizes = tuple(size for size, n in zip(itertools.product(sides, sides), counts, strict=True) if n > min_positives)
    if not sizes:
        raise ValueError(
            f"no window size has more than {min_positives} positives in {len(chosen)} images with boxes: "
            "train on more boxes or give other sides"
        )
    if len(features) > MAX_SAMPLES:
        some = np.sort(rng.choice(len(features), MAX_SAMPLES, replace=False))
        features, labels = features[some], labels[some]
    weights = linear_svm(features / 255.0, labels, COST)[:-1] / 255.0
    about = {"source": source, "images": len(chosen), "boxes": sum(len(boxes[i]) for i in chosen), "seed": seed}
    filter_ = weights.reshape(WINDOW, WINDOW).astype(np.float32)
    stage_one = Bing(sizes, filter_, np.tile([1.0, 0.0], (len(sizes), 1)), about=about)
    return replace(_with_stage_two(stage_one, examples, position, regression), nms_iou=nms_iou)


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

    return _minimum(objective, inputs.shape[1], 1e-6)


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

    return _minimum(objective, inputs.shape[1], 1e-7)


def _minimum(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], variables: int, gradient: float
) -> np.ndarray:
    """Where an objective, which returns value and gradient, is smallest; searched from 0 by L-BFGS."""
    options = {"maxiter": 300, "gtol": gradient}
    return np.asarray(minimize(objective, np.zeros(variables), jac=True, method="L-BFGS-B", options=options).x)


def _examples(
    images: Sequence[np.ndarray | None], boxes: Sequence[np.ndarray], chosen: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The chosen photos with their boxes, without those that could not be read."""
    for index in chosen:
        image = images[index]
        if image is not None:
            yield image, boxes[index]


def _samples(
    examples: Examples, sizes: tuple[tuple[int, int], ...], negatives: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stage I: features (n, 64) uint8, labels (n,), and positives of every size, mirror images not counted."""
    features, labels = [], []
    counts = np.zeros(len(sizes), dtype=np.int64)
    for image, truth in examples():
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
    """The window of each size centred on each ground-truth box, where the two overlap by half or more."""
    block = np.tile(np.arange(len(mosaic.blocks)), len(truth))
    owner = np.repeat(np.arange(len(truth)), len(mosaic.blocks))
    centres = (truth[:, :2] + truth[:, 2:]) / 2
    y, x = _nearest(mosaic, centres[owner], block)
    table = pairwise_iou(mosaic.boxes(y, x, block), truth)
    good = table[np.arange(len(owner)), owner] >= IOU
    return y[good], x[good], block[good]


def _negatives(
    mosaic: Layout, truth: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random windows that overlap no ground-truth box by half: two random corners, then the nearest window."""
    corners = rng.random((count, 2, 2))
    sides = np.abs(corners[:, 0] - corners[:, 1])
    nominal = WINDOW / mosaic.blocks[:, [4, 3]]
    distance = np.abs(np.log(np.maximum(sides, 1e-6))[:, None, :] - np.log(nominal)).sum(axis=2)
    block = distance.argmin(axis=1)
    y, x = _nearest(mosaic, corners.mean(axis=1), block)
    good = pairwise_iou(mosaic.boxes(y, x, block), truth).max(axis=1) < IOU
    return y[good], x[good]


def _with_stage_two(model: Bing, examples: Examples, position: bool, regression: bool) -> Bing:
    """The model with stage II, and the regression, learnt from the windows that its stage I proposes."""
    parts: list[tuple[np.ndarray, ...]] = []
    for image, objects in examples():
        windows = model.windows(image)
        proposed, size = windows.boxes(), windows.sizes()
        ious = pairwise_iou(proposed, objects)
        label = ious.max(axis=1) >= IOU
        inputs = regression_inputs(windows.cells()[label], proposed[label], size[label], len(model.sizes))
        parts.append((proposed, windows.scores, size, label, objects[ious[label].argmax(axis=1)], inputs))
    proposed, score, size, label, truth, inputs = (np.concatenate(column) for column in zip(*parts, strict=True))
    of_size = [size == index for index in range(len(model.sizes))]
    if position:
        samples = np.concatenate([score[:, None], position_terms(proposed)], axis=1)
        table = np.array([logistic_regression(samples[own], label[own], PENALTY) for own in of_size])
    else:
        table = np.array([linear_svm(score[own, None], label[own], SIZES_COST) for own in of_size])
    return replace(
        model,
        calibration=table[:, [0, -1]],
        position=table[:, 1:-1] if position else None,
        regression=SHRINKAGE * fit_regression(inputs, proposed[label], truth) if regression and len(inputs) else None,
    )
