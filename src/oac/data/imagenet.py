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

from oac.data.photo_files import (
    as_known,
    file_state,
    is_litter,
    is_photo,
    is_text,
    links_note,
    once,
    paths_below,
    short_ids,
)
from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, LEAST_MATCHED, Release, check_release, unmatched_note
from oac.user_files import BadFileError, read_text


def files(folder: str | Path, *, train: str, test: str, names: str | None = None) -> list[str]:
    """The folders of the splits, and the file of class names."""
    return [str(Path(folder) / name) for name in (train, test, names) if name]


def most_photos(folder: str | Path, *, train: str, test: str, **_: object) -> dict[str, int]:
    """How many photos the class folders of the two splits hold."""
    places = {"train": train, "test": test}
    _check_apart(folder, train, test)
    return {
        split: sum(len(_photos(entry)[0]) for entry in _folders(Path(folder) / place))
        for split, place in places.items()
    }


def state(folder: str | Path, *, train: str, test: str, **_: object) -> Iterator[str]:
    """Path, size and time of each photo of each class."""
    for place in (train, test):
        for entry in _folders(Path(folder) / place):
            for name in _photos(entry)[0]:
                yield f"{place}/{entry.name}/{name}\t{file_state(f'{entry.path}/{name}')}"


def read_release(folder: str | Path, *, train: str, test: str, names: str | None = None) -> Release:
    """Read the class folders {train}/{class}/ and {test}/{class}/ below `folder`; classes are those of train, sorted.

    Blanks around a folder's name are no part of the class, so two folders can be one.

    names: a text file of a class folder's name, a blank and the class's name in each line (LOC_synset_mapping.txt of
    ImageNet), else a class is named like its folder; up to 1 - LEAST_MATCHED of the folders may lack one. Photos may
    lie deeper in a class folder. What a desktop or an editor leaves (`is_litter`) is passed over. Links to other
    photos of their class are left out and counted, as are photos beside the class folders and other files. The id of
    a photo is its file's name without the suffix, or as much of its path as it takes to tell it from others.

    Raises FileNotFoundError for an absent folder, ValueError for one without class folders, for a class of test that
    train does not have, for a split that lies in the other, and where train has one class folder whose photos all lie
    in folders of it.
    """
    folder = Path(folder)
    _check_apart(folder, train, test)
    rows: list[tuple[str, str, str]] = []
    others = links = 0
    empty: list[str] = []
    for split, place in (("train", train), ("test", test)):
        entries = _folders(folder / place)
        for entry in entries:
            photos, linked, other = _photos(entry)
            links += linked
            empty += [] if photos else [f"{place}/{entry.name}"]
            if split == "train" and len(entries) == 1:
                _check_depth(folder, f"{place}/{entry.name}", photos)
            rows += [(split, f"{place}/{entry.name}/{name}", entry.name.strip()) for name in photos]
            others += other
    beside = [name for place in (train, test) for name in _beside(place, folder)]
    loose = [name for name in beside if is_photo(name)]
    others += len(beside) - len(loose)
    table = pd.DataFrame(rows, columns=["split", "path", "label"])
    table["image_id"] = short_ids(table["path"].tolist())
    labels = sorted(set(table["label"][table["split"] == "train"]))
    table["label"] = table["label"].map(as_known(table["label"].unique(), labels))
    unknown = set(table["label"]) - set(labels)
    if unknown:
        raise ValueError(f"{folder / test} has the class {min(unknown)}, which {folder / train} does not have")
    known, said = ({}, ()) if names is None else _names(folder / names, labels)
    classes = pd.DataFrame({"label": labels, "name": [known.get(label, label) for label in labels]})
    boxes = table[["image_id", "label"]].assign(
        xmin=np.float32(0), xmax=np.float32(1), ymin=np.float32(0), ymax=np.float32(1), is_group_of=False
    )
    images = table.assign(rotation=np.int16(0))[IMAGE_COLUMNS]
    release = Release(
        images, boxes[BOX_COLUMNS], classes, others, notes=links_note(links) + said + _left(empty, loose)
    )
    check_release(release, folder)
    return release


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; a folder with one folder of photos per class is expected")
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    folders = [entry for entry in entries if entry.is_dir() and not is_litter(entry.name)]
    if not folders:
        photos = sum(is_photo(entry.name) for entry in entries)
        raise BadFileError(
            f"{folder} has no class folders, and {photos:,} photos lie in it: sort them into a folder for each class"
            " (docs/data.md says how for ImageNet's validation photos)"
        )
    for entry in folders:
        if not is_text(entry.name):
            raise BadFileError(f"{folder}: the name of the folder {entry.name!r} is not UTF-8: rename it")
        if not entry.name.strip():
            raise BadFileError(f"{folder}: the name of the folder {entry.name!r} is blank: rename it after its class")
    return folders


