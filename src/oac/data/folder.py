"""Reads any folder of photos with a CSV of boxes into the canonical tables.

The file has a header that names the columns, in any order, and a line for each box; a photo without boxes has one
whose label and corners are blank:
- path: the photo, relative to the folder;
- label: the class;
- xmin, xmax, ymin, ymax: the corners, in pixels or as shares of the photo (`units`), of the photo as it is stored;
- split: train, validation (or val) or test;
- optionally is_group_of (1 or 0) and rotation (degrees counter-clockwise that make the stored photo upright: 0, 90,
  180, 270, or blank for 0).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oac.csv_tables import read_user_table
from oac.data.openimages import rotate_boxes
from oac.data.photo_files import file_state, plain_path, present, short_ids
from oac.data.photo_sizes import UNKNOWN, header_sizes, without_shares
from oac.data.tables import (
    BOX_COLUMNS,
    FLAGS,
    IMAGE_COLUMNS,
    ROTATIONS,
    SPLITS,
    Release,
    check_columns,
    check_constant,
    check_filled,
    check_release,
    read_choices,
    read_numbers,
)
from oac.user_files import BadFileError

SPLIT_NAMES = {split: split for split in SPLITS} | {"val": "validation", "valid": "validation"}
CORNERS = ("xmin", "xmax", "ymin", "ymax")
COLUMNS = ("path", "label", *CORNERS, "split")


def files(folder: str | Path, *, boxes: str, **_: object) -> list[str]:
    """The file of boxes."""
    return [str(Path(folder) / boxes)]


def most_photos(folder: str | Path, *, boxes: str, **_: object) -> dict[str, int]:
    """How many lines of the file each split has, at least one a photo."""
    return _listed(Path(folder) / boxes, file_state(Path(folder) / boxes))[0]


def state(folder: str | Path, *, boxes: str, **_: object) -> Iterator[str]:
    """Size and time of each photo that the file names."""
    names = _listed(Path(folder) / boxes, file_state(Path(folder) / boxes))[1]
    yield from (f"{name}\t{file_state(Path(folder, present(folder, name)))}" for name in names)


@functools.lru_cache(maxsize=1)
def _listed(path: Path, _: str) -> tuple[dict[str, int], list[str]]:
    """How many lines of the file each split has, and the photos; a call of Snakemake asks for both, of large files.

    The second argument is the file's state.
    """
    table = _table(path, ["split", "path"])
    _read_splits(table, path)
    counts: dict[str, int] = table["split"].value_counts().to_dict()
    return (
        {split: counts[split] for split in SPLITS if split in counts},
        sorted({plain_path(name) for name in set(table["path"])}),
    )


def read_release(folder: str | Path, *, boxes: str, units: str = "share") -> Release:
    """Read the file `boxes` in `folder`; units: share (0 to 1) or pixels, for which every photo's header is read.

    The id of a photo is its path without the suffix, with "__" for each "/", or the path itself where two would have
    one id. Backslashes in paths are slashes, `./` in them and blanks around cells do not count. Classes are those
    that occur, sorted.

    Boxes in pixels of a photo that cannot be read have no corners (NaN). Raises FileNotFoundError for an absent file,
    and where no photo can be read, ValueError, naming file and line, for a wrong one, and for shares given as pixels.
    """
    folder = Path(folder)
    path = folder / boxes
    table = _table(path, COLUMNS)
    if table.empty:
        raise ValueError(f"{path} has no line of a box")
    empty = (table[["label", *CORNERS]] == "").all(axis=1).to_numpy()
    if units == "pixels":
        _check_marks(table[~empty], path)
    table.loc[empty, ["label", *CORNERS]] = "0"  # a photo without a box
    _read_values(table, path)
    paths = list(dict.fromkeys(table["path"]))
    names = [re.sub(r"\.[^./]*$", "", path).replace("/", "__") for path in paths]
    table["image_id"] = table["path"].map(dict(zip(paths, short_ids(paths, names), strict=True)))
    for name in ("split", "rotation"):
        check_constant(table, "path", name, path)
    images = table[IMAGE_COLUMNS].drop_duplicates(ignore_index=True)
    corners = table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float)
    pixels, own = corners, None
    if units == "pixels":
        sizes = _sizes(table["path"], folder, path)
        corners = pixels / np.tile(sizes, 2)
        own = np.nan_to_num(sizes[~table["path"].duplicated()])
    corners = rotate_boxes(corners, table["rotation"].to_numpy())
    for place, name in enumerate(("xmin", "ymin", "xmax", "ymax")):
        table[name] = corners[:, place]
    boxed = table[~empty]
    labels = sorted(set(boxed["label"]))
    classes = pd.DataFrame({"label": labels, "name": labels})
    release = Release(images, boxed[BOX_COLUMNS].reset_index(drop=True), classes, own_sizes=own)
    check_release(release, path)
    if units == "share":
        return release
    takes = "data.folder.units is pixels: say `units: share` if all corners are shares, else write those in pixels"
    return without_shares(release, path, takes, pixels[~empty])


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The file of boxes as text, so that a wrong value can be shown as it is written."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a CSV file with the columns {', '.join(COLUMNS)} is expected"
        )
    table = read_user_table(path).rename(columns={"isgroupof": "is_group_of"})  # as Open Images writes it
    check_columns(list(table.columns), columns, path)
    return table


def _read_splits(table: pd.DataFrame, path: Path) -> None:
    read_choices(table, "split", SPLIT_NAMES, f"split must be one of {', '.join(SPLIT_NAMES)}", path)


def _read_values(table: pd.DataFrame, path: Path) -> None:
    """Turn the columns of text into what they mean, in place."""
    table["path"] = table["path"].map(plain_path)
    _read_splits(table, path)
    check_filled(table, ["path", "label"], path)
    read_numbers(table, CORNERS, path)
    for name, absent in (("rotation", "0"), ("is_group_of", "0")):
        if name not in table:
            table[name] = absent
    # A column with a blank in it is written with decimals by many programs, as in the official image lists.
    turns = {"": 0} | {text: turn for turn in ROTATIONS for text in (f"{turn}", f"{turn}.0")}
    read_choices(table, "rotation", turns, f"rotation must be one of {ROTATIONS} or blank", path)
    read_choices(table, "is_group_of", FLAGS, "is_group_of must be 1 or 0", path)
    table["rotation"] = table["rotation"].astype(np.int16)
    table["is_group_of"] = table["is_group_of"].astype(bool)


def _check_marks(table: pd.DataFrame, path: Path) -> None:
    """Raise BadFileError where points or commas in pixels seem to part thousands: 1.000 would be read as 1.

    They do where both are there, or where three digits follow each and other numbers have none.
    """
    texts = table[["xmin", "xmax", "ymin", "ymax"]].stack()
    marked = texts[texts.str.contains(r"[.,]")]
    kinds = {mark for mark in ".," if marked.str.contains(mark, regex=False).any()}
    thousands = marked[marked.str.fullmatch(r"[-+]?[1-9]\d{0,2}([.,]\d{3})+")]
    if len(kinds) == 2 or 0 < len(marked) == len(thousands) < len(texts):
        first = thousands if len(thousands) else marked
        line, name = first.index[0]
        raise BadFileError(
            f"{path}, line {line}: {name} is {first.iloc[0]!r}, with a mark of decimals or of thousands: leave marks"
            " of thousands out, use one decimal mark, and write decimals with other than three places"
        )


def _sizes(paths: pd.Series, folder: Path, file: Path) -> np.ndarray:
    """Width and height in pixels (rows, 2) of each row's photo, by its header; NaN where that cannot be read."""
    names = paths.unique()
    sizes = header_sizes([folder / present(folder, path) for path in names])
    if (sizes == UNKNOWN).all():
        raise FileNotFoundError(
            f"{file}: not one of its photos can be read, which boxes in pixels need; the first is"
            f" {folder / paths.iloc[0]}, of line {paths.index[0]}"
        )
    found = sizes[pd.Index(names).get_indexer(paths)]
    return np.where(found > 0, found, np.nan)
