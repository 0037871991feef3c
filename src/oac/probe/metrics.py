"""Average precision of multi-label scores, over a whole test set and batch-averaged; top-k accuracy.

The headline of every table is the mean over classes of the average precision over the whole test set
(Veit et al. 2017, eq. 4, which the paper cites). The code its authors released averages over batches instead;
`batch_averaged_map` reproduces that number so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Elements worked on at a time: bounds the memory at a few hundred MB whatever the size of the test set.
_BLOCK_ELEMENTS = 4_000_000


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Average precision of each class over all images.

    Images with equal scores count as one step of the precision-recall curve, so the result does not depend on
    the order of the images (the definition of scikit-learn's `average_precision_score`).

    Args:
        scores: (N, C) real; higher means more likely present. Only the order within a class matters.
        targets: (N, C) in {0, 1}, any dtype.

    Returns:
        (C,) float64 in [0, 1], on the device of `scores`; NaN for a class without a positive image, and for one
        without a negative image, whose AP would be 1 whatever the scores are.

    Raises:
        ValueError: shapes differ, a score is NaN, or a target is neither 0 nor 1.
    """
    values, positive = _checked(scores, targets)
    ap = _ap(values, positive)
    ap[positive.all(0)] = np.nan
    return torch.from_numpy(ap).to(scores.device)


def mean_average_precision(scores: Tensor, targets: Tensor) -> float:
    """Mean of `average_precision` over the classes that have positive and negative images; in [0, 1].

    Raises ValueError where no class has both.
    """
    result = float(average_precision(scores, targets).nanmean())
    if result != result:
        raise ValueError("no class has a positive image and one that is not, so there is no mean average precision")
    return result


def batch_averaged_map(scores: Tensor, targets: Tensor, batch_size: int) -> float:
    """Batch-averaged mAP, which the released code prints as "Acc@1"; in [0, 1].

    Consecutive batches in the given order; in each, the mean AP over the classes present in that batch;
    then the mean of these, weighted by the number of images, the last, shorter batch included
    (shlokk/object-cropping-ssl, main_lincls.py, `validate`, `map` and `AverageMeter`; its loader of the
    test images neither shuffles nor drops). batch_size there is 256 divided by the number of GPUs. The
    result is much higher than the mean AP over the data set, the more so the smaller the batch, and
    depends on the order.

    A class that all images of a batch show has an AP of 1 there, as in the released code.

    Two departures, both where the released code has no defined answer: equal scores are treated as in
    `average_precision` (there: the arbitrary order of an unstable sort), and a batch without any positive
    label is left out (there: the result becomes NaN).
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    values, positive = _checked(scores, targets)
    whole = len(values) // batch_size * batch_size
    total, images = 0.0, 0
    for start, end, size in ((0, whole, batch_size), (whole, len(values), len(values) - whole)):
        if start == end:
            continue
        # The classes of every batch side by side, as if they were different classes of `size` images.
        shape = (-1, size, values.shape[1])
        columns = (part[start:end].reshape(shape).swapaxes(0, 1).reshape(size, -1) for part in (values, positive))
        ap = _ap(*columns).reshape(-1, values.shape[1])
        ap = ap[~np.isnan(ap).all(1)]
        total += size * float(np.nanmean(ap, axis=1).sum())
        images += size * len(ap)
    if images == 0:
        raise ValueError("no class has a positive image, so there is no mean average precision")
    return total / images


def check_one_label(targets: Tensor) -> None:
    """Raise ValueError unless every row of the targets (N, C) in {0, 1} has one 1."""
    other = int((targets.sum(1) != 1).sum())
    if other:
        raise ValueError(
            f"{other} of {len(targets)} photos do not have exactly one label: leave out `task: single_label` of"
            " `probe` in the study file, or filter the subset"
        )


def top_k_accuracy(scores: Tensor, targets: Tensor, k: int) -> float:
    """Share of images whose class is among the k classes with the highest scores; in [0, 1].

    Where classes share a score the image counts by the chance that a fair order of them puts its class among the k,
    so that the order of the classes does not matter; without ties it is scikit-learn's `top_k_accuracy_score`.

    Args:
        scores: (N, C) real, none of them NaN, N at least 1.
        targets: (N, C) in {0, 1}, one 1 in each row.

    Raises:
        ValueError: as `average_precision`; k is below 1; an image has no class, or several.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    values, positive = _checked(scores, targets)
    check_one_label(targets)
    own = values[positive][:, None]
    higher, equal = (values > own).sum(1), (values == own).sum(1)
    return float(np.clip((k - higher) / equal, 0, 1).mean())


