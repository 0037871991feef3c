"""Reads a folder of photos, without boxes and perhaps with a file of labels, into the canonical tables.

Without labels all photos are of the split train. The id of a photo is its path below the folder, as in the files that
`python -m oac.proposals` writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from PIL import Image

from oac.csv_tables import read_text_table
from oac.data.decode import FORMATS
from oac.data.photo_files import is_litter, size, walk
from oac.data.tables import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    Release,
    check_columns,
    check_filled,
    check_known,
    read_choices,
)


def find(folder: str | Path) -> tuple[list[str], list[str]]:
    """The photos at any depth below a folder, by their names, and the other files: paths below it, sorted.

    Files in folders that a desktop leaves (@eaDir, .thumbnails) are neither.

    Raises FileNotFoundError where there is no folder, ValueError where it holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name one with photos in it")
    suffixes = tuple(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
    photos: list[str] = []
    others: list[str] = []
    for place, names in walk(folder):
        for name in names:
            path = (place / name).relative_to(folder).as_posix()
            is_photo = name.lower().endswith(suffixes) and not is_litter(name) and _is_text(path)
            (photos if is_photo else others).append(path)
    if not photos:
        raise ValueError(f"{folder} holds no photo at any depth ({', '.join(FORMATS)}); other files: {len(others):,}")
    return sorted(photos), sorted(others)


def files(folder: str | Path, *, labels: str | None = None) -> list[str]:
    """The file of labels; of the photos `state` tells."""
    return [labels] if labels else []


def state(folder: str | Path, **_: object) -> Iterator[str]:
    """Path, size and time of each photo."""
    for name in find(folder)[0]:
        path = Path(folder, name)
        yield f"{name}\t{size(path)}\t{path.stat().st_mtime_ns if path.is_file() else 0}"


def most_photos(folder: str | Path, *, labels: str | None = None) -> dict[str, int]:
    """How many photos each split has; with labels, at most."""
    count = len(find(folder)[0])
    return {"train": count, "test": count} if labels else {"train": count}


def read_release(folder: str | Path, *, labels: str | None = None) -> Release:
    """List the photos below a folder, with labels those that have one.

    labels: a CSV file with a line for each photo and label: image_id (the photo's path below the folder), label and
    split (train or test); without the last column a fifth of the photos, told by their ids, is test. Each label has a
    box that is the whole photo, as those of ImageNet.

    Raises as `find` does, and ValueError, naming file and line, for labels that are wrong.
    """
    paths, others = find(folder)
    images = pd.DataFrame({"image_id": paths, "split": "train", "path": paths, "rotation": 0})
    images = images.astype({"rotation": "int16"})[IMAGE_COLUMNS]
    table = pd.DataFrame(columns=["image_id", "label"], dtype="str")
    if labels:
        table = _read_labels(Path(labels), pd.Index(paths), folder)
        splits = dict(zip(table["image_id"], table["split"], strict=True))
        images = images[images["image_id"].isin(splits)].reset_index(drop=True)
        images["split"] = images["image_id"].map(splits)
    corners = {"xmin": 0.0, "xmax": 1.0, "ymin": 0.0, "ymax": 1.0}
    boxes = table[["image_id", "label"]].assign(**corners, is_group_of=False)
    boxes = boxes.astype(dict.fromkeys(corners, "float32") | {"is_group_of": "bool"})[BOX_COLUMNS]
    names = sorted(set(table["label"]))
    classes = pd.DataFrame({"label": names, "name": names}, dtype="str")
    return Release(images, boxes, classes, len(others))


def _read_labels(path: Path, known: pd.Index, folder: str | Path) -> pd.DataFrame:
    """Read a file of labels: image_id, label, split, each photo and label once."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a CSV file with the columns image_id and label is expected")
    table = read_text_table(path)
    check_columns(list(table.columns), ("image_id", "label"), path)
    if table.empty:
        raise ValueError(f"{path} has no line of a label")
    for name in ("image_id", "label"):
        table[name] = table[name].str.strip()
    table["image_id"] = table["image_id"].str.replace("\\", "/").str.replace(r"^(\./)+", "", regex=True)
    check_filled(table, ["image_id", "label"], path)
    check_known(table["image_id"], known, "photo", path, folder)
    if "split" in table:
        read_choices(table, "split", {"train": "train", "test": "test"}, "split must be train or test", path)
        several = table.groupby("image_id")["split"].nunique()
        if (several > 1).any():
            raise ValueError(f"{path}: photo {several.idxmax()} is in train and in test: leave it in one of them")
    else:
        table["split"] = ["test" if _is_test(name) else "train" for name in table["image_id"]]
    return table.drop_duplicates(["image_id", "label"], ignore_index=True)


def _is_test(image_id: str) -> bool:
    """Whether a photo is of the fifth that is tested on, whatever other photos there are."""
    return hashlib.sha256(image_id.encode()).digest()[0] % 5 == 0


def _is_text(path: str) -> bool:
    """Whether a path can stand in a table; a file system allows any bytes in names."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False
