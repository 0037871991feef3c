"""Bootstrap over test images: how far the mAP depends on which photos the test set happens to hold.

The resamples depend on the seed and the number of images only. So the k-th resample of two runs that were tested on
the same photos is the same, and differences of the two are paired.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

CHUNK = 4_000_000  # weights held at once


def bootstrap_map(scores: Tensor, targets: Tensor, resamples: int, seed: int = 0) -> np.ndarray:
    """Mean average precision of `resamples` test sets, drawn with replacement from the images: (resamples,).

    In each a class counts that has a positive image there. An image that is drawn twice counts twice; its two copies
    have equal scores and so one rank (see `average_precision`).

    Args:
        scores: (N, C) real, none of them NaN. targets: (N, C) in {0, 1}; some class must have a positive image.

    Raises ValueError where a resample has no positive image at all.
    """
    values, positive = scores.cpu().numpy(), targets.cpu().numpy() == 1
    images, classes = values.shape
    rng = np.random.default_rng([seed, images])
    maps = []
    width = max(1, CHUNK // images)
    for start in range(0, resamples, width):
        count = min(width, resamples - start)
        drawn = [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(count)]
        weights = np.stack(drawn).astype(np.int32)
        ap = np.stack([_weighted_ap(values[:, c], positive[:, c], weights) for c in range(classes)])
        if np.isnan(ap).all(0).any():
            raise ValueError(f"a resample of {images} images has no positive one of any class")
        maps.append(np.nanmean(ap, axis=0))
    return np.concatenate(maps)


def _weighted_ap(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AP of one class where image i counts weights[r, i] times: (R,), NaN where no positive image counts."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ranks = np.flatnonzero(positive[order])
    # Equal scores are one step of the curve: each is read behind the last image that has it.
    last = np.searchsorted(-ranked, -ranked[ranks], side="right") - 1
    shown = weights[:, order].cumsum(axis=1, dtype=np.int32)[:, last]
    own = weights[:, order[ranks]]
    last_own = np.searchsorted(-ranked[ranks], -ranked[ranks], side="right") - 1
    hits = own.cumsum(axis=1, dtype=np.int32)[:, last_own]
    with np.errstate(invalid="ignore"):
        return (own * (hits / np.maximum(shown, 1))).sum(axis=1) / own.sum(axis=1)
