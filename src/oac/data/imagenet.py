"""Reads a folder of one folder of photos per class, as ImageNet is usually unpacked, into the canonical tables.

Such photos have a label and no boxes. So that everything downstream, which takes labels from boxes, needs no second
way, each photo has one box: all of it. Boxes of the source `ground_truth` are therefore whole photos here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from oac.data.photo_files import is_litter, short_ids, walk
from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, Release, check_release

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def files(folder: str | Path, *, train: str, test: str, names: str | None = None) -> list[str]:
    """The folders of the splits, and the file of class names."""
    return [str(Path(folder) / name) for name in (train, test, names) if name]


def most_photos(folder: str | Path, *, train: str, test: str, **_: object) -> dict[str, int]:
    """How many photos the class folders of the two splits hold."""
    places = {"train": train, "test": test}
    return {
        split: sum(len(_photos(entry)) for entry in _folders(Path(folder) / place)) for split, place in places.items()
    }


def state(folder: str | Path, *, train: str, test: str, **_: object) -> Iterator[str]:
    """The photos of each class by name: to ask for the sizes of a million files takes minutes on many disks."""
    for place in (train, test):
        for entry in _folders(Path(folder) / place):
            yield from (f"{place}/{entry.name}/{name}" for name in _photos(entry))


def read_release(folder: str | Path, *, train: str, test: str, names: str | None = None) -> Release:
    """Read the class folders {train}/{class}/ and {test}/{class}/ below `folder`; classes are those of train, sorted.

    names: a text file of a class folder's name, a space and the class's name in each line (LOC_synset_mapping.txt of
    ImageNet), else a class is named like its folder. Photos may lie deeper in a class folder. What a desktop or an
    editor leaves (names that begin with a dot, @eaDir) is passed over. The id of a photo is its file's name without
    the suffix, or as much of its path as it takes to tell it from others.

    Raises FileNotFoundError for an absent folder, ValueError for a class of test that train does not have.
    """
    folder = Path(folder)
    rows: list[tuple[str, str, str]] = []
    for split, place in (("train", train), ("test", test)):
        for entry in _folders(folder / place):
            rows += [(split, f"{place}/{entry.name}/{name}", entry.name) for name in _photos(entry)]
    table = pd.DataFrame(rows, columns=["split", "path", "label"])
    table["image_id"] = short_ids(table["path"].tolist())
    labels = sorted(set(table["label"][table["split"] == "train"]))
    unknown = set(table["label"]) - set(labels)
    if unknown:
        raise ValueError(f"{folder / test} has the class {min(unknown)}, which {folder / train} does not have")
    known = {} if names is None else _names(folder / names)
    classes = pd.DataFrame({"label": labels, "name": [known.get(label, label) for label in labels]})
    boxes = table[["image_id", "label"]].assign(
        xmin=np.float32(0), xmax=np.float32(1), ymin=np.float32(0), ymax=np.float32(1), is_group_of=False
    )
    release = Release(table.assign(rotation=np.int16(0))[IMAGE_COLUMNS], boxes[BOX_COLUMNS], classes)
    check_release(release, folder)
    return release


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; a folder with one folder of photos per class is expected")
    folders = (entry for entry in os.scandir(folder) if entry.is_dir() and not is_litter(entry.name))
    return sorted(folders, key=lambda entry: entry.name)


def _photos(folder: os.DirEntry[str]) -> list[str]:
    """The photos of a class by their paths below its folder, sorted."""
    found = []
    for place, names in walk(folder.path):
        photos = (name for name in names if name.lower().endswith(SUFFIXES) and not is_litter(name))
        found += [(place / name).relative_to(folder.path).as_posix() for name in photos]
    return sorted(found)


def _names(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {label: name.strip() for label, _, name in (line.partition(" ") for line in lines if line.strip())}
