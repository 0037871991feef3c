"""Reads a folder of photos, without boxes and perhaps with a file of labels, into the canonical tables.

Without labels all photos are of the split train. The id of a photo is its path below the folder, as in the files that
`python -m oac.proposals` writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from oac.csv_tables import read_user_table
from oac.data.decode import FORMATS, HEIC_IS_READ, HEIC_SUFFIXES
from oac.data.photo_files import as_known, file_state, is_photo, links_note, once, paths_below
from oac.data.tables import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    LEAST_MATCHED,
    Release,
    check_columns,
    check_constant,
    check_filled,
    check_known,
    read_choices,
    unmatched_note,
)


def find(folder: str | Path) -> tuple[list[str], list[str], int]:
    """The photos at any depth below a folder, by their names, and the other files: paths below it, sorted.

    Files in folders that a desktop leaves (@eaDir, .thumbnails) are neither. The third value is how many links to
    other photos are left out.

    Raises FileNotFoundError where there is no folder, ValueError where it holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name one with photos in it")
    photos: list[str] = []
    others: list[str] = []
    for path in paths_below(folder):
        (photos if is_photo(path) else others).append(path)
    if not photos:
        raise ValueError(f"{folder} holds no photo at any depth ({', '.join(FORMATS)}); other files: {len(others):,}")
    photos, links = once(folder, sorted(photos))
    return photos, sorted(others), links


def files(folder: str | Path, *, labels: str | None = None) -> list[str]:
    """The file of labels; of the photos `state` tells."""
    return [labels] if labels else []


def state(folder: str | Path, **_: object) -> Iterator[str]:
    """Path, size and time of each photo, and where there is one in HEIC, whether that is read."""
    names = find(folder)[0]
    if any(name.lower().endswith(HEIC_SUFFIXES) for name in names):
        yield f"HEIC is read: {HEIC_IS_READ}"
    yield from (f"{name}\t{file_state(Path(folder, name))}" for name in names)


def most_photos(folder: str | Path, *, labels: str | None = None) -> dict[str, int]:
    """How many photos each split has; with labels, at most."""
    count = len(find(folder)[0])
    return {"train": count, "test": count} if labels else {"train": count}


def read_release(folder: str | Path, *, labels: str | None = None) -> Release:
    """List the photos below a folder, with labels those that have one.

    labels: a CSV file with a line for each photo and label: image_id (the photo's path below the folder), label and
    split (train or test); without the last column a fifth of the photos, told by their ids, is test. Each label has a
    box that is the whole photo, as those of ImageNet. Photos without a label, and up to 1 - LEAST_MATCHED of the
    labelled photos that are not in the folder, are left out and counted.

    Raises as `find` does, and ValueError, naming file and line, for labels that are wrong.
    """
    paths, others, links = find(folder)
    images = pd.DataFrame({"image_id": paths, "split": "train", "path": paths, "rotation": 0})
    images = images.astype({"rotation": "int16"})[IMAGE_COLUMNS]
    table = pd.DataFrame(columns=["image_id", "label"], dtype="str")
    notes = links_note(links)
    if labels:
        table, unmatched = _read_labels(Path(labels), pd.Index(paths), folder)
        left = images["image_id"][~images["image_id"].isin(table["image_id"])].tolist()
        notes += unmatched + unmatched_note(
            labels,
            len(paths),
            "photos of the folder have a label in it",
            left,
            "Those without are left out, the first",
        )
        splits = dict(zip(table["image_id"], table["split"], strict=True))
        images = images[images["image_id"].isin(splits)].reset_index(drop=True)
        images["split"] = images["image_id"].map(splits)
    corners = {"xmin": 0.0, "xmax": 1.0, "ymin": 0.0, "ymax": 1.0}
    boxes = table[["image_id", "label"]].assign(**corners, is_group_of=False)
    boxes = boxes.astype(dict.fromkeys(corners, "float32") | {"is_group_of": "bool"})[BOX_COLUMNS]
    names = sorted(set(table["label"]))
    classes = pd.DataFrame({"label": names, "name": names}, dtype="str")
    return Release(images, boxes, classes, len(others), notes=notes)


def no_labels(path: str | Path) -> str:
    """What to say where there is no file of labels."""
    return f"{path} does not exist; a CSV file with the columns image_id and label is expected"


def _read_labels(path: Path, known: pd.Index, folder: str | Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a file of labels: image_id, label, split, each photo and label once; and what was left out, in words."""
    if not path.is_file():
        raise FileNotFoundError(no_labels(path))
    table = read_user_table(path)
    check_columns(list(table.columns), ("image_id", "label"), path)
    if table.empty:
        raise ValueError(f"{path} has no line of a label")
    table["image_id"] = table["image_id"].map(as_known(table["image_id"].unique(), known))
    check_filled(table, ["image_id", "label"], path)
    ids = table["image_id"].drop_duplicates()
    unmatched = ids[~ids.isin(known)].tolist()
    if len(unmatched) > (1 - LEAST_MATCHED) * len(ids):
        check_known(table["image_id"], known, "photo", path, folder, remedy="image_id is a photo's path below it")
    table = table[table["image_id"].isin(known)]
    if "split" in table:
        read_choices(table, "split", {"train": "train", "test": "test"}, "split must be train or test", path)
        check_constant(table, "image_id", "split", path)
    else:
        table["split"] = ["test" if _is_test(name) else "train" for name in table["image_id"]]
    done = "The others are left out, the first"
    note = unmatched_note(path, len(ids), "photos that it labels are in the folder", unmatched, done)
    return table.drop_duplicates(["image_id", "label"], ignore_index=True), note


def _is_test(image_id: str) -> bool:
    """Whether a photo is of the fifth that is tested on, whatever other photos there are."""
    return hashlib.sha256(image_id.encode()).digest()[0] % 5 == 0
