"""Reads the PASCAL VOC layout (VOCdevkit/VOC2007) into the canonical tables.

VOC has no third split with boxes in its trainval part: the train list becomes `train`, the val list becomes
`test`, and there is no `validation`. Objects marked difficult stay, as boxes and as labels: the study asks
what is in a photo, while the flag belongs to the scoring rules of the detection challenge.

Boxes are of the pixels as stored and photos have no rotation here, so none is turned, whatever its EXIF data say.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from oac.data import photo_files
from oac.data.decode import suffixes
from oac.data.photo_files import is_photo, plain_path, present, walk
from oac.data.photo_sizes import UNKNOWN, said_size, scaled
from oac.data.tables import BOX_COLUMNS, FLAGS, IMAGE_COLUMNS, Release, check_release, lies_outside
from oac.user_files import BadFileError, read_text, reading

BoxRow = tuple[str, str, float, float, float, float, bool]
"""the values of BOX_COLUMNS"""


def files(folder: str | Path, *, train: str = "train", test: str = "val") -> list[str]:
    """The lists of photos."""
    return [str(Path(folder) / "ImageSets" / "Main" / f"{name}.txt") for name in (train, test)]


def most_photos(folder: str | Path, *, train: str = "train", test: str = "val") -> dict[str, int]:
    """How many photos the lists of the two splits name."""
    lists = files(folder, train=train, test=test)
    return {split: len(_read_list(Path(path))) for split, path in zip(("train", "test"), lists, strict=True)}


def state(folder: str | Path, **_: object) -> Iterator[str]:
    """What each annotation holds, at any depth as ids may be paths, and size and time of each photo."""
    place = Path(folder, "Annotations")
    for path in sorted(place.rglob("*.xml")):
        held = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        yield f"{path.relative_to(place).as_posix()}\t{held}"
    yield from photo_files.file_states(Path(folder, "JPEGImages"))


def read_release(folder: str | Path, *, train: str = "train", test: str = "val") -> Release:
    """Read the lists `ImageSets/Main/{train,test}.txt` and the annotation of every photo on them.

    folder is the one that holds Annotations, ImageSets and JPEGImages. Boxes are 1-based pixels with both
    ends included in the files, so a box of pixels a..b becomes (a - 1) / width .. b / width; one outside of
    the photo stays there. The size is the annotation's, 1 x 1 where it has none (oac.data.photo_sizes). An object
    with several boxes has them all. Classes are those that occur, sorted by name; label and name are the same. A
    photo may be of any format. A list may have names or paths of photos for ids, and a flag behind each, as those of
    a class have: -1 leaves it out.

    Raises FileNotFoundError for an absent list or annotation, ValueError, naming the file, for a wrong one.
    """
    folder = Path(folder)
    photos = _photos(folder)
    images: list[tuple[str, str, str, int]] = []
    boxes: list[BoxRow] = []
    sizes: list[tuple[float, float]] = []
    for split, name in (("train", train), ("test", test)):
        for image_id, listed in _read_list(folder / "ImageSets" / "Main" / f"{name}.txt"):
            found = _read_annotation(_annotation(folder, image_id), image_id)
            images.append((image_id, split, _path(image_id, photos, found.photo, listed), 0))
            sizes.append(found.size)
            boxes.extend(found.rows)
    table = pd.DataFrame(boxes, columns=BOX_COLUMNS)
    labels = sorted(set(table["label"]))
    release = Release(
        pd.DataFrame(images, columns=IMAGE_COLUMNS).astype({"rotation": np.int16}),
        table.astype({"is_group_of": bool}),
        pd.DataFrame({"label": labels, "name": labels}),
        sizes=np.reshape(sizes, (-1, 2)),
    )
    check_release(release, folder)
    return release


def difficult_objects(folder: str | Path, images: pd.DataFrame) -> pd.DataFrame:
    """The boxes (BOX_COLUMNS) of photos that are marked difficult, which detection scores leave out.

    images: with the columns image_id and path, as `sources.read` gives them.
    """
    image_ids = images["image_id"].tolist()
    found = [_read_annotation(_annotation(Path(folder), image_id), image_id) for image_id in image_ids]
    table = pd.DataFrame([row for entry in found for row in entry.rows], columns=BOX_COLUMNS)
    sizes, marks = [entry.size for entry in found], [mark for entry in found for mark in entry.difficult]
    corners = ["xmin", "xmax", "ymin", "ymax"]
    images = images[["image_id", "path"]].reset_index(drop=True)
    release = Release(images, table, pd.DataFrame(), sizes=np.reshape(sizes, (-1, 2)))
    table = scaled(release, Path(folder)).boxes[np.array(marks, bool)].reset_index(drop=True)
    table[corners] = table[corners].astype(np.float32).clip(0, 1)  # as boxes that reach beyond their photo become
    return table


def _read_list(path: Path) -> list[tuple[str, str]]:
    """The id of each photo on a list, and its path where the line has more than the id."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; expected a folder laid out like VOCdevkit/VOC2007 "
            "(Annotations, ImageSets/Main, JPEGImages)"
        )
    lines = [line.strip() for line in read_text(path).splitlines()]
    annotations = path.parents[2] / "Annotations"
    ids = [_id(line, annotations) for line in _without_flags([line for line in lines if line], annotations)]
    if not ids:
        raise BadFileError(f"{path} lists no photo")
    return ids