def _photos(folder: os.DirEntry[str]) -> tuple[list[str], int, int]:
    """The photos of a class by their paths below its folder, sorted; how many more are links to them; other files."""
    paths = list(paths_below(folder.path))
    photos = sorted(filter(is_photo, paths))
    return *once(folder.path, photos), len(paths) - len(photos)


def _check_apart(folder: str | Path, train: str, test: str) -> None:
    """Refuse folders of which one holds the other, so that its photos would be in both splits."""
    places = [os.path.realpath(Path(folder) / place) for place in (train, test)]
    if os.path.commonpath(places) in places:
        raise BadFileError(
            f"{folder}: of the folders {train} (train) and {test} (test) one holds the other, and its photos would be"
            " in both splits: name two that lie beside each other in data.imagenet of the study"
        )


def _check_depth(folder: Path, entry: str, photos: list[str]) -> None:
    """Refuse the only class folder where its photos lie in folders of it: archives often have one around all."""
    inner = sorted({path.partition("/")[0] for path in photos})
    if len(inner) > 1 and all("/" in path for path in photos):
        raise BadFileError(
            f"{folder / entry} is the only class folder, and its photos lie in the folders {', '.join(inner[:3])}"
            f"{' and others' * (len(inner) > 3)} of it: if those are the classes, name {entry} in"
            " data.imagenet of the study"
        )


def _beside(place: str, folder: Path) -> list[str]:
    """The files that lie beside the class folders of a split, by their paths."""
    return sorted(f"{place}/{entry.name}" for entry in os.scandir(folder / place) if not entry.is_dir())


def _left(empty: list[str], loose: list[str]) -> tuple[str, ...]:
    """Name the first class folders without a photo, and photos in no class folder; nothing of what there is not."""
    kinds = (("Class folders without a photo", empty), ("Photos beside the class folders, which are left out", loose))
    return tuple(f"{what}: {len(names):,}, the first: {', '.join(names[:3])}." for what, names in kinds if names)


def _names(path: Path, labels: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The names of classes by their folders, and what folders have none, in words."""
    names: dict[str, str] = {}
    # The first word of a line tells its folder, but where there is one "red fox" beside "red".
    spaced = sorted((label for label in labels if len(label.split()) > 1), key=len, reverse=True)
    for number, line in enumerate(map(str.strip, read_text(path).splitlines()), 1):
        text, first = f"{line} ".expandtabs(1), (line.split(maxsplit=1) or [""])[0]
        label = next((label for label in spaced if text.startswith(f"{label} ")), first)
        name = line.removeprefix(label).strip()
        if name and names.setdefault(label, name) != name:
            raise BadFileError(f"{path}, line {number}: {label} is named {name} here and {names[label]} before")
    written = as_known(names, labels)
    names = {written[label]: name for label, name in names.items()}
    unnamed = [label for label in labels if label not in names]
    if len(unnamed) > (1 - LEAST_MATCHED) * len(labels):
        raise BadFileError(
            f"{path} names {len(labels) - len(unnamed):,} of {len(labels):,} class folders, and not"
            f" {', '.join(unnamed[:3])}: each line must be a folder's name, a blank and the name of its class"
        )
    done = "The others are named like their folders, the first"
    return names, unmatched_note(path, len(labels), "class folders have a name in it", unnamed, done)
