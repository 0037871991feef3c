"""The canonical tables every source is turned into, their checks, and two views of the box table.

A source module (openimages, voc, ...) reads a published layout and returns a `Release`. Everything after it
knows only these tables: boxes in [0, 1] of the upright photo, classes by their label, photos by a path
relative to the folder or address the photos lie under.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from oac.csv_tables import LINE

IMAGE_COLUMNS = ["image_id", "split", "path", "rotation"]
BOX_COLUMNS = ["image_id", "label", "xmin", "xmax", "ymin", "ymax", "is_group_of"]
PROPOSAL_COLUMNS = ["image_id", "rank", "xmin", "xmax", "ymin", "ymax", "score"]
CLASS_COLUMNS = ["label", "name"]
SPLITS = ("train", "validation", "test")
ROTATIONS = (0, 90, 180, 270)
LEAST_MATCHED = 0.95  # share of ids that must find what they are joined with: ids written otherwise would go unseen

# How flags are written in files of boxes: programs that had a blank in the column write them as 1.0. Open Images has
# -1 for unknown, which counts as false here, as a blank does.
FLAGS = {"1": True, "1.0": True, "true": True} | dict.fromkeys(
    ("0", "0.0", "false", "-1", "-1.0", "", "nan", "none"), False
)

# Annotation files are read with one header line, and lines are numbered from 1; tables of users tell their lines.
FIRST_LINE = 2


@dataclass(frozen=True)
class Release:
    """A published data set in canonical form, before any filter.

    images: image_id, split (one of SPLITS), path, rotation (degrees counter-clockwise that make the stored
    file upright). boxes: BOX_COLUMNS, float32 corners in [0, 1] of the upright photo, and is_depiction where
    the source knows (a drawing or the like, not the object itself). classes: label, name; the order of its rows is
    the order of the classes; a source without labels has none of either. The id and label columns may be categorical.
    other_files: how many files of a folder are no photos by their names. sizes, of a source with boxes in pixels:
    (images, 2), width and height of each photo as stored by its annotation, 0 where that has none and its boxes still
    are pixels. own_sizes: the same by the photos' headers, 0 where none was read (oac.data.photo_sizes). notes: what
    a reader must know of the files, in sentences.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: pd.DataFrame
    other_files: int = 0
    sizes: np.ndarray | None = None
    own_sizes: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def positions(values: pd.Series, index: pd.Index) -> np.ndarray:
    """Position of each value in `index`, or -1; a categorical is looked up once per category."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        if values.cat.categories.equals(index):
            return values.cat.codes.to_numpy()
        # The appended -1 answers the code -1, which stands for a missing value.
        found = np.append(index.get_indexer(pd.Index(values.cat.categories)), -1)
        return found[values.cat.codes.to_numpy()]
    return index.get_indexer(pd.Index(values))


def check_columns(columns: Sequence[str], wanted: Sequence[str], file: str | Path) -> None:
    """Raise ValueError, naming the file, where a wanted column is not among `columns`."""
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ValueError(
            f"{file}: column {', '.join(missing)} is missing; the file has {', '.join(columns) or 'none'}. "
            "Is it the right file, and does its first line name the columns?"
        )


def _line(index: pd.Index, row: int) -> int:
    """The line of a file that a row was read from."""
    return int(index[row]) if index.name == LINE else row + FIRST_LINE


def read_numbers(table: pd.DataFrame, names: Sequence[str], file: str | Path) -> None:
    """Turn columns of text into float64 in place; ValueError, naming file and line, where one is not finite.

    A comma is a decimal mark in a user's file that is not separated by commas.
    """
    for name in names:
        texts = table[name]
        if table.attrs.get("decimal") == ",":
            texts = texts.str.replace(r"^([-+]?\d*),(\d+)$", r"\1.\2", regex=True)
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
        _check_lines(np.isfinite(values), table[name], f"{name} must be a number", file)
        table[name] = values


def read_choices(table: pd.DataFrame, name: str, choices: Mapping[str, Any], what: str, file: str | Path) -> None:
    """Replace the texts of a column by what they mean, in place; ValueError, naming file and line, for others.

    what: the sentence that says which texts are allowed.
    """
    texts = table[name].str.strip().str.lower()
    _check_lines(texts.isin(list(choices)).to_numpy(), table[name], what, file)
    table[name] = texts.map(choices)


def check_filled(table: pd.DataFrame, names: Sequence[str], file: str | Path) -> None:
    """Raise ValueError, naming file and line, where a column of text has a blank."""
    for name in names:
        _check_lines((table[name].str.strip() != "").to_numpy(), table[name], f"{name} must not be blank", file)


def _check_lines(good: np.ndarray, texts: pd.Series, what: str, file: str | Path) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"{file}, line {_line(texts.index, row)}: {what}, not {texts.iloc[row]!r}"
            f" ({int((~good).sum())} such rows)"
        )


def check_constant(table: pd.DataFrame, photo: str, name: str, file: str | Path) -> None:
    """Raise ValueError, naming file and line, where lines of one photo, told by a column, differ in another."""
    first = table.drop_duplicates(photo).set_index(photo)[name]
    odd = (table[name] != table[photo].map(first)).to_numpy()
    if odd.any():
        row = int(np.argmax(odd))
        image, value = table[photo].iloc[row], table[name].iloc[row]
        raise ValueError(
            f"{file}, line {_line(table.index, row)}: {name} of photo {image} is {value} here and {first[image]}"
            f" before ({int(odd.sum())} such rows); leave one of them"
        )


SAME_RELEASE = "do both files belong to the same release?"


def check_known(
    values: pd.Series,
    known: pd.Index,
    what: str,
    file: str | Path,
    list_file: str | Path,
    *,
    remedy: str = SAME_RELEASE,
) -> None:
    """Raise ValueError, naming file and line, where a value of a column is not in the list it refers to."""
    found, lines = positions(values, known), values.index
    check_found(
        found, lambda row: values.iloc[row], what, file, list_file, lambda row: _line(lines, row), remedy=remedy
    )


def check_found(
    found: np.ndarray,
    value_of: Callable[[int], str],
    what: str,
    file: str | Path,
    list_file: str | Path,
    number_of: Callable[[int], int] = lambda row: row + FIRST_LINE,
    *,
    remedy: str = SAME_RELEASE,
) -> None:
    """Do what check_known does, of positions (-1 is unknown); value_of and number_of tell of a row."""
    bad = found < 0
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{file}, line {number_of(row)}: {what} {value_of(row)} is not in {list_file} "
            f"({int(bad.sum())} such rows); {remedy}"
        )


def unmatched_note(file: str | Path, of: int, what: str, unmatched: Sequence[str], done: str) -> tuple[str, ...]:
    """Say how many of the ids find nothing in a table they are joined with, and name the first; nothing without."""
    if not unmatched:
        return ()
    first = ", ".join(unmatched[:3])
    return (f"{Path(file).name}: {of - len(unmatched):,} of {of:,} {what}. {done}: {first}.",)


def check_unique(values: pd.Series, key: str, source: str | Path) -> None:
    """Raise ValueError, naming `source` and the first of them, where a value is listed twice."""
    if pyarrow.compute.count_distinct(pa.array(values)).as_py() < len(values):
        twice = values[values.duplicated()].iloc[0]
        raise ValueError(f"{source}: {key} {twice} is listed more than once")


def outside(paths: pd.Series) -> pd.Series:
    """Which paths are absolute or lead upwards, and so out of a data set's folder."""
    return paths.str.contains(r"^/|^[A-Za-z]:/|(?:^|/)\.\.(?:/|$)", regex=True)


