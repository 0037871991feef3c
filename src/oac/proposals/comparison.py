"""Comparison of box sources: how well their proposals find ground-truth boxes, against the number of proposals.

Every figure follows from one array, the IoU of each object with the best of the first N proposals of its photo:

- detection rate: the share of objects with an IoU of 0.5 (or 0.7) or more;
- best overlap: its mean (ABO), and the mean over classes of each class's mean (MABO; Uijlings et al., IJCV 2013);
- average recall: twice the area under recall over the IoUs 0.5 to 1 (Hosang et al., TPAMI 2016).

Rates are averaged in two ways. "image" is the mean over photos of the share found in each, as in the curves that the
authors of BING published; "object" is the share of all objects. The first is higher, because photos of one large
object weigh as much as crowded ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from oac.proposals.box_sources import random_boxes
from oac.proposals.suppression import pairwise_iou

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Numbers of boxes at which sources are compared."""

IOUS = (0.5, 0.7)
"""IoUs from which an object counts as found."""

SCALE = 0.2
"""Smallest crop of the whole photo, from which s_min = 0.2 / mean size of a proposal (Mishra et al., section 4.1)."""


@dataclass(frozen=True)
class GroundTruth:
    """Ground-truth boxes (n, 4) in [0, 1] and labels (n,) of each photo."""

    boxes: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]


def best_overlaps(proposals: np.ndarray, truth: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """(m, len(counts)) IoU of each ground-truth box (m, 4) with the best of the first N proposals (n, 4), best first.

    0 where there is no proposal; where there are fewer than N, that of all of them.
    """
    if len(proposals) == 0 or len(truth) == 0:
        return np.zeros((len(truth), len(counts)))
    best = np.maximum.accumulate(pairwise_iou(truth, proposals[: max(counts)]), axis=1)
    return best[:, np.minimum(counts, best.shape[1]) - 1]


def _best_of_objects(
    proposals: Sequence[np.ndarray], truth: Sequence[np.ndarray], counts: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The photo of each object (n,), counted from 0, and its best overlaps (n, len(counts)).

    Raises ValueError where the two lists differ in length.
    """
    if len(proposals) != len(truth):
        raise ValueError(
            f"{len(proposals)} photos have proposals and {len(truth)} have ground-truth boxes: pass one array each"
        )
    best = [best_overlaps(boxes, objects, counts) for boxes, objects in zip(proposals, truth, strict=True)]
    photo = np.repeat(np.arange(len(best)), [len(part) for part in best])
    return photo, np.concatenate([np.zeros((0, len(counts))), *best])


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
    if average not in ("image", "object"):
        raise ValueError(f'average is {average!r}, expected "image" or "object"')
    photo, best = _best_of_objects(proposals, truth, counts)
    found = pd.DataFrame(best >= iou, columns=list(counts))
    if average == "image":
        found = found.groupby(photo).mean()
    return {int(count): float(rate) for count, rate in found.mean().items()}


def score_proposals(
    proposals: Sequence[np.ndarray], truth: GroundTruth, counts: Sequence[int] = COUNTS
) -> pd.DataFrame:
    """One row per number of boxes N, with all figures of a source.

    proposals: (n, 4) in [0, 1] of each photo, best first, in the order of `truth`. Columns: count; boxes, how many
    there really are of them in a photo on average; for each average ("image", "object") and IoU detection_rate, and
    average_recall and best_overlap; mabo; mean_area, the mean share of the photo that a box covers; s_min, 0.2 over
    that. Photos without objects count in `boxes` and `mean_area` alone; figures of nothing are NaN. Raises
    ValueError where the two lists differ in length.
    """
    photo, table = _best_of_objects(proposals, truth.boxes, counts)
    labels = np.concatenate([np.zeros(0, dtype=object), *truth.labels])
    rates = [f"detection_rate_{iou:g}" for iou in IOUS]
    rows = []
    for column, count in enumerate(counts):
        objects = pd.DataFrame({"photo": photo, "label": labels, "best_overlap": table[:, column]})
        for name, iou in zip(rates, IOUS, strict=True):
            objects[name] = (objects["best_overlap"] >= iou).astype(float)
        objects["average_recall"] = 2.0 * np.clip(objects["best_overlap"] - 0.5, 0.0, None)
        row: dict[str, float] = {"count": int(count), **_sizes(proposals, count)}
        for name in (*rates, "average_recall", "best_overlap"):
            row[f"{name}_image"] = float(objects.groupby("photo")[name].mean().mean())
            row[f"{name}_object"] = float(objects[name].mean())
        row["mabo"] = float(objects.groupby("label", observed=True)["best_overlap"].mean().mean())
        rows.append(row)
    return pd.DataFrame(rows)


def _sizes(proposals: Sequence[np.ndarray], count: int) -> dict[str, float]:
    first = [boxes[:count] for boxes in proposals]
    boxes = np.concatenate([np.zeros((0, 4)), *first])
    area = float((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).mean()) if len(boxes) else float("nan")
    number = float(np.mean([len(part) for part in first])) if first else float("nan")
    return {"boxes": number, "mean_area": area, "s_min": SCALE / area if area > 0 else float("nan")}


def without_difficult(boxes: pd.DataFrame, difficult: pd.DataFrame) -> pd.DataFrame:
    """The box table without the rows that are in `difficult` too: same photo, label and corners."""
    keys = ["image_id", "label", "xmin", "xmax", "ymin", "ymax"]
    marked = pd.MultiIndex.from_frame(difficult[keys].astype({"image_id": "str", "label": "str"}))
    return boxes[~pd.MultiIndex.from_frame(boxes[keys]).isin(marked)]


def first_photos(images: pd.DataFrame, split: str, number: int | None) -> pd.DataFrame:
    """The photos of a split in the order of their ids: the first `number` of them, None for all."""
    photos = images[images["split"] == split].sort_values("image_id", kind="stable")
    return photos if number is None else photos.head(number)


def proposals_by_source(
    sources: Sequence[str], tables: Mapping[str, pd.DataFrame], image_ids: Sequence[str], count: int, seed: int
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each source with its proposals for some photos; random boxes, of BING's sizes, are drawn here.

    tables: source -> proposals, with those of "bing" where "random" is among the sources.
    """
    for source in sources:
        table = tables["bing" if source == "random" else source]
        yield source, random_boxes_by_rank(table, image_ids, count=count, seed=seed) if source == "random" else table


def random_boxes_by_rank(reference: pd.DataFrame, image_ids: Sequence[str], *, count: int, seed: int) -> pd.DataFrame:
    """Random boxes whose first N have the sizes of the first N of `reference`, for every N in COUNTS.

    The best boxes of a source are larger than the rest of a long list; a control of the same sizes must be as well.
    """
    own = reference[reference["image_id"].isin(image_ids)]
    steps = [0, *(step for step in COUNTS if step < count), count]
    parts = []
    for low, high in itertools.pairwise(steps):
        like = own[(own["rank"] >= low) & (own["rank"] < high)]
        part = random_boxes(own if like.empty else like, image_ids, count=high - low, seed=seed + low)
        parts.append(part.assign(rank=part["rank"] + np.int32(low)))
    return pd.concat(parts).sort_values(["image_id", "rank"], ignore_index=True)
