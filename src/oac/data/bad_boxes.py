"""One rule for the boxes of every source that reach beyond their photo or have no area: mend, count, or refuse."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from oac.data.tables import Release

Rule = Literal["clip", "drop", "refuse"]
ROUNDING = 1e-6  # what single precision and printed shares are off by; it is clipped and not counted
FAR = 0.025  # of the photo's side: what annotation tools are off by is less
EXAMPLES = 3


@dataclass(frozen=True)
class BadBoxes:
    """What was done to the boxes of a source: how many there were, were clipped, were dropped, and the first ones."""

    boxes: int
    clipped: int = 0
    dropped: int = 0  # without area, and with the rule "drop" all others that are bad
    examples: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return asdict(self) | {"examples": list(self.examples)}


def sentence(account: dict[str, Any]) -> str | None:
    """Say what was done, from `BadBoxes.as_dict`; None where nothing was."""
    if not account["clipped"] + account["dropped"]:
        return None
    return (
        f"Of {account['boxes']:,} boxes {account['clipped']:,} reached beyond their photo and were clipped to it, and"
        f" {account['dropped']:,} were left out (no area in the photo, or `bad_boxes: drop`); the first:"
        f" {'; '.join(account['examples'])}."
    )


def mend(release: Release, rule: Rule, most: float) -> tuple[Release, BadBoxes]:
    """Clip the boxes that reach beyond their photo and drop those that have no area in it.

    rule: "drop" leaves out the former too, "refuse" both. most: the largest share of boxes that may be without area
    or reach out by more than FAR of a side. Corners become float32. Raises ValueError, with the first of them and the
    likely reasons, where that is more, and for "refuse" where there is one at all.
    """
    if _are_good(release.boxes):  # without a copy: 14 million boxes are 450 MB
        return release, BadBoxes(len(release.boxes))
    corners = release.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        beyond = np.maximum(-corners, corners - 1).max(axis=1)
        clipped = corners.clip(0, 1).astype(np.float32)
        empty = ~(clipped[:, :2] < clipped[:, 2:]).all(axis=1)
    reaching = ~empty & (beyond > ROUNDING)
    odd = np.flatnonzero(empty | reaching)
    examples = tuple(_in_words(release, row, corners[row]) for row in odd[:EXAMPLES])
    wrong = int((empty | (reaching & (beyond > FAR))).sum())
    if wrong > most * len(corners) or (rule == "refuse" and len(odd)):
        raise ValueError(
            f"{len(odd):,} of {len(corners):,} boxes reach beyond their photo or have no area in it, the first:"
            f" {'; '.join(examples)}. Are corners given as x, y, width, height or the reverse, pixels for shares, or"
            " of photos of another size? Correct them, or see data.subset.bad_boxes and max_bad_boxes"
        )
    dropped = empty | (reaching & (rule == "drop"))
    boxes = release.boxes.assign(**dict(zip(("xmin", "ymin", "xmax", "ymax"), clipped.T, strict=True)))
    account = BadBoxes(len(corners), int((~dropped & reaching).sum()), int(dropped.sum()), examples)
    return replace(release, boxes=boxes[~dropped].reset_index(drop=True)), account


def _are_good(boxes: pd.DataFrame) -> bool:
    """Whether all boxes lie in their photos and have an area; corners are in single precision then."""
    sides = (("xmin", "xmax"), ("ymin", "ymax"))
    return all(
        boxes[low].dtype == boxes[high].dtype == np.float32
        and bool(((boxes[low] >= 0) & (boxes[low] < boxes[high]) & (boxes[high] <= 1)).all())
        for low, high in sides
    )


def _in_words(release: Release, row: int, corners: np.ndarray) -> str:
    box = release.boxes.iloc[row]
    x, y = (f"{corners[axis]:.4g} to {corners[axis + 2]:.4g}" for axis in (0, 1))
    return f"{box['label']} of photo {box['image_id']}, x {x}, y {y} of its sides"