def lies_outside(source: str | Path, path: str) -> str:
    """What to say of a photo whose path leads out of the source's folder."""
    return f"{source}: photo {path} lies outside of the data set's folder: name it by its path below"


def check_lines(release: Release, source: str | Path) -> None:
    """Raise ValueError, naming `source`, for a path or the name of a class that would end a line of a table."""
    for table, key in ((release.images, "path"), (release.classes, "label"), (release.classes, "name")):
        if (odd := table[key].astype("str").str.contains(r"[\r\n]", regex=True)).any():
            raise ValueError(f"{source}: the {key} {table[key][odd].iloc[0]!r} has a line break")


def check_release(release: Release, source: str | Path) -> None:
    """Raise ValueError, naming `source`, where the tables of a release contradict each other.

    Looks at what no single file can show: photos listed twice, a split or rotation that does not exist,
    classes listed twice, a path that cannot be or leads out of the source's folder, and a release without any box.
    """
    paths = release.images["path"].astype("str")
    if (odd := paths.str.contains("\0", regex=False)).any():
        raise ValueError(f"{source}: {paths[odd].iloc[0]!r} is the path of a photo and has a character of code 0")
    if (odd := outside(paths)).any():
        raise ValueError(lies_outside(source, release.images["path"][odd].iloc[0]))
    for table, key in ((release.images, "image_id"), (release.classes, "label")):
        check_unique(table[key], key, source)
    for column, allowed in (("split", SPLITS), ("rotation", ROTATIONS)):
        odd = ~release.images[column].isin(allowed)
        if odd.any():
            first = release.images[odd].iloc[0]
            raise ValueError(
                f"{source}: image {first['image_id']} has the {column} {first[column]}; allowed are {allowed}"
            )
    if release.boxes.empty:
        raise ValueError(
            f"{source}: there is not one box in this release; an object-aware study needs boxes. "
            "Check that the box annotation files are complete"
        )


