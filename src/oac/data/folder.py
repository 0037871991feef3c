"""Reads any folder of photos with a CSV of boxes into the canonical tables.

The file has a line for each box and a header that names the columns, in any order:
- path: the photo, relative to the folder;
- label: the class;
- xmin, xmax, ymin, ymax: the corners, in pixels or as shares of the photo (`units`), of the photo as it is stored;
- split: train, validation or test;
- optionally is_group_of (1 or 0) and rotation (degrees counter-clockwise that make the stored photo upright: 0, 90,
  180, 270, or blank for 0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from oac.csv_tables import read_text_table
from oac.data.decode import FORMATS
from oac.data.openimages import rotate_boxes
from oac.data.photo_files import short_ids, size
from oac.data.tables import (
    BOX_COLUMNS,
    FLAGS,
    IMAGE_COLUMNS,
    ROTATIONS,
    SPLITS,
    Release,
    check_columns,
    check_filled,
    check_release,
    read_choices,
    read_numbers,
)

COLUMNS = ("path", "label", "xmin", "xmax", "ymin", "ymax", "split")


def files(folder: str | Path, *, boxes: str, **_: object) -> list[str]:
    """The file of boxes."""
    return [str(Path(folder) / boxes)]


def most_photos(folder: str | Path, *, boxes: str, **_: object) -> dict[str, int]:
    """How many lines of the file each split has, at least one a photo."""
    path = Path(folder) / boxes
    _check_there(path)
    table = read_text_table(path)
    check_columns(list(table.columns), ["split"], path)
    counts: dict[str, int] = table["split"].value_counts().to_dict()
    return {split: counts[split] for split in SPLITS if split in counts}


def state(folder: str | Path, *, boxes: str, **_: object) -> Iterator[str]:
    """The size of each photo that the file names."""
    path = Path(folder) / boxes
    _check_there(path)
    table = read_text_table(path)
    check_columns(list(table.columns), ["path"], path)
    yield from (f"{name}\t{size(Path(folder, name))}" for name in sorted(set(_plain(table["path"]))))


def read_release(folder: str | Path, *, boxes: str, units: str = "share") -> Release:
    """Read the file `boxes` in `folder`; units: share (0 to 1) or pixels, for which every photo's header is read.

    The id of a photo is its path without the suffix, with "__" for each "/", or the path itself where two would have
    one id. Backslashes in paths are slashes, and blanks around paths and labels do not count. Classes are those that
    occur, sorted.

    Raises FileNotFoundError for an absent file or photo, ValueError, naming file and line, for a wrong one.
    """
    folder = Path(folder)
    path = folder / boxes
    _check_there(path)
    # As text, so that a wrong value can be shown as it is written.
    table = read_text_table(path)
    check_columns(list(table.columns), COLUMNS, path)
    if table.empty:
        raise ValueError(f"{path} has no line of a box")
    _read_values(table, path)
    paths = list(dict.fromkeys(table["path"]))
    names = [re.sub(r"\.[^./]*$", "", path).replace("/", "__") for path in paths]
    table["image_id"] = table["path"].map(dict(zip(paths, short_ids(paths, names), strict=True)))
    images = table[IMAGE_COLUMNS].drop_duplicates(ignore_index=True)
    corners = table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float)
    if units == "pixels":
        sizes = {name: _size(folder / name) for name in images["path"]}
        corners = corners / np.tile(np.array([sizes[name] for name in table["path"]], float), 2)
    corners = rotate_boxes(corners, table["rotation"].to_numpy())
    for place, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        table[name] = corners[:, place]
    labels = sorted(set(table["label"]))
    release = Release(images, table[BOX_COLUMNS], pd.DataFrame({"label": labels, "name": labels}))
    check_release(release, path)
    return release


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a CSV file with the columns {', '.join(COLUMNS)} is expected"
        )


def _read_values(table: pd.DataFrame, path: Path) -> None:
    """Turn the columns of text into what they mean, in place."""
    table["label"], table["path"] = table["label"].str.strip(), _plain(table["path"])
    check_filled(table, ["path", "label"], path)
    read_numbers(table, ["xmin", "xmax", "ymin", "ymax"], path)
    for name, absent in (("rotation", "0"), ("is_group_of", "0")):
        if name not in table:
            table[name] = absent
    # A column with a blank in it is written with decimals by many programs, as in the official image lists.
    turns = {"": 0} | {text: turn for turn in ROTATIONS for text in (f"{turn}", f"{turn}.0")}
    read_choices(table, "rotation", turns, f"rotation must be one of {ROTATIONS} or blank", path)
    read_choices(table, "is_group_of", FLAGS, "is_group_of must be 1 or 0", path)
    table["rotation"] = table["rotation"].astype(np.int16)
    table["is_group_of"] = table["is_group_of"].astype(bool)


def _plain(paths: pd.Series) -> pd.Series:
    """Paths without blanks around them, with slashes, and without `./` in front."""
    return paths.str.strip().str.replace("\\", "/").str.replace(r"^(\./)+", "", regex=True)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=FORMATS) as image:
        return image.size