class SizeAP(NamedTuple):
    """Result of `average_precision_by_size`."""

    ap: Tensor
    """(bins, C) float64; NaN where a class has no positive image in a bin, or no negative one at all."""
    positives: Tensor
    """(bins, C) int64: the positive images of each class in each bin."""


def average_precision_by_size(
    scores: Tensor, targets: Tensor, area: Tensor, edges: Sequence[float] | Tensor
) -> SizeAP:
    """Average precision of each class, separately for small and large objects (as in figure 3 of the paper).

    In a bin, the positives of a class are the images whose largest object of that class has an area in
    the bin; the other positive images of the class are left out, and the negatives are all images without
    the class. All bins of a class so share their negatives.

    Args:
        scores: (N, C) as in `average_precision`.
        targets: (N, C) in {0, 1}.
        area: (N, C) area of the largest object of the class, as a share of the image in [0, 1]; NaN
            exactly where the target is 0.
        edges: increasing, one more than bins. Bin i is [edges[i], edges[i + 1]); the last one includes
            its end.

    Raises:
        ValueError: as `average_precision`; area does not fit the targets; edges do not increase.
    """
    values, positive = _checked(scores, targets)
    if area.shape != scores.shape:
        raise ValueError(f"area has shape {tuple(area.shape)}, scores {tuple(scores.shape)}")
    share = area.cpu().numpy().astype(np.float64)
    wrong = np.argwhere(np.isnan(share) == positive)
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"area must be NaN exactly where the target is 0; image {row}, class {column} is not so")
    bounds = np.asarray(edges, np.float64)
    if bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0).all():
        raise ValueError(f"edges must be at least two increasing numbers, not {bounds.tolist()}")
    ap, counts = [], []
    for index, (low, high) in enumerate(pairwise(bounds)):
        inside = (share >= low) & (share <= high if index == len(bounds) - 2 else share < high)
        kept = inside | ~positive
        ap.append([_ap(values[kept[:, c], c, None], inside[kept[:, c], c, None])[0] for c in range(values.shape[1])])
        counts.append(inside.sum(0))
    parts = (np.where(positive.all(0), np.nan, np.stack(ap)), np.stack(counts))
    return SizeAP(*(torch.from_numpy(part).to(scores.device) for part in parts))


def _checked(scores: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scores and boolean targets (N, C) on the host. Raises ValueError where they are not usable."""
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(
            f"scores and targets must both be (images, classes), not {tuple(scores.shape)} and {tuple(targets.shape)}"
        )
    # Half precision is widened, which keeps the order: numpy knows no bfloat16.
    values = (scores.float() if scores.dtype.itemsize < 4 else scores).detach().cpu().numpy()
    if np.isnan(values).any():
        nan = np.argwhere(np.isnan(values))
        row, column = nan[0]
        raise ValueError(
            f"{len(nan)} scores are NaN, the first of image {row}, class {column}: did the probe diverge?"
        )
    present, positive = targets.cpu().numpy(), (targets == 1).cpu().numpy()
    if present.dtype != np.bool_ and not (positive | (present == 0)).all():
        raise ValueError("targets must be 0 or 1")
    return values, positive


def _ap(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AP (C,) of each class; both arguments (N, C), the second boolean."""
    width = max(1, _BLOCK_ELEMENTS // max(1, len(scores)))
    blocks = [slice(start, start + width) for start in range(0, scores.shape[1], width)]
    return np.concatenate([np.empty(0), *(_ap_at_once(scores[:, part], positive[:, part]) for part in blocks)])


def _ap_at_once(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AP (C,): the mean over a class's positive images of the precision down to the score of each.

    Grouped by equal scores this is the sum of (recall gained at a score) * (precision down to it). Only positive
    images are looked up, because numpy sorts bare values twenty times as fast as it sorts their places.
    """
    images, classes = scores.shape
    own = np.sort(_keys(np.nonzero(positive.T)[0], scores.T[positive.T]))
    every = _keys(np.arange(classes)[:, None], np.sort(scores.T, axis=1)).ravel()
    row = own.real.astype(np.int64)
    # Images of the class with this score or a higher one, and the positive ones among them.
    shown = (row + 1) * images - np.searchsorted(every, own)
    hits = np.searchsorted(row, row, side="right") - np.searchsorted(own, own)
    total = np.bincount(row, hits / shown, classes)
    with np.errstate(invalid="ignore"):
        return total / np.bincount(row, minlength=classes)  # 0 / 0 = NaN without positives


def _keys(row: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Numbers that are in order of class and, within a class, of score: numpy orders complex ones so."""
    keys = np.empty(score.shape, np.complex128)
    keys.real, keys.imag = row, score
    return keys