def write_boxes(parts: Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write a box table that comes in parts as one Parquet file, ids and labels as text, a row group a part."""
    corners = [(name, pa.float32()) for name in ("xmin", "xmax", "ymin", "ymax")]
    schema = pa.schema([("image_id", pa.string()), ("label", pa.string()), *corners, ("is_group_of", pa.bool_())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(pa.Table.from_pandas(part[BOX_COLUMNS], preserve_index=False).cast(schema))


def boxes_by_image(boxes: pd.DataFrame, image_ids: Sequence[str]) -> list[np.ndarray]:
    """The boxes of each photo: float32 arrays (n, 4) of xmin, ymin, xmax, ymax, in the order of `image_ids`.

    Boxes keep the order they have in the table; a photo without boxes gets a (0, 4) array; boxes of other
    photos are left out. Works on the box table and on proposals alike.
    """
    where = positions(boxes["image_id"], _unique_index(image_ids))
    order = np.argsort(where, kind="stable")
    order = order[np.searchsorted(where[order], 0) :]
    corners = boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float32)[order]
    ends = np.cumsum(np.bincount(where[order], minlength=len(image_ids)))
    return [corners[start:end] for start, end in zip(np.append(0, ends[:-1]), ends, strict=True)]


def boxes_per_photo(boxes: pd.DataFrame, image_ids: Sequence[str]) -> float:
    """Mean number of boxes of these photos; boxes of other photos are left out."""
    return float(boxes["image_id"].isin(image_ids).sum() / len(image_ids))


def label_matrix(boxes: pd.DataFrame, image_ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Multi-label targets (N, C), uint8: 1 where photo n has a box of class c; others are left out."""
    rows = positions(boxes["image_id"], _unique_index(image_ids))
    columns = positions(boxes["label"], _unique_index(labels))
    known = (rows >= 0) & (columns >= 0)
    matrix = np.zeros((len(image_ids), len(labels)), np.uint8)
    matrix[rows[known], columns[known]] = 1
    return matrix


def _unique_index(keys: Sequence[str]) -> pd.Index:
    index = pd.Index(keys, dtype="str")
    if not index.is_unique:
        raise ValueError(f"{index[index.duplicated()][0]} is asked for more than once")
    return index
