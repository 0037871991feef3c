"""Reads an Open Images release: the official CSV files, by their official names, into the canonical tables.

The files are large (the train boxes alone are 14.6 million rows, 2.2 GB), so only the columns needed are
parsed, ids and labels stay categorical, and corners are float32.

Orientation. 2.6 % of the stored photos are not upright. The image lists carry a Rotation column: "the degrees
(counterclockwise) that the image and boxes should be rotated", 0, 90, 180 or 270, empty where unknown
(https://storage.googleapis.com/openimages/web/2018-05-17-rotation-information.html). So the published boxes
refer to the photo as it is stored, and both are turned by it, the boxes here and the photo in the image store
(oac.data.decode). Where it is empty neither is turned: an EXIF orientation that a file still has says nothing of
its boxes. A mirror whose boxes were already turned is read with `boxes_of="upright"`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from oac.data.tables import (
    BOX_COLUMNS,
    CLASS_COLUMNS,
    ROTATIONS,
    SPLITS,
    Release,
    check_columns,
    check_found,
    check_release,
    check_unique,
)
from oac.user_files import open_bytes, open_text, reading

CLASSES_FILE = "class-descriptions-boxable.csv"

_TEXT = pa.dictionary(pa.int32(), pa.string())
_BOX_TYPES = {
    "ImageID": _TEXT,
    "LabelName": _TEXT,
    "XMin": pa.float32(),
    "XMax": pa.float32(),
    "YMin": pa.float32(),
    "YMax": pa.float32(),
    "IsGroupOf": pa.int8(),
    "IsDepiction": pa.int8(),
}
_OPTIONAL = {"IsDepiction"}  # copies of the official files often leave columns out
_BOX_NAMES = {
    "ImageID": "image_id",
    "LabelName": "label",
    "IsGroupOf": "is_group_of",
    "IsDepiction": "is_depiction",
}
_IMAGE_TYPES = {"ImageID": pa.string(), "Rotation": pa.float32()}


def box_file(split: str) -> str:
    """Official name of the box file of a split; only the train file has the V6 prefix."""
    return f"{'oidv6-' if split == 'train' else ''}{split}-annotations-bbox.csv"


def image_list_file(split: str) -> str:
    """Official name, with its folder, of the image list of a split; that of train has boxed photos only."""
    return f"{split}/{split}-images-{'boxable-' if split == 'train' else ''}with-rotation.csv"


def annotation_files(splits: Sequence[str]) -> list[str]:
    """Official names, relative to the release folder, of the files `read_release` needs for these splits."""
    _check_splits(splits)
    return [CLASSES_FILE, *(name(split) for split in splits for name in (box_file, image_list_file))]


def read_release(
    folder: str | Path, splits: Sequence[str], *, boxes_of: Literal["stored", "upright"] = "stored"
) -> Release:
    """Read the annotation files of some splits; the photo of an image is expected at "{split}/{ImageID}.jpg".

    boxes_of says which photo the corners in the files refer to (see the module's text). Box files may have
    the 13 columns of V4/V5 or the 21 of V6: columns are found by name. IsGroupOf -1 (unknown) counts as
    false.

    Raises FileNotFoundError for an absent file and ValueError, naming file and line or column, for a wrong
    one.
    """
    folder = Path(folder)
    _check_splits(splits)
    classes = read_classes(folder / CLASSES_FILE)
    lists = [read_images(folder, split) for split in splits]
    images = pd.concat(lists, ignore_index=True)
    parts = [_read_boxes(folder, split, listed, classes) for split, listed in zip(splits, lists, strict=True)]
    for part, first in zip(parts, np.cumsum([0, *map(len, lists)]), strict=False):
        part["image_id"] += np.int32(first)
    if boxes_of == "stored":
        for part in parts:
            _turn(part, images["rotation"].to_numpy())
    release = Release(images, _box_table(parts, images, classes, folder), classes)
    check_release(release, folder)
    return release


def rotate_boxes(boxes: np.ndarray, rotation: np.ndarray | int) -> np.ndarray:
    """Boxes (n, 4) of xmin, ymin, xmax, ymax in [0, 1], turned with their photo by `rotation` degrees.

    rotation is a number or an array (n,) of 0, 90, 180, 270, counter-clockwise as seen by the viewer (the
    turn of PIL's ROTATE_90), so that a quarter turn takes the point (x, y) to (y, 1 - x).
    """
    boxes = np.asarray(boxes)
    turns = np.broadcast_to(rotation, len(boxes))
    if not np.isin(turns, ROTATIONS).all():
        raise ValueError(f"rotation must be one of {ROTATIONS}, not {np.setdiff1d(turns, ROTATIONS)[0]}")
    xmin, ymin, xmax, ymax = boxes.T
    turned = {
        90: (ymin, 1 - xmax, ymax, 1 - xmin),
        180: (1 - xmax, 1 - ymax, 1 - xmin, 1 - ymin),
        270: (1 - ymax, xmin, 1 - ymin, xmax),
    }
    result = boxes.copy()
    for degrees, corners in turned.items():
        chosen = turns == degrees
        result[chosen] = np.stack(corners, axis=1)[chosen]
    return result


def read_classes(path: Path) -> pd.DataFrame:
    """The class list (label, name); V4 files have no header, later ones name the columns variously."""
    with open_text(_existing(path)) as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    if rows and not rows[0][0].startswith("/"):  # a header, unless labels are other than the official ones
        official = any(row[0].startswith("/") for row in rows[1:])
        named = re.fullmatch("(class|label)?[_ ]?(name|label|mid|id)?", rows[0][0], re.IGNORECASE)
        rows = rows[1:] if official or named else rows
    wrong = next((n for n, row in enumerate(rows, 1) if len(row) != len(CLASS_COLUMNS) or not all(row)), None)
    if wrong is not None or not rows:
        raise ValueError(f"{path}: row {wrong or 1} is not a label and a name; is this a class description file?")
    return pd.DataFrame(rows, columns=CLASS_COLUMNS, dtype="str")


def _check_splits(splits: Sequence[str]) -> None:
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"splits must be some of {SPLITS}, not {list(splits)}")


def _existing(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and packed.is_file():
        return packed
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a release folder holds {CLASSES_FILE} and, for each split, "
            "the box file and the image list under their official names"
        )
    return path


def _read_csv(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """The named columns of a CSV file, in the order of `types`."""
    path = _existing(path)
    with open_text(path) as file:
        header, encoding = next(csv.reader([file.readline()]), []), file.encoding
    check_columns(header, [name for name in types if name not in _OPTIONAL], path)
    types = {name: kind for name, kind in types.items() if name in header}
    with reading(path):
        return _parse(path, types, header, "utf-16" if encoding == "utf-16" else "utf8")


def _parse(path: Path, types: dict[str, pa.DataType], header: list[str], encoding: str) -> pa.Table:
    """Read columns; flags that a program wrote with decimals (1.0) take more memory, so they are the second try."""
    with open_bytes(path) as file:
        try:
            return _table(file, types, header, encoding)
        except pa.ArrowInvalid:
            if pa.int8() not in types.values():
                raise
    with open_bytes(path) as file:
        wide = {name: pa.float32() if kind == pa.int8() else kind for name, kind in types.items()}
        return _table(file, wide, header, encoding)


def _table(file: BinaryIO, types: dict[str, pa.DataType], header: list[str], encoding: str) -> pa.Table:
    return pyarrow.csv.read_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(block_size=16 << 20, encoding=encoding),
        # Titles of photos may hold anything, line breaks included, inside quotes.
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values="Title" in header),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(types), column_types=types, null_values=["", "nan", "NaN"]
        ),
    )


def read_images(folder: Path, split: str) -> pd.DataFrame:
    """The image list of a split (IMAGE_COLUMNS) in a release folder."""
    path = folder / image_list_file(split)
    table = _read_csv(path, _IMAGE_TYPES)
    ids = table["ImageID"].to_pandas()
    # Unknown where the photo had left Flickr before its orientation was looked up: taken as upright.
    rotation = table["Rotation"].to_pandas().fillna(0).to_numpy()
    odd = ~np.isin(rotation, ROTATIONS)
    if odd.any():
        row = int(np.argmax(odd))
        raise ValueError(f"{path}: image {ids.iloc[row]} has the Rotation {rotation[row]:g}, not one of {ROTATIONS}")
    path_of = f"{split}/" + ids + ".jpg"
    return pd.DataFrame({"image_id": ids, "split": split, "path": path_of, "rotation": rotation.astype(np.int16)})


def _read_boxes(folder: Path, split: str, listed: pd.DataFrame, classes: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of the box table; image_id and label as row numbers of the image list and of the classes."""
    path = folder / box_file(split)
    table = _read_csv(path, _BOX_TYPES)
    known = {"ImageID": listed["image_id"], "LabelName": classes["label"]}
    columns = {_BOX_NAMES[name]: _row_numbers(table[name], known[name]) for name in known}
    for name in ("XMin", "XMax", "YMin", "YMax"):
        columns[name.lower()] = table[name].to_numpy()
        table = table.drop_columns([name])  # what is copied is let go: the table is the largest thing here
    for name in ("IsGroupOf", "IsDepiction"):
        if name in table.column_names:
            columns[_BOX_NAMES[name]] = table[name].to_numpy() == 1
    for name, what, source in (("ImageID", "image", image_list_file(split)), ("LabelName", "label", CLASSES_FILE)):
        check_found(columns[_BOX_NAMES[name]], _reader(table[name]), what, path, folder / source)
    return columns


def _reader(column: pa.ChunkedArray) -> Callable[[int], str]:
    return lambda row: column[row].as_py()


def _row_numbers(column: pa.ChunkedArray, known: pd.Series) -> np.ndarray:
    """Position in `known` of each value of a dictionary column (int32), -1 where it is not there."""
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return np.zeros(0, np.int32)
    listed = pa.chunked_array(pa.array(known)).combine_chunks()
    found = pc.index_in(column.chunk(0).dictionary, value_set=listed.cast(pa.string()))
    positions = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return np.concatenate([positions[chunk.indices.to_numpy()] for chunk in column.chunks])


def _turn(columns: dict[str, np.ndarray], rotation: np.ndarray) -> None:
    """Turn the boxes of photos that are not stored upright, in place."""
    angle = rotation[columns["image_id"]]
    rows = np.flatnonzero(angle)
    order = ["xmin", "ymin", "xmax", "ymax"]
    turned = rotate_boxes(np.stack([columns[name][rows] for name in order], axis=1), angle[rows])
    for name, values in zip(order, turned.T, strict=True):
        if not columns[name].flags.writeable:
            columns[name] = columns[name].copy()
        columns[name][rows] = values


def _box_table(
    parts: list[dict[str, np.ndarray]], images: pd.DataFrame, classes: pd.DataFrame, folder: Path
) -> pd.DataFrame:
    """One table of all splits; its categories are all images and classes in their order."""
    columns: dict[str, Any] = {}
    # A flag that the file of one split lacks is unknown for the release.
    flags = ["is_depiction"] if all("is_depiction" in part for part in parts) else []
    for name in (*BOX_COLUMNS, *flags):
        pieces = [part.pop(name) for part in parts]
        columns[name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    for name, known in (("image_id", images["image_id"]), ("label", classes["label"])):
        check_unique(known, name, folder)
        columns[name] = pd.Categorical.from_codes(columns[name], categories=pd.Index(known))
    return pd.DataFrame(columns, copy=False)
