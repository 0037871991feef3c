"""An Open Images release in miniature: the data of the demo.

The folder it writes has the official file names, columns and places, so that everything behind it is the code that
reads the real release. An image shows several objects of two or three classes on a cluttered background; every object
has a closed outline, and the sizes recur, as real objects do for a window scorer.

The class of an object shows in its shape and texture alone (see synthetic_images.py). Some images hold one class only
and some classes are rare, so that the OHMS filters have something to drop; some photos are grayscale, some are stored
turned, some boxes are of groups.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oac.atomic import writing
from oac.data import openimages
from oac.data.synthetic_images import CLASSES, Design, Layouts, background, compose, draw_objects

GREY_SHARE, TURNED_SHARE = 0.03, 0.03  # of the photos

IMAGE_LIST_COLUMNS = [
    *("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL"),
    *("Author", "Title", "OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation"),
]
BOX_FILE_COLUMNS = [
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
]


def label_name(index: int) -> str:
    """Machine identifier of a class, in the style of Open Images' MIDs."""
    return f"/m/0oac{index:02d}"


def write_release(
    folder: str | Path, *, seed: int, train: int, validation: int, test: int, quality: int = 90, **design: Any
) -> None:
    """Write a release of `train`, `validation` and `test` square photos under `folder`; design: options of `Design`.

    The same arguments give the same bytes. Photos lie at {split}/{image_id}.jpg beside the annotation files.
    """
    folder, look = Path(folder), Design(**design)
    with writing(folder / openimages.CLASSES_FILE) as path, open(path, "w", newline="") as file:
        rows = [[label_name(i), f"{texture.capitalize()} {shape}"] for i, (shape, texture) in enumerate(CLASSES)]
        csv.writer(file, lineterminator="\n").writerows(rows)
    for number, (split, count) in enumerate({"train": train, "validation": validation, "test": test}.items()):
        _write_split(folder, split, count, np.random.default_rng([seed, number]), look, quality)


def _write_split(
    folder: Path, split: str, count: int, rng: np.random.Generator, design: Design, quality: int
) -> None:
    """Write one split's photos, box file and image list."""
    ids = np.array([f"{value:016x}" for value in rng.choice(2**48, count, replace=False)])
    (folder / split).mkdir(parents=True, exist_ok=True)
    box_rows: list[list[object]] = []
    image_rows: list[list[object]] = []
    with ThreadPoolExecutor() as pool:
        for start, layouts, pixels, boxes in _rendered(rng, count, design):
            n = len(pixels)
            grey, turned = rng.random(n) < GREY_SHARE, rng.random(n) < TURNED_SHARE
            rotation = np.where(turned, rng.choice([90, 180, 270], n), 0)
            chunk = ids[start : start + n]
            paths = [folder / split / f"{image_id}.jpg" for image_id in chunk]
            list(pool.map(_write_photo, paths, pixels, grey, rotation, [quality] * n))
            box_rows += _box_rows(chunk, layouts, boxes / design.size, rotation)
            image_rows += [
                [image_id, split, *[""] * 9, float(r)] for image_id, r in zip(chunk, rotation, strict=True)
            ]
    _write_csv(folder / openimages.box_file(split), BOX_FILE_COLUMNS, box_rows)
    _write_csv(folder / openimages.image_list_file(split), IMAGE_LIST_COLUMNS, image_rows)


def _rendered(
    rng: np.random.Generator, count: int, design: Design, chunk: int = 40
) -> Iterator[tuple[int, Layouts, np.ndarray, np.ndarray]]:
    """Yield (start, layouts, pixels (n, size, size, 3) uint8, boxes (n, k, 4) in pixels) in chunks."""
    for start in range(0, count, chunk):
        n = min(chunk, count - start)
        layouts = compose(rng, n, design)
        canvas = background(rng, n, design.size, design.gratings)
        boxes = draw_objects(rng, canvas, layouts)
        yield start, layouts, np.rint(canvas * 255).astype(np.uint8), boxes


def _write_photo(path: Path, pixels: np.ndarray, grey: bool, rotation: int, quality: int) -> None:
    """Write one JPEG; `rotation` is how far a reader must turn it counter-clockwise to see it upright."""
    image = Image.fromarray(pixels).rotate(-int(rotation), expand=True)
    (image.convert("L") if grey else image).save(path, "JPEG", quality=quality)


def _box_rows(ids: np.ndarray, layouts: Layouts, boxes: np.ndarray, rotation: np.ndarray) -> list[list[object]]:
    """Rows of the box file, objects in order of place; official boxes are of the photo as it is stored."""
    image, place = np.nonzero(layouts.label >= 0)
    stored = openimages.rotate_boxes(boxes[image, place], (360 - rotation[image]) % 360)
    label, group = layouts.label[image, place], layouts.group[image, place].astype(int)
    return [
        [ids[i], "xclick", label_name(c), 1, *(f"{edge:.6f}" for edge in box[[0, 2, 1, 3]]), 0, 0, g, 0, 0]
        for i, c, box, g in zip(image, label, stored, group, strict=True)
    ]


def _write_csv(path: Path, columns: list[str], rows: list[list[object]]) -> None:
    with writing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
