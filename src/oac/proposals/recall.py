"""Detection rate of proposals: how many of the true boxes are found among the first N."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oac.proposals.suppression import overlap


def detection_rate(
    proposals: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    counts: Sequence[int],
    iou: float = 0.5,
    average: str = "image",
) -> dict[int, float]:
    """Share of the true boxes that one of the first N proposals overlaps by `iou` or more, for each N in
    `counts`.

    proposals, truth: one (n, 4) array xmin, ymin, xmax, ymax per image, in any one unit; proposals best
    first. average: "image" is the mean over images of the share found in each, as in the original BING code
    (Cheng et al., CVPR 2014); "object" is the share of all boxes of all images. Images without true boxes do
    not count. NaN where no image has one. Raises ValueError for lists of different length or an unknown
    average.
    """
    if len(proposals) != len(truth):
        raise ValueError(
            f"{len(proposals)} images have proposals and {len(truth)} have true boxes: "
            "pass one array per image to both"
        )
    if average not in ("image", "object"):
        raise ValueError(f'average is {average!r}, expected "image" or "object"')
    first: list[np.ndarray] = []
    for candidates, boxes in zip(proposals, truth, strict=True):
        if len(boxes) == 0:
            continue
        found = overlap(np.reshape(boxes, (-1, 4)), np.reshape(candidates, (-1, 4))) >= iou
        # Number of proposals it takes to find each box; more than there are where none does.
        first.append(
            np.where(found.any(axis=1), found.argmax(axis=1) + 1, np.inf)
            if found.shape[1]
            else np.full(len(boxes), np.inf)
        )
    if not first:
        return {int(count): float("nan") for count in counts}
    if average == "object":
        first = [np.concatenate(first)]
    return {int(count): float(np.mean([(needed <= count).mean() for needed in first])) for count in counts}
