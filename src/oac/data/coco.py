"""Reads COCO's `instances_*.json` (and files in its layout) into the canonical tables.

Boxes are x, y, width, height in pixels of the photo as stored, so no photo is turned. `iscrowd` regions become
group-of boxes. Labels are the category names, by which the two files are joined: their numbers may differ, and a name
that is listed twice is one class. The id of a photo is its file's name without the suffix, or as much of its path as
it takes to tell it from others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oac.data.photo_files import short_ids, sizes, walk
from oac.data.tables import IMAGE_COLUMNS, Release, check_release, check_unique


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
    """The size of each photo."""
    for place in (train_photos, test_photos):
        yield from sizes(Path(folder) / place)


def read_release(folder: str | Path, *, train: str, test: str, train_photos: str, test_photos: str) -> Release:
    """Read an annotation file for each split; photos lie in the folders {split}_photos, all relative to `folder`.

    Photos without any object are listed too. Raises FileNotFoundError, and ValueError, naming the file, where it is
    not of that layout or has one number for two categories.
    """
    folder = Path(folder)
    parts = [_read(folder / train, "train", train_photos), _read(folder / test, "test", test_photos)]
    images = pd.concat([part[0] for part in parts], ignore_index=True)
    boxes = pd.concat([part[1] for part in parts], ignore_index=True)
    check_unique(images["path"], "photo", folder)
    ids = dict(zip(images["path"], short_ids(images["path"].tolist()), strict=True))
    images["image_id"], boxes["image_id"] = images["path"].map(ids), boxes["image_id"].map(ids)
    names = list(dict.fromkeys(name for part in parts for name in part[2]))
    release = Release(images, boxes, pd.DataFrame({"label": names, "name": names}))
    check_release(release, folder)
    return release


def _read(path: Path, split: str, photos: str) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; an instances_*.json file is expected there")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = _categories(content["categories"])
        images = pd.DataFrame(
            [_photo(entry) for entry in content["images"]], columns=["id", "file_name", "width", "height"]
        ).set_index("id")
        if not images.index.is_unique:
            raise ValueError(f"the image id {images.index[images.index.duplicated()][0]} is listed twice")
        rows = [(e["image_id"], e["category_id"], *_corners(e), e.get("iscrowd", 0)) for e in content["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not laid out like COCO's instances_*.json: {type(error).__name__}: {error}"
        ) from error
    ids = f"{photos}/" + images["file_name"].str.replace("\\", "/")
    table = pd.DataFrame(
        {
            "image_id": ids.astype("str"),
            "split": split,
            "path": ids.astype("str"),
            "rotation": np.zeros(len(images), np.int16),
        }
    ).reset_index(drop=True)[IMAGE_COLUMNS]
    return table, _boxes(path, rows, images, ids, categories), [categories[key] for key in sorted(categories)]


def _categories(entries: list[dict[str, Any]]) -> dict[int, str]:
    """The names of the categories by their numbers."""
    names: dict[int, str] = {}
    for entry in entries:
        number, name = int(entry["id"]), entry["name"]
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"category {number} has the name {name!r}")
        if names.setdefault(number, name.strip()) != name.strip():
            raise ValueError(f"category {number} is listed as {names[number]} and as {name.strip()}")
    return names


def _photo(entry: dict[str, Any]) -> tuple[Any, str, float, float]:
    """The id, file, width and height of an entry of `images`."""
    width, height, name = entry["width"], entry["height"], entry["file_name"]
    if not (_are_numbers([width, height]) and min(width, height) > 0 and isinstance(name, str)):
        raise ValueError(f"image {entry['id']} has the file {name!r}, width {width!r} and height {height!r}")
    return entry["id"], name, width, height


def _corners(entry: dict[str, Any]) -> list[float]:
    """x, y, width, height of an entry of `annotations`."""
    bbox: list[float] = entry["bbox"]
    if len(bbox) != 4 or not _are_numbers(bbox):
        raise ValueError(f"annotation {entry.get('id', '')} of image {entry['image_id']} has the bbox {bbox!r}")
    return bbox


def _are_numbers(values: list[Any]) -> bool:
    # Python reads NaN and Infinity in JSON, and text would be turned into numbers or be compared as text.
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _boxes(
    path: Path, rows: list[tuple[Any, ...]], images: pd.DataFrame, ids: pd.Series, categories: dict[int, str]
) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["image", "category", "x", "y", "w", "h", "crowd"])
    for column, known, what in (("image", images.index, "image"), ("category", pd.Index(categories), "category")):
        odd = ~found[column].isin(known)
        if odd.any():
            raise ValueError(
                f"{path}: an annotation is of {what} {found[column][odd].iloc[0]}, which it does not list"
            )
    size = images.loc[found["image"], ["width", "height"]].to_numpy(float).reshape(-1, 2)
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