def _without_flags(lines: list[str], annotations: Path) -> list[str]:
    """The lines of a list that have 1, 0 or -1 behind them, without it and without those of -1; else all as they are.

    An id may hold blanks, so a line is an id where there is an annotation of that name.
    """
    flagged = [re.fullmatch(r"(.*\S)\s+(-?1|\+1|0)", line) for line in lines]
    ids = [(found[1], found[2]) for found in flagged if found]
    if len(ids) < len(lines) or not ids or os.path.isfile(annotations / f"{lines[0]}.xml"):
        return lines
    if re.search(r"\s", ids[0][0]) and not os.path.isfile(annotations / f"{ids[0][0]}.xml"):
        return lines
    return [image_id for image_id, flag in ids if flag != "-1"]


def _id(line: str, annotations: Path) -> tuple[str, str]:
    """The id in a line, of which there is an annotation: the line, its path below JPEGImages, or its last part.

    With it the path in the line, blank where it says no more than the id.
    """
    if "/" not in line and "\\" not in line and "." not in line:
        return line, ""  # as nearly all are, and without a look at the disk
    path = plain_path(line)
    stem = _stem(path)
    below = stem.rpartition("JPEGImages/")[2]
    choices = (line, path, stem, below, below.rpartition("/")[2])
    known = (choice for choice in choices if os.path.isfile(f"{annotations}/{choice}.xml"))
    image_id = next(known, line)
    return image_id, "" if path == image_id else path


def _stem(path: str) -> str:
    """A path without the suffix of a photo or an annotation."""
    return re.sub(rf"({'|'.join(map(re.escape, (*suffixes(), '.xml')))})$", "", path, flags=re.IGNORECASE)


def _photos(folder: Path) -> dict[str, str]:
    """The photos by what can name them, as paths below the folder: their paths with and without the suffix.

    Of several that differ in the suffix alone, .jpg comes first.
    """
    found: dict[str, str] = {}
    for place, names in walk(folder / "JPEGImages"):
        for name in sorted(filter(is_photo, names), key=lambda name: not name.endswith(".jpg")):
            path = (place / name).relative_to(folder)
            below = path.relative_to("JPEGImages")
            found[below.as_posix()] = path.as_posix()
            found.setdefault(below.with_suffix("").as_posix(), path.as_posix())
    return found


def _path(image_id: str, photos: dict[str, str], name: str, listed: str) -> str:
    """The path of a photo, of `_photos`: the one that a list names, by as much of its end as is below JPEGImages.

    Else one of that id, by preference with the suffix of its annotation's name; else of a JPEG.
    """
    parts = listed.split("/")
    for first in range(len(parts) - plain_path(image_id).count("/")):  # never less than the id
        end = "/".join(parts[first:])
        if end in photos:
            return photos[end]
        if "/" in end and _stem(end) in photos:
            return photos[_stem(end)]
    suffix = name[name.rfind(".") :] if "." in name else ""
    return photos.get(image_id + suffix) or photos.get(image_id) or f"JPEGImages/{image_id}.jpg"


def _annotation(folder: Path, image_id: str) -> Path:
    """The annotation of a photo. An id does not lead out of the folder: a slash at its start is one more."""
    if ".." in image_id.split("/"):
        raise BadFileError(lies_outside(folder, image_id))
    place = f"{folder}/Annotations"
    return Path(f"{place}/{present(place, f'{image_id}.xml')}")


@dataclass(frozen=True)
class Annotation:
    """What the annotation of a photo says: the photo's size and file, its rows of the box table, which are difficult.

    An object without a box, as a polygon's, has a row without corners.
    """

    size: tuple[float, float]
    photo: str
    rows: list[BoxRow]
    difficult: list[bool]


def _read_annotation(path: Path, image_id: str) -> Annotation:
    """Read the annotation of a photo. Raises FileNotFoundError, and ValueError, naming file and object."""
    if not os.path.isfile(path):  # which says so too of a name that is too long for a file
        raise FileNotFoundError(f"{path} does not exist, but its photo is on a list")
    root = _root(path)
    size = said_size(root.findtext("size/width"), root.findtext("size/height"))
    width, height = size if size != UNKNOWN else (1.0, 1.0)  # boxes stay in pixels then
    rows: list[BoxRow] = []
    difficult: list[bool] = []
    for number, item in enumerate(root.iter("object"), 1):
        where = f"{path}, object {number}"
        name = (item.findtext("name") or "").strip()
        if not name:
            raise ValueError(f"{where} has no name")
        found = [  # some tools write an object's parts as several
            [_number(box, key, where) for key in ("xmin", "xmax", "ymin", "ymax")] for box in item.findall("bndbox")
        ]
        for xmin, xmax, ymin, ymax in found or [[math.nan] * 4]:
            corners = ((xmin - 1) / width, xmax / width, (ymin - 1) / height, ymax / height)
            rows.append((image_id, name, *corners, False))
            difficult.append(FLAGS.get((item.findtext("difficult") or "").strip().lower(), False))
    return Annotation(size, plain_path(root.findtext("filename") or ""), rows, difficult)


def _root(path: Path) -> ElementTree.Element:
    """The root of an annotation, all its tags in lower case and without a namespace."""
    with reading(path, "is not valid XML"):
        root = ElementTree.parse(path).getroot()
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2].lower()
    if root.tag != "annotation":
        raise BadFileError(f"{path} holds <{root.tag}>, not VOC's <annotation>: export it as Pascal VOC")
    return root


def _number(element: ElementTree.Element, key: str, where: str | Path) -> float:
    text = element.findtext(key)
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {key} is {text!r}, a number is needed")
    return number
