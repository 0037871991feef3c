"""One rule for the boxes of every source that reach beyond their photo or have no area: mend, count, or refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from oac.data.tables import Release, positions

Rule = Literal["clip", "drop", "refuse"]
EXACT = 1e-9  # what sums and quotients in double precision are off by, which is no mistake of a file
ROUNDING = 1e-6  # what single precision and printed shares are off by; it is clipped whatever the rule
MOST_BAD = 0.05  # share of the boxes of a source, or of a file of proposals, that may be without area or beyond FAR
FAR = 0.025  # of the photo's side: what annotation tools are off by is less
FAR_PIXELS = 1.5  # or so many pixels, where the photo's size is known: a pixel is more than FAR of a small photo
EXAMPLES = 3


@dataclass(frozen=True)
class BadBoxes:
    """What was done to the boxes of a source: how many there were, were clipped, were dropped, and the first ones."""

    boxes: int
    clipped: int = 0
    dropped: int = 0  # without area, and with the rule "drop" all others that are bad
    examples: tuple[str, ...] = ()
    one_pixel_before: int = 0  # of the clipped: begin exactly one pixel before the photo and end in it

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return asdict(self) | {"examples": list(self.examples)}


def sentence(account: dict[str, Any]) -> str | None:
    """Say what was done, from `BadBoxes.as_dict`; None where nothing was."""
    if not account["clipped"] + account["dropped"]:
        return None
    shifted = account.get("one_pixel_before", 0)
    likely = (
        f" {shifted:,} of the clipped begin exactly one pixel before their photo. Corners are probably counted from 0"
        " in a format that counts from 1, as VOC's does. All boxes are one pixel off then: add 1 to all corners."
        if 2 * shifted > account["clipped"]
        else ""
    )
    return (
        f"Of {account['boxes']:,} boxes {account['clipped']:,} reached beyond their photo and were clipped to it, and"
        f" {account['dropped']:,} were left out (no area in the photo, or `bad_boxes: drop`); the first:"
        f" {'; '.join(account['examples'])}.{likely}"
    )


def mend(
    release: Release,
    rule: Rule,
    most: float,
    *,
    name: Callable[[pd.Series], str] = lambda box: str(box["label"]),
    remedy: str = "Correct them, or see data.subset.bad_boxes and max_bad_boxes",
) -> tuple[Release, BadBoxes]:
    """Clip the boxes that reach beyond their photo and drop those that have no area in it.

    rule: "drop" leaves out the former too, "refuse" both; those that reach out by ROUNDING or less are always
    clipped. most: the largest share of boxes that may be without area or reach out by more than FAR of a side and
    FAR_PIXELS. name: what tells a box, beside its photo. remedy: ends the refusal. Corners become float32. Raises
    ValueError, with the first of them and the likely reasons, where that is more, and for "refuse" where there is one
    at all.
    """
    if _are_good(release.boxes):  # without a copy: 14 million boxes are 450 MB
        return release, BadBoxes(len(release.boxes))
    corners = release.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        beyond = np.maximum(-corners, corners - 1).max(axis=1)
        clipped = corners.clip(0, 1).astype(np.float32)
        empty = ~(clipped[:, :2] < clipped[:, 2:]).all(axis=1)
        far = (np.maximum(-corners, corners - 1) > _far(release)).any(axis=1)
    reaching = ~empty & (beyond > EXACT)
    bad = empty | (reaching & (beyond > ROUNDING))
    odd = np.flatnonzero(empty | reaching)
    examples = tuple(_in_words(name, release.boxes.iloc[row], corners[row]) for row in odd[:EXAMPLES])
    wrong = int((empty | (reaching & far)).sum())
    if wrong > most * len(corners) or (rule == "refuse" and bad.any()):
        lacking = int(np.isnan(corners).any(axis=1).sum())
        polygons = (
            f" {lacking:,} have no corners, as objects with a polygon or a mask alone, or pixels of a photo without"
            " a size."
            if lacking
            else ""
        )
        raise ValueError(
            f"{len(odd):,} of {len(corners):,} boxes reach beyond their photo or have no area in it, the first:"
            f" {'; '.join(examples)}.{polygons} Are corners given as x, y, width, height or the reverse, pixels for"
            f" shares, counted from 0 where the format counts from 1, or of photos of another size? {remedy}"
        )
    dropped = bad if rule == "drop" else empty
    boxes = release.boxes.assign(**dict(zip(("xmin", "ymin", "xmax", "ymax"), clipped.T, strict=True)))
    cut = np.flatnonzero(~dropped & reaching)
    shifted = _one_pixel_before(release, cut, corners[cut])
    account = BadBoxes(len(corners), len(cut), int(dropped.sum()), examples, shifted)
    return replace(release, boxes=boxes[~dropped].reset_index(drop=True)), account


def _are_good(boxes: pd.DataFrame) -> bool:
    """Whether all boxes lie in their photos and have an area; corners are in single precision then."""
    sides = (("xmin", "xmax"), ("ymin", "ymax"))
    return all(
        boxes[low].dtype == boxes[high].dtype == np.float32
        and bool(((boxes[low] >= 0) & (boxes[low] < boxes[high]) & (boxes[high] <= 1)).all())
        for low, high in sides
    )


def _sides(release: Release) -> np.ndarray:
    """Width and height of the upright photos, by their headers or else their annotations; 0 where neither says."""
    known = np.zeros((len(release.images), 2))
    for sizes in (release.own_sizes, release.sizes):
        if sizes is not None:
            known = np.where(known > 0, known, sizes)
    turned = release.images["rotation"].isin((90, 270)).to_numpy()
    return np.where(turned[:, None], known[:, ::-1], known)


def _far(release: Release) -> np.ndarray | float:
    """How far each corner may reach beyond its photo, as a share of the side."""
    if release.sizes is None and release.own_sizes is None:
        return FAR
    image = positions(release.boxes["image_id"], pd.Index(release.images["image_id"]))
    with np.errstate(divide="ignore"):
        pixels = np.where((sides := _sides(release)) > 0, FAR_PIXELS / sides, 0)
    return np.tile(np.maximum(FAR, pixels), 2)[image]


def _one_pixel_before(release: Release, rows: np.ndarray, corners: np.ndarray) -> int:
    """How many of some boxes begin exactly one pixel before their photo and end in it, where its size is known."""
    if release.sizes is None:
        return 0
    image = positions(release.boxes["image_id"].iloc[rows], pd.Index(release.images["image_id"]))
    pixels = corners.reshape(-1, 2, 2) * _sides(release)[image][:, None]
    before = np.abs(pixels[:, 0] + 1) < 1e-3
    inside = pixels >= -EXACT
    inside[:, 1] &= corners[:, 2:] <= 1 + EXACT
    return int((before.any(axis=1) & (before | inside[:, 0]).all(axis=1) & inside[:, 1].all(axis=1)).sum())


def _in_words(name: Callable[[pd.Series], str], box: pd.Series, corners: np.ndarray) -> str:
    if np.isnan(corners).any():
        return f"{name(box)} of photo {box['image_id']}, which has no corners or no size"
    x, y = (f"{_digits(corners[axis])} to {_digits(corners[axis + 2])}" for axis in (0, 1))
    return f"{name(box)} of photo {box['image_id']}, x {x}, y {y} of its sides"


def _digits(corner: float) -> str:
    """A corner in so many digits that one beyond 1 does not read 1."""
    return f"{corner:.{7 if corner == 1 or abs(corner - 1) > ROUNDING else 12}g}"
