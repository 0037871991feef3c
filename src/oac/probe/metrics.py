"""Average precision of multi-label scores, over a whole test set and as the released code averages it.

The headline of every table is the mean over classes of the average precision over the whole test set
(Veit et al. 2017, eq. 4, which the paper cites). The code its authors released averages over batches instead;
`batch_averaged_map` reproduces that number so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

# Elements worked on at a time: bounds the memory at about 200 MB whatever the size of the test set.
_BLOCK_ELEMENTS = 4_000_000


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Average precision of each class over all images.

    Images with equal scores count as one step of the precision-recall curve, so the result does not depend on
    the order of the images (the definition of scikit-learn's `average_precision_score`).

    Args:
        scores: (N, C) real; higher means more likely present. Only the order within a class matters.
        targets: (N, C) in {0, 1}, any dtype.

    Returns:
        (C,) float64 in [0, 1], on the device of `scores`; NaN for a class without a positive image.

    Raises:
        ValueError: shapes differ, a score is NaN, or a target is neither 0 nor 1.
    """
    scores, positive = _checked(scores, targets)
    return _masked_average_precision(scores, positive, torch.ones_like(positive))


def mean_average_precision(scores: Tensor, targets: Tensor) -> float:
    """Mean of `average_precision` over the classes that have a positive image; in [0, 1].

    Raises ValueError where no class has one.
    """
    result = float(average_precision(scores, targets).nanmean())
    if result != result:
        raise ValueError("no class has a positive image, so there is no mean average precision")
    return result


def batch_averaged_map(scores: Tensor, targets: Tensor, batch_size: int) -> float:
    """The number which the released code prints as "Acc@1": a mean over batches, in [0, 1].

    Consecutive batches in the given order; in each, the mean AP over the classes present in that batch;
    then the mean over batches weighted by their number of images, the last, shorter one included
    (shlokk/object-cropping-ssl, main_lincls.py, `validate`, `map` and `AverageMeter`; its loader of the
    test images neither shuffles nor drops). batch_size there is 256 divided by the number of GPUs. The
    result is much higher than the mean AP over the data set, the more so the smaller the batch, and
    depends on the order.

    Two departures, both where the released code has no defined answer: equal scores are treated as in
    `average_precision` (there: the arbitrary order of an unstable sort), and a batch without any positive
    label is left out (there: the result becomes NaN).
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    scores, positive = _checked(scores, targets)
    total, images = 0.0, 0
    for batch_scores, batch_positive in zip(scores.split(batch_size), positive.split(batch_size), strict=True):
        if batch_positive.any():
            ap = _masked_average_precision(batch_scores, batch_positive, torch.ones_like(batch_positive))
            total += float(ap.nanmean()) * len(batch_scores)
            images += len(batch_scores)
    if images == 0:
        raise ValueError("no class has a positive image, so there is no mean average precision")
    return total / images


class SizeAP(NamedTuple):
    """Result of `average_precision_by_size`."""

    ap: Tensor
    """(bins, C) float64; NaN where a class has no positive image in a bin."""
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
    scores, positive = _checked(scores, targets)
    if area.shape != scores.shape:
        raise ValueError(f"area has shape {tuple(area.shape)}, scores {tuple(scores.shape)}")
    area = area.to(scores.device, torch.float64)
    wrong = (area.isnan() == positive).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ValueError(f"area must be NaN exactly where the target is 0; image {row}, class {column} is not so")
    bounds = torch.as_tensor(edges, dtype=torch.float64, device=scores.device)
    if bounds.ndim != 1 or len(bounds) < 2 or not bool((bounds[1:] > bounds[:-1]).all()):
        raise ValueError(f"edges must be at least two increasing numbers, not {bounds.tolist()}")
    ap, positives = [], []
    for index, (low, high) in enumerate(pairwise(bounds)):
        below = area <= high if index == len(bounds) - 2 else area < high
        inside = (area >= low) & below
        ap.append(_masked_average_precision(scores, inside, inside | ~positive))
        positives.append(inside.sum(0))
    return SizeAP(torch.stack(ap), torch.stack(positives))


def _checked(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and boolean targets (N, C) on one device. Raises ValueError where they are not usable."""
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(
            f"scores and targets must both be (images, classes), not {tuple(scores.shape)} and {tuple(targets.shape)}"
        )
    nan = scores.isnan().nonzero()
    if len(nan):
        row, column = nan[0].tolist()
        raise ValueError(
            f"{len(nan)} scores are NaN, the first of image {row}, class {column}: did the probe diverge?"
        )
    if not bool(((targets == 0) | (targets == 1)).all()):
        raise ValueError("targets must be 0 or 1")
    return scores.detach(), (targets == 1).to(scores.device)


def _masked_average_precision(scores: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """AP of each class over the images `counted` for it; all arguments (N, C), the last two boolean."""
    images, classes = scores.shape
    if images == 0:
        return scores.new_full((classes,), torch.nan, dtype=torch.float64)
    width = max(1, _BLOCK_ELEMENTS // images)
    columns = (matrix.split(width, dim=1) for matrix in (scores, positive, counted))
    return torch.cat([_ap_of_block(*block) for block in zip(*columns, strict=True)])


def _ap_of_block(scores: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """AP = sum over distinct scores of (recall gained at this score) * (precision down to this score)."""
    ordered, order = scores.T.contiguous().sort(dim=1, descending=True)
    hits = positive.T.gather(1, order).cumsum(1, dtype=torch.float64)
    shown = counted.T.gather(1, order).cumsum(1, dtype=torch.float64)
    # The curve has a point only behind the last image of each run of equal scores.
    point = torch.ones_like(ordered, dtype=torch.bool)
    point[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    # `hits` never falls, so a running maximum over points carries the last point's value forward.
    reached = torch.where(point, hits, 0.0).cummax(1).values
    gained = reached.diff(dim=1, prepend=torch.zeros_like(reached[:, :1]))
    # shown is 0 only before the first counted image, where nothing is gained either.
    precision = hits / shown.clamp(min=1.0)
    return (gained * precision).sum(1) / hits[:, -1]  # 0 / 0 = NaN without positives
