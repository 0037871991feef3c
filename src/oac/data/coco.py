"""Reads COCO's `instances_*.json` (and files in its layout) into the canonical tables.

Boxes are x, y, width, height in pixels of the photo as stored, so no photo is turned. `iscrowd` regions become
group-of boxes. Labels are the category names, by which the two files are joined: their numbers may differ, and a name
that is listed twice is one class. Numbers of images and categories may be texts, also in one place alone. The id of a
photo is its file's name without the suffix, or as much of its path as it takes to tell it from others.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from oac.data.photo_files import file_states, is_text, plain_path, short_ids, walk
from oac.data.photo_sizes import said_size
from oac.data.tables import FLAGS, IMAGE_COLUMNS, Release, check_release, check_unique, outside
from oac.user_files import BadFileError, read_text, reading

Value = TypeVar("Value")


def files(folder: str | Path, *, train: str, test: str, **_: object) -> list[str]:
    """The annotation files that `read_release` needs."""
    return [str(Path(folder) / name) for name in (train, test)]


def most_photos(folder: str | Path, *, train_photos: str, test_photos: str, **_: object) -> dict[str, int]:
    """How many files the folders of the two splits hold; to read the annotations would take a minute."""
    folder = Path(folder)
    for place in (folder / train_photos, folder / test_photos):
        if not place.is_dir():
            raise FileNotFoundError(f"{place} does not exist; the photos of an instances_*.json are expected there")
    places = {"train": folder / train_photos, "test": folder / test_photos}
    return {split: sum(len(names) for _, names in walk(place)) for split, place in places.items()}


def state(folder: str | Path, *, train_photos: str, test_photos: str, **_: object) -> Iterator[str]:
    """Size and time of each photo."""
    for place in (train_photos, test_photos):
        yield from file_states(Path(folder) / place)


def read_release(folder: str | Path, *, train: str, test: str, train_photos: str, test_photos: str) -> Release:
    """Read an annotation file for each split; photos lie in the folders {split}_photos, all relative to `folder`.

    All names of a file may begin with that folder. Photos without any object are listed too.

    Raises FileNotFoundError, and ValueError, naming the file, where it is not of that layout or has one number
    for two categories.
    """
    folder = Path(folder)
    parts = [_read(folder, train, "train", train_photos), _read(folder, test, "test", test_photos)]
    images = pd.concat([part[0] for part in parts], ignore_index=True)
    boxes = pd.concat([part[1] for part in parts], ignore_index=True)
    check_unique(images["path"], "photo", folder)
    ids = dict(zip(images["path"], short_ids(images["path"].tolist()), strict=True))
    images["image_id"], boxes["image_id"] = images["path"].map(ids), boxes["image_id"].map(ids)
    names = list(dict.fromkeys(name for part in parts for name in part[2]))
    classes = pd.DataFrame({"label": names, "name": names})
    release = Release(images, boxes, classes, sizes=np.concatenate([part[3] for part in parts]))
    check_release(release, folder)
    return release


def _read(
    folder: Path, file: str, split: str, photos: str
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], np.ndarray]:
    path = folder / file
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; an instances_*.json file is expected there")
    with reading(path, "is not laid out like COCO's instances_*.json"):
        content = json.loads(read_text(path), object_pairs_hook=_once)
        categories = _categories(content)
        images = pd.DataFrame(
            _entries(content, "images", _photo), columns=["id", "file_name", "width", "height"]
        ).set_index("id")
        if not images.index.is_unique:
            raise BadFileError(f"the image id {images.index[images.index.duplicated()][0]} is listed twice")
        rows = _entries(content, "annotations", _box)
    ids = _paths(folder, photos, images["file_name"])
    table = pd.DataFrame(
        {
            "image_id": ids,
            "split": split,
            "path": ids,
            "rotation": np.zeros(len(images), np.int16),
        }
    ).reset_index(drop=True)[IMAGE_COLUMNS]
    names = [categories[key] for key in sorted(categories, key=_order)]
    said = images[["width", "height"]].to_numpy(float).reshape(-1, 2)
    return table, _boxes(path, rows, images, ids, categories), names, said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON; of a key that is given twice Python's own would be the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise BadFileError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _paths(folder: Path, photos: str, names: pd.Series) -> pd.Series:
    """The paths of photos below the data set's folder, which some tools write for those in the photos' folder.

    One that leads out of that folder stays as it is, for `check_release` to refuse.
    """
    place, below = plain_path(photos), names.map(plain_path).astype("str")
    if below.str.startswith(f"{place}/").all() and not (folder / place / place).is_dir():
        return below
    return below.where(outside(below), below.map(partial(posixpath.join, place)).astype("str"))


def _entries(content: Any, key: str, read: Callable[[Any], Value]) -> list[Value]:
    """What a function reads of each entry of a list; an error says which."""
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise BadFileError(f"it has no list {key!r}")
    found = []
    for number, entry in enumerate(content[key]):
        try:
            found.append(read(entry))
        except KeyError as error:
            raise BadFileError(f"{key}, entry {number + 1} has no {error}") from error
        except (TypeError, ValueError) as error:
            raise BadFileError(f"{key}, entry {number + 1}: {error}") from error
    return found


def _key(value: Any, what: str) -> str:
    """The number of an image or a category as text: 7, 7.0, "7", "7.0" and "007" are one."""
    if isinstance(value, str) and value.strip():
        text = value.strip()
        number = re.fullmatch(r"0*([0-9]+)(\.0*)?", text)
        return number[1] if number else text
    if type(value) is int or (type(value) is float and value.is_integer()):
        return str(int(value))
    raise BadFileError(f"{what} is {value!r}, a number or a text is needed")


def _order(key: str) -> tuple[int, str]:
    """Sorts numbers by their value, and texts behind them."""
    return (int(key), "") if re.fullmatch(r"-?[0-9]{1,18}", key) else (10**19, key)


def _categories(content: Any) -> dict[str, str]:
    """The names of the categories by their numbers."""
    names: dict[str, str] = {}
    for number, name in _entries(content, "categories", lambda entry: (_key(entry["id"], "id"), entry["name"])):
        if not isinstance(name, str) or not is_text(name.strip()):
            raise BadFileError(f"category {number} has the name {name!r}")
        if names.setdefault(number, name.strip()) != name.strip():
            raise BadFileError(f"category {number} is listed as {names[number]} and as {name.strip()}")
    return names


def _photo(entry: Mapping[str, Any]) -> tuple[str, str, float, float]:
    """The id, file, width and height of an entry of `images`; 0 where these are no size."""
    name = entry["file_name"]
    if not (isinstance(name, str) and name.strip()):
        raise BadFileError(f"image {entry['id']} has the file {name!r}")
    return _key(entry["id"], "id"), name, *said_size(entry.get("width"), entry.get("height"))


def _box(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """The image, category, x, y, width, height and crowd flag of an entry of `annotations`."""
    image, bbox, crowd = _key(entry["image_id"], "image_id"), entry.get("bbox"), str(entry.get("iscrowd", 0)).lower()
    if bbox in (None, []):  # a polygon's or a mask's, as some tools export it: a bad box, which is counted
        bbox = [math.nan] * 4
    elif not (isinstance(bbox, list) and len(bbox) == 4 and _are_numbers(bbox)):
        raise BadFileError(f"annotation {entry.get('id', '')} of image {image} has the bbox {bbox!r}")
    if crowd not in FLAGS:
        raise BadFileError(
            f"annotation {entry.get('id', '')} of image {image} has iscrowd {crowd!r}, 1 or 0 is needed"
        )
    return image, _key(entry["category_id"], "category_id"), *bbox, FLAGS[crowd]


def _are_numbers(values: list[Any]) -> bool:
    # Python reads NaN and Infinity in JSON, and text would be turned into numbers or be compared as text.
    return all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in values)


def _boxes(
    path: Path, rows: list[tuple[Any, ...]], images: pd.DataFrame, ids: pd.Series, categories: dict[str, str]
) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["image", "category", "x", "y", "w", "h", "crowd"])
    for column, known, what in (("image", images.index, "image"), ("category", pd.Index(categories), "category")):
        odd = ~found[column].isin(known)
        if odd.any():
            first = found[column][odd].iloc[0]
            raise BadFileError(
                f"{path}: annotation entry {int(odd.argmax()) + 1} is of {what} {first}, which it does not list"
                f" ({int(odd.sum())} such entries)"
            )
    # A photo without a size keeps its boxes in pixels.
    size = images.loc[found["image"], ["width", "height"]].replace(0, 1).to_numpy(float).reshape(-1, 2)
    low = found[["x", "y"]].to_numpy(float) / size
    high = (found[["x", "y"]].to_numpy(float) + found[["w", "h"]].to_numpy(float)) / size
    return pd.DataFrame(
        {
            "image_id": ids.loc[found["image"]].to_numpy(),
            "label": found["category"].map(categories).astype("str"),
            "xmin": low[:, 0],
            "xmax": high[:, 0],
            "ymin": low[:, 1],
            "ymax": high[:, 1],
            "is_group_of": found["crowd"].astype(bool),
        }
    )
