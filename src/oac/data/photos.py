"""Reads a folder of photos, with neither boxes nor splits, into the canonical tables.

All photos are of the split train. The id of a photo is its path below the folder, as in the files that
`python -m oac.proposals` writes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
from PIL import Image

from oac.data.decode import FORMATS
from oac.data.tables import BOX_COLUMNS, CLASS_COLUMNS, IMAGE_COLUMNS, Release


def find(folder: str | Path) -> tuple[list[str], list[str]]:
    """The photos at any depth below a folder, by their names, and the other files: paths below it, sorted.

    Raises FileNotFoundError where there is no folder, ValueError where it holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name one with photos in it")
    suffixes = tuple(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
    photos: list[str] = []
    others: list[str] = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name).relative_to(folder).as_posix()
            (photos if name.lower().endswith(suffixes) and _is_text(path) else others).append(path)
    if not photos:
        raise ValueError(f"{folder} holds no photo at any depth ({', '.join(FORMATS)}); other files: {len(others):,}")
    return sorted(photos), sorted(others)


def files(folder: str | Path) -> list[str]:
    """The folder, whose time does not tell of all that happens below it: see `fingerprint`."""
    return [str(folder)]


def fingerprint(folder: str | Path) -> str:
    """A hash of the photos' paths, sizes and times: another where a photo came, went or was replaced."""
    stats = ((name, os.stat(Path(folder, name))) for name in find(folder)[0])
    text = "\n".join(f"{name}\t{stat.st_size}\t{stat.st_mtime_ns}" for name, stat in stats)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def most_photos(folder: str | Path) -> dict[str, int]:
    """How many photos each split has."""
    return {"train": len(find(folder)[0])}


def read_release(folder: str | Path) -> Release:
    """List the photos below a folder. Raises as `find` does."""
    paths, others = find(folder)
    images = pd.DataFrame({"image_id": paths, "split": "train", "path": paths, "rotation": 0})
    images = images.astype({"rotation": "int16"})[IMAGE_COLUMNS]
    boxes = pd.DataFrame({name: pd.Series(dtype=_KINDS.get(name, "float32")) for name in BOX_COLUMNS})
    classes = pd.DataFrame({name: pd.Series(dtype="str") for name in CLASS_COLUMNS})
    return Release(images, boxes, classes, len(others))


def _is_text(path: str) -> bool:
    """Whether a path can stand in a table; a file system allows any bytes in names."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


_KINDS = {"image_id": "str", "label": "str", "is_group_of": "bool"}
