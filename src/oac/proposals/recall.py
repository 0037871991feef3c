"""Detection rate of proposals: the share of ground-truth boxes that are found by the first N."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oac.proposals.suppression import pairwise_iou


def best_overlaps(proposals: np.ndarray, truth: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """(m, len(counts)) IoU of each ground-truth box (m, 4) with the best of the first N proposals (n, 4), best first.

    0 where there is no proposal; where there are fewer than N, that of all of them.
    """
    if len(proposals) == 0 or len(truth) == 0:
        return np.zeros((len(truth), len(counts)))
    best = np.maximum.accumulate(pairwise_iou(truth, proposals[: max(counts)]), axis=1)
    return best[:, np.minimum(counts, best.shape[1]) - 1]


def detection_rate(
    proposals: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    counts: Sequence[int],
    iou: float = 0.5,
    average: str = "image",
) -> dict[int, float]:
    """Share of the ground-truth boxes that one of the first N proposals overlaps by `iou` or more, for each N in
    `counts`.

    proposals, truth: one (n, 4) array xmin, ymin, xmax, ymax per image, in any one unit; proposals best
    first. average: "image" is the mean over images of the share found in each, as in the original BING code
    (Cheng et al., CVPR 2014); "object" is the share of all boxes of all images. Images without ground-truth boxes
    do not count. NaN where no image has one. Raises ValueError for lists of different length or an unknown
    average.
    """
    if len(proposals) != len(truth):
        raise ValueError(
            f"{len(proposals)} images have proposals and {len(truth)} have ground-truth boxes: "
            "pass one array per image to both"
        )
    if average not in ("image", "object"):
        raise ValueError(f'average is {average!r}, expected "image" or "object"')
    best = [best_overlaps(p, t, counts) for p, t in zip(proposals, truth, strict=True) if len(t)]
    if not best:
        return {int(count): float("nan") for count in counts}
    if average == "object":
        best = [np.concatenate(best)]
    rates = [np.mean([(part[:, column] >= iou).mean() for part in best]) for column in range(len(counts))]
    return {int(count): float(rate) for count, rate in zip(counts, rates, strict=True)}
