"""Reads the PASCAL VOC layout (VOCdevkit/VOC2007) into the canonical tables.

VOC has no third split with boxes in its trainval part: the train list becomes `train`, the val list becomes
`test`, and there is no `validation`. Objects marked difficult stay, as boxes and as labels: the study asks
what is in a photo, while the flag belongs to the scoring rules of the detection challenge.

Boxes are of the pixels as stored and photos have no rotation here, so none is turned, whatever its EXIF data say.
"""

from __future__ import annotations

import hashlib
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oac.data.photo_files import sizes
from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, Release, check_release


def files(folder: str | Path, *, train: str = "train", test: str = "val") -> list[str]:
    """The lists of photos."""
    return [str(Path(folder) / "ImageSets" / "Main" / f"{name}.txt") for name in (train, test)]


def most_photos(folder: str | Path, *, train: str = "train", test: str = "val") -> dict[str, int]:
    """How many photos the lists of the two splits name."""
    lists = files(folder, train=train, test=test)
    return {split: len(_read_list(Path(path))) for split, path in zip(("train", "test"), lists, strict=True)}


def state(folder: str | Path, **_: object) -> Iterator[str]:
    """What each annotation holds, and the size of each photo."""
    for path in sorted(Path(folder, "Annotations").glob("*.xml")):
        yield f"{path.name}\t{hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield from sizes(Path(folder, "JPEGImages"))


def read_release(folder: str | Path, *, train: str = "train", test: str = "val") -> Release:
    """Read the lists `ImageSets/Main/{train,test}.txt` and the annotation of every photo on them.

    folder is the one that holds Annotations, ImageSets and JPEGImages. Boxes are 1-based pixels with both
    ends included in the files, so a box of pixels a..b becomes (a - 1) / width .. b / width; one outside of
    the photo stays there. An object with several boxes has them all. Classes are those that occur, sorted by name;
    label and name are the same. A list may have a flag behind each id, as those of a class have: -1 leaves it out.

    Raises FileNotFoundError for an absent list or annotation, ValueError, naming the file, for a wrong one.
    """
    folder = Path(folder)
    images: list[tuple[str, str, str, int]] = []
    boxes: list[tuple[str, str, float, float, float, float, bool]] = []
    for split, name in (("train", train), ("test", test)):
        for image_id in _read_list(folder / "ImageSets" / "Main" / f"{name}.txt"):
            images.append((image_id, split, f"JPEGImages/{image_id}.jpg", 0))
            boxes.extend(_read_annotation(folder / "Annotations" / f"{image_id}.xml", image_id))
    table = pd.DataFrame(boxes, columns=BOX_COLUMNS)
    table = table.astype({column: np.float32 for column in ("xmin", "xmax", "ymin", "ymax")})
    labels = sorted(set(table["label"]))
    release = Release(
        pd.DataFrame(images, columns=IMAGE_COLUMNS).astype({"rotation": np.int16}),
        table.astype({"is_group_of": bool}),
        pd.DataFrame({"label": labels, "name": labels}),
    )
    check_release(release, folder)
    return release


def difficult_objects(folder: str | Path, image_ids: Sequence[str]) -> pd.DataFrame:
    """The boxes (BOX_COLUMNS) of these photos that are marked difficult, which detection scores leave out."""
    rows = []
    for image_id in image_ids:
        path = Path(folder) / "Annotations" / f"{image_id}.xml"
        marks = [
            item.findtext("difficult") == "1"
            for item in ElementTree.parse(path).getroot().iter("object")
            for _ in item.findall("bndbox")
        ]
        boxes = _read_annotation(path, image_id) if any(marks) else [()] * len(marks)
        rows += [box for box, mark in zip(boxes, marks, strict=True) if mark]
    table = pd.DataFrame(rows, columns=BOX_COLUMNS)
    for column in ("xmin", "xmax", "ymin", "ymax"):
        table[column] = table[column].astype(np.float32).clip(0, 1)  # as boxes that reach beyond their photo become
    return table


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; expected a folder laid out like VOCdevkit/VOC2007 "
            "(Annotations, ImageSets/Main, JPEGImages)"
        )
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    ids = _without_flags([line for line in lines if line], path)
    if not ids:
        raise ValueError(f"{path} lists no photo")
    return ids


def _without_flags(lines: list[str], path: Path) -> list[str]:
    """The ids of a list whose lines have 1, 0 or -1 behind them, of photos without -1; else the lines as they are.

    An id may hold blanks, so a line is an id where there is an annotation of that name.
    """
    flagged = [re.fullmatch(r"(\S+)\s+(-?[01])", line) for line in lines]
    annotations = path.parents[2] / "Annotations"
    if not all(flagged) or (lines and (annotations / f"{lines[0]}.xml").exists()):
        return lines
    return [found[1] for found in flagged if found and found[2] != "-1"]


def _read_annotation(path: Path, image_id: str) -> list[tuple[str, str, float, float, float, float, bool]]:
    """The rows of the box table for one photo."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist, but its photo is on a list") from error
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not valid XML: {error}") from error
    width, height = _number(root, "size/width", path), _number(root, "size/height", path)
    rows = []
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"{path}: the photo has the size {width:g} x {height:g}, of which no box can be a part")
    for number, item in enumerate(root.iter("object"), 1):
        where = f"{path}, object {number}"
        name = (item.findtext("name") or "").strip()
        if not name:
            raise ValueError(f"{where} has no name")
        boxes = item.findall("bndbox")  # some tools write an object's parts as several
        if not boxes:
            raise ValueError(f"{where} has no bndbox")
        for box in boxes:
            xmin, xmax, ymin, ymax = (_number(box, key, where) for key in ("xmin", "xmax", "ymin", "ymax"))
            corners = ((xmin - 1) / width, xmax / width, (ymin - 1) / height, ymax / height)
            rows.append((image_id, name, *corners, False))
    return rows


def _number(element: ElementTree.Element, key: str, where: str | Path) -> float:
    text = element.findtext(key)
    try:
        return float(text or "")
    except ValueError:
        raise ValueError(f"{where}: {key} is {text!r}, a number is needed") from None
