"""The sizes of photos: what annotations say of them beside what the photos' own headers say, which decides.

Boxes in pixels become shares of a photo's size, and annotations often have another one: width and height swapped by a
tool that turns photos, 0 x 0, or none. A header is read in about 0.1 ms.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from oac.data.bad_boxes import EXAMPLES, MOST_BAD, ROUNDING
from oac.data.decode import FORMATS
from oac.data.tables import SPLITS, Release, positions
from oac.user_files import BadFileError

UNKNOWN = (0.0, 0.0)
LARGEST = 1e6  # no photo has a longer side; what annotations claim beyond it is no size
READERS = 8  # a disk in a network answers several at a time


def said_size(width: Any, height: Any) -> tuple[float, float]:
    """Width and height of an annotation, UNKNOWN where they are no size: absent, 0, infinite, no numbers."""
    try:
        size = float(width), float(height)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN
    return size if all(math.isfinite(side) and 0 < side <= LARGEST for side in size) else UNKNOWN


def header_size(path: Path) -> tuple[float, float]:
    """Width and height of a photo as it is stored, from its header; UNKNOWN where it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if isinstance(image, TiffImageFile):  # Pillow says the size that it has once it is turned
                return float(image.tag_v2[IMAGEWIDTH]), float(image.tag_v2[IMAGELENGTH])
            return float(image.width), float(image.height)
    except Exception:  # a damaged file can make Pillow fail in any way; the store says later what is missing and why
        return UNKNOWN


def header_sizes(paths: Sequence[Path]) -> np.ndarray:
    """What `header_size` says of each photo (photos, 2), without Pillow's warnings, which name no file.

    They come again, with the name, when the photo is stored.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")
        return np.reshape(list(pool.map(header_size, paths)), (-1, 2))


def without_shares(release: Release, file: str | Path, takes: str, pixels: np.ndarray | None = None) -> Release:
    """Leave out boxes in a format of pixels that are in shares: they have an area and no corner above 1.

    takes: what takes pixels, with its remedy. pixels: the corners, in the order xmin, ymin, xmax, ymax, where the
    release, whose boxes are shares of `sizes`, does not tell them. Those left out are counted in the notes. Raises
    BadFileError where they are more than MOST_BAD of a split.
    """
    boxes = release.boxes
    if pixels is None:
        if release.sizes is None:
            return release
        corners = boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float)
        pixels = corners * np.tile(np.where(release.sizes > 0, release.sizes, 1.0), 2)[_images(release)]
    with np.errstate(invalid="ignore"):
        # VOC's corners are one less here than in their file.
        shares = (np.abs(pixels) <= 1 + ROUNDING).all(axis=1) & (pixels[:, :2] < pixels[:, 2:]).all(axis=1)
    if not shares.any():
        return release
    first = ", ".join(
        f"{box.label} of photo {box.image_id}" for box in boxes[shares].iloc[:EXAMPLES].itertuples(index=False)
    )
    splits = release.images["split"].to_numpy(object)[_images(release)]
    for split in SPLITS:
        of, count = int((splits == split).sum()), int(shares[splits == split].sum())
        if count > MOST_BAD * of:
            raise BadFileError(
                f"{file}: {count:,} of {of:,} boxes of {split} have no corner above 1, as shares of photos have, and"
                f" {takes}. The first: {first}"
            )
    note = f"Boxes of less than a pixel, as shares would be where pixels are taken, left out: {int(shares.sum()):,}"
    return replace(
        release,
        boxes=boxes[~shares].reset_index(drop=True),
        notes=(*release.notes, f"{note}, the first: {first}."),
    )


def _images(release: Release) -> np.ndarray:
    """The row of each box's photo."""
    return positions(release.boxes["image_id"], pd.Index(release.images["image_id"]))


def scaled(release: Release, photos: Path | None) -> Release:
    """Make the boxes shares of the photos' own sizes, which are read from the headers of all photos with boxes.

    release: its boxes are shares of `sizes`, and pixels where these are 0. photos: the folder that paths are relative
    to; None where the photos come from a server, so that the annotations' sizes are all there is. Boxes whose photo
    has no size at all have no corners (NaN) then, and are counted as bad. A release without `sizes` stays as it is.
    """
    said = release.sizes
    if said is None:
        return release
    own = np.zeros_like(said)
    rows = _images(release)
    if photos is not None:
        with_boxes = np.unique(rows)
        paths = release.images["path"].to_numpy(object)[with_boxes]
        own[with_boxes] = header_sizes([photos / path for path in paths])
    pixels = np.where(said > 0, said, 1.0)
    with np.errstate(divide="ignore"):
        scale = np.where(own > 0, pixels / own, np.where(said > 0, 1.0, np.nan))[rows]
    odd = (scale != 1).any(axis=1)
    if not odd.any():
        return replace(release, own_sizes=own)
    boxes = release.boxes.copy()
    for axis, (low, high) in enumerate((("xmin", "xmax"), ("ymin", "ymax"))):
        for name in (low, high):
            boxes[name] = boxes[name].to_numpy(np.float64) * scale[:, axis]
    return replace(release, boxes=boxes, own_sizes=own)


def differences(paths: Sequence[str], said: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """Count the photos whose size is not what their annotation says, and name the first; for summary.json.

    said, own: (photos, 2) width and height, 0 where there is none; photos without an own size do not count.
    """
    read = (own > 0).all(axis=1)
    absent = read & (said == 0).any(axis=1)
    other = read & ~absent & (said != own).any(axis=1)
    swapped = other & (said == own[:, ::-1]).all(axis=1)
    examples = []
    for row in np.flatnonzero(absent | other)[:EXAMPLES]:
        (width, height), (wide, high) = own[row], said[row]
        words = "no size" if absent[row] else f"{wide:g} x {high:g}"
        words += ", width and height swapped" if swapped[row] else ""
        examples.append(f"{paths[row]} is {width:g} x {height:g} (annotation: {words})")
    counts = {"compared": read, "different": other, "swapped": swapped, "absent": absent}
    return {name: int(flags.sum()) for name, flags in counts.items()} | {"examples": examples}


def sentence(account: dict[str, Any], done: str) -> str | None:
    """Say what was found, from `differences`; None where every annotation is right. done: what was made of it."""
    if not account["different"] + account["absent"]:
        return None
    turned = (
        f" {account['swapped']:,} of them with width and height swapped, as tools do that turn photos by their EXIF"
        " data: look whether their boxes fit, which are taken to be of the pixels as stored;"
        if account["swapped"]
        else ""
    )
    return (
        f"Sizes of photos: of {account['compared']:,} photos {account['different']:,} have another size than their"
        f" annotation says,{turned} and {account['absent']:,} have none in it. {done}. The first:"
        f" {'; '.join(account['examples'])}."
    )
