"""Reads an Open Images release: the official CSV files, by their official names, into the canonical tables.

The files are large (the train boxes alone are 14.6 million rows, 2.2 GB), so only the columns needed are
parsed, ids and labels stay categorical, and corners are float32.

Orientation. 2.6 % of the stored photos are not upright. The image lists carry a Rotation column: "the degrees
(counterclockwise) that the image and boxes should be rotated", 0, 90, 180 or 270, empty where unknown
(https://storage.googleapis.com/openimages/web/2018-05-17-rotation-information.html). So the published boxes
refer to the photo as it is stored, and both are turned by it, the boxes here and the photo in the image store
(oac.data.photos). Where it is empty neither is turned: an EXIF orientation that a file still has says nothing of
its boxes. A mirror whose boxes were already turned is read with `boxes_of="upright"`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from oac.data.tables import (
    BOX_COLUMNS,
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    ROTATIONS,
    SPLITS,
    Release,
    check_boxes,
    check_columns,
    check_known,
    check_release,
)

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
    images = pd.concat([_read_images(folder / image_list_file(split), split) for split in splits], ignore_index=True)
    parts = [_read_boxes(folder, split, images, classes) for split in splits]
    boxes = pd.concat(_same_categories(parts), ignore_index=True)
    if boxes_of == "stored":
        boxes = _upright(boxes, images)
    release = Release(images[IMAGE_COLUMNS], boxes[BOX_COLUMNS], classes)
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
    with open(_existing(path), newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not rows[0][0].startswith("/"):
        rows = rows[1:]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != len(CLASS_COLUMNS)), None)
    if wrong is not None or not rows:
        raise ValueError(f"{path}: row {wrong or 1} is not a label and a name; is this a class description file?")
    return pd.DataFrame(rows, columns=CLASS_COLUMNS, dtype="str")


def _check_splits(splits: Sequence[str]) -> None:
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"splits must be some of {SPLITS}, not {list(splits)}")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a release folder holds {CLASSES_FILE} and, for each split, "
            "the box file and the image list under their official names"
        )
    return path


def _read_csv(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """The named columns of a CSV file, in the order of `types`."""
    with open(_existing(path), encoding="utf-8-sig") as file:
        header = next(csv.reader([file.readline()]), [])
    check_columns(header, list(types), path)
    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=16 << 20),
            # Titles of photos may hold anything, line breaks included, inside quotes.
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values="Title" in header),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(types), column_types=types, null_values=["", "nan", "NaN"]
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {error}") from error


def _read_images(path: Path, split: str) -> pd.DataFrame:
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


def _read_boxes(folder: Path, split: str, images: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    path = folder / box_file(split)
    table = _read_csv(path, _BOX_TYPES).unify_dictionaries()
    boxes = pd.DataFrame(
        {
            "image_id": table["ImageID"].to_pandas(),
            "label": table["LabelName"].to_pandas(),
            **{name.lower(): table[name].to_numpy() for name in ("XMin", "XMax", "YMin", "YMax")},
            "is_group_of": table["IsGroupOf"].to_numpy() == 1,
        }
    )
    check_boxes(boxes, path)
    listed = pd.Index(images.loc[images["split"] == split, "image_id"])
    check_known(boxes["image_id"], listed, "image", path, folder / image_list_file(split))
    check_known(boxes["label"], pd.Index(classes["label"]), "label", path, folder / CLASSES_FILE)
    return boxes


def _same_categories(parts: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Give all parts one set of categories, without which concatenation would expand every id to a string."""
    for column in ("image_id", "label"):
        shared = pd.api.types.union_categoricals([part[column] for part in parts]).categories
        for part in parts:
            part[column] = part[column].cat.set_categories(shared)
    return parts


def _upright(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    turned = images[images["rotation"] != 0].set_index("image_id")["rotation"]
    rows = np.flatnonzero(boxes["image_id"].isin(turned.index))
    order = ["xmin", "ymin", "xmax", "ymax"]
    rotation = turned.loc[boxes["image_id"].iloc[rows].astype("str")].to_numpy()
    new = rotate_boxes(boxes[order].iloc[rows].to_numpy(), rotation)
    for column, values in zip(order, new.T, strict=True):
        changed = boxes[column].to_numpy(copy=True)
        changed[rows] = values
        boxes[column] = changed
    return boxes
