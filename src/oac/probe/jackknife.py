"""Jackknife over test images: how far the mAP depends on which photos the test set happens to hold.

The mAP of few photos is above that of many, the more so the fewer positive ones a class has. Leaving out one image
after the other says by how much, and how widely test sets scatter (Quenouille, Biometrika 1956; Tukey 1958).
Percentiles of resamples hold the mAP of many photos too seldom, and so do BCa intervals (docs/probe.md).
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from torch import Tensor

from oac.probe.metrics import average_precision


def pseudo_values(scores: Tensor, targets: Tensor) -> np.ndarray:
    """Each image's n mAP - (n - 1) mAP without it: (n,).

    Their mean is the mAP with its bias taken off, their spread gives its interval (`interval`), and those of two runs
    on the same images are subtracted image by image. A class counts while it has positive and negative images.

    Args:
        scores: (n, C) real, none of them NaN. targets: (n, C) in {0, 1}.

    Raises ValueError as `average_precision` does, and where without some image no class has both.
    """
    whole = average_precision(scores, targets).cpu().numpy()
    values, positive = scores.cpu().numpy(), targets.cpu().numpy() == 1
    images, classes = values.shape
    total, counted = np.zeros(images), np.zeros(images)
    for c in range(classes):
        ap = _without_each(values[:, c], positive[:, c])
        total += np.nan_to_num(ap)
        counted += ~np.isnan(ap)
    if not counted.all():
        raise ValueError(f"only one of {images} images is positive for any class: an interval over them needs more")
    result: np.ndarray = images * np.nanmean(whole) - (images - 1) * total / counted
    return result


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of pseudo-values (n,)."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _without_each(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AP of one class without image i, for each of (n,): NaN where no positive one is left, or no negative one.

    AP is the mean of hits / shown over the positives; an image takes part in those whose score is not above its own.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hit = -scores[order], positive[order]
    # Equal scores are one step of the curve: each is read behind the last image that has it.
    shown = np.searchsorted(ranked, ranked, side="right")
    hits = hit.cumsum()[shown - 1]
    left = np.maximum(shown - 1, 1)
    # What each positive adds: as it is, without a negative of its score or above, without a positive one.
    whole, less_negative, less_positive = (hit * part for part in (hits / shown, hits / left, (hits - 1) / left))
    first = np.searchsorted(ranked, ranked, side="left")
    above = np.append(0, whole.cumsum())[first]
    negative, other = (
        above + part.sum() - np.append(0, part.cumsum())[first] for part in (less_negative, less_positive)
    )
    result, count = np.empty(len(scores)), hit.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        result[order] = np.where(hit, (other - less_positive) / (count - 1), negative / count)
    # No AP where no positive image is left, or no negative one.
    result[positive & (count == 1)] = np.nan
    result[~positive & (count == len(scores) - 1)] = np.nan
    return np.full(len(scores), np.nan) if positive.all() else result
