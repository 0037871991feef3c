"""Writes annotation files of Open Images' size and layout, with nothing of Open Images in them.

What is like the official V6 train files: rows (14.6 million boxes of 1.74 million images, sorted by image), columns
(21, with the XClick columns), bytes (2.2 GB and 0.64 GB), 601 classes whose images fall off in a long tail, about
eight boxes and two classes an image, a rotation for 2.6 % of the photos, titles with commas, quotes and line breaks.
What is not: which classes occur together, and where boxes lie.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oac.atomic import writing
from oac.data import openimages

# Open Images V6 train (storage.googleapis.com/openimages/web/factsfigures_v7.html).
TRAIN_IMAGES, TRAIN_BOXES, CLASSES = 1_743_042, 14_610_229, 601
BOX_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,"
    "XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y\n"
)
IMAGE_HEADER = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation\n"
)
_TITLES = ('"On the beach, evening"', '"The ""old"" mill"', '"two\nlines"', "Straße — Köln", "")
_MICRO = 1_000_000  # corners are written with six decimals
_CHUNK = 100_000  # images at a time, so that memory stays small


@dataclass(frozen=True)
class Size:
    """How much of one split is written."""

    images: int = TRAIN_IMAGES
    boxes: int = TRAIN_BOXES
    seed: int = 0


def write_split(folder: str | Path, split: str, size: Size) -> None:
    """Write the box file, the image list and the class list of a split under their official names.

    The same size gives the same bytes. A box file has `size.boxes` rows, at least one for each image.
    """
    folder, rng = Path(folder), np.random.default_rng([size.seed, len(split)])
    labels = class_labels()
    with writing(folder / openimages.CLASSES_FILE) as path, open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows((label, f"Class {number}") for number, label in enumerate(labels))
    ids = _distinct_ids(rng, size.images)
    counts = _boxes_per_image(rng, size)
    digits = _hexadecimal(ids)
    with writing(folder / openimages.box_file(split)) as path, open(path, "wb") as file:
        file.write(BOX_HEADER.encode())
        numbers = _texts([*(f"{value / _MICRO:.6f}" for value in range(_MICRO + 1)), "-1.000000"])
        for start in range(0, size.images, _CHUNK):
            rows = slice(start, start + _CHUNK)
            file.write(_box_rows(rng, digits[rows], counts[rows], labels, numbers))
    with writing(folder / openimages.image_list_file(split)) as path, open(path, "wb") as file:
        file.write(IMAGE_HEADER.encode())
        for start in range(0, size.images, _CHUNK):
            for text in _image_rows(rng, ids[start : start + _CHUNK], split):
                file.write(text)


def class_labels() -> list[str]:
    """Machine identifiers like Open Images' MIDs, 6 to 9 characters long."""
    rng = np.random.default_rng(CLASSES)
    alphabet = np.array(list("0123456789bcdfghjklmnpqrstvwxyz_"))
    labels: dict[str, None] = {}
    while len(labels) < CLASSES:
        labels["/m/0" + "".join(rng.choice(alphabet, rng.integers(3, 7)))] = None
    return list(labels)


def _distinct_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Sorted distinct numbers below 2**63, whose 16 hexadecimal digits are ids."""
    ids = np.unique(rng.integers(0, 2**63, count + 1000, np.uint64))
    return np.sort(rng.choice(ids, count, replace=False))


def _boxes_per_image(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Heavy-tailed counts of at least 1 that add up to `size.boxes`."""
    weight = rng.lognormal(0.0, 1.0, size.images)
    counts = 1 + np.floor(weight / weight.sum() * (size.boxes - size.images)).astype(np.int64)
    rest = size.boxes - int(counts.sum())
    counts[rng.choice(size.images, rest, replace=False)] += 1
    return counts


def _box_rows(
    rng: np.random.Generator, ids: np.ndarray, counts: np.ndarray, labels: list[str], numbers: np.ndarray
) -> bytes:
    """The rows of some images: ids (n, 16) as text, counts (n,) boxes of each, numbers: the texts of all corners."""
    image = np.repeat(np.arange(len(ids)), counts)
    classes = _classes(rng, len(ids), len(labels))
    label = classes[image, np.minimum(rng.geometric(0.55, len(image)) - 1, 3)]
    low = rng.integers(0, _MICRO - 50_000, (len(image), 2))
    high = low + 1 + (rng.random(low.shape) ** 2 * (_MICRO - 1 - low)).astype(np.int64)
    clicked = rng.random(len(image)) < 0.9
    clicks = np.stack([*_points(rng, low[:, 0], high[:, 0]), *_points(rng, low[:, 1], high[:, 1])], axis=1)
    clicks[~clicked] = _MICRO + 1  # boxes that no person drew have -1.000000 there
    flags = (rng.random((len(image), 5)) < (0.66, 0.25, 0.05, 0.05, 0.002)).astype(np.uint8) + ord("0")
    corners = numbers[np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)]
    pieces = [
        ids[image],
        _texts(["activemil", "xclick"])[clicked.astype(int)],
        _texts(labels)[label],
        np.full((len(image), 1), ord("1"), np.uint8),
        *corners.transpose(1, 0, 2),
        *flags.T[:, :, None],
        *numbers[clicks].transpose(1, 0, 2),
    ]
    return _joined(pieces)


def _classes(rng: np.random.Generator, images: int, classes: int) -> np.ndarray:
    """Four classes of each image, of which its boxes show the first ones most: a long tail over all classes."""
    share = 1 / np.arange(1, classes + 1) ** 1.15
    return rng.choice(classes, (images, 4), p=share / share.sum())


def _points(rng: np.random.Generator, low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """One coordinate of the four points a person clicks: both extremes and two between them."""
    yield low
    yield high
    for _ in range(2):
        yield low + (rng.random(len(low)) * (high - low)).astype(np.int64)


def _image_rows(rng: np.random.Generator, ids: np.ndarray, split: str) -> Iterator[bytes]:
    """Rows of the image list, one after the other: titles make them too irregular for arrays."""
    rotation = np.where(rng.random(len(ids)) < 0.026, rng.choice([90, 180, 270], len(ids)), 0)
    unknown = rng.random(len(ids)) < 0.05
    number = rng.integers(10**9, 10**10, len(ids))
    rows = (ids.tolist(), number.tolist(), rotation.tolist(), unknown.tolist())
    for photo, value, turn, gone in zip(*rows, strict=True):
        kind, user, angle = photo % 50, value % 100_000, "" if gone else f"{turn}.0"
        title = _TITLES[kind] if kind < len(_TITLES) else f"DSC_{value % 10_000:04d}"
        host = f"{kind % 9 + 1}.staticflickr.com/{value % 9000}/{value}"
        yield (
            f"{photo:016x},{split},https://farm{host}_{photo:016x}_o.jpg,"
            f"https://www.flickr.com/photos/user-{user}/{value},https://creativecommons.org/licenses/by/2.0/,"
            f"https://www.flickr.com/people/user-{user}/,User {user},{title},{value % 9_000_000},{photo:022x}==,"
            f"https://c{host}_{photo:010x}_z.jpg,{angle}\n"
        ).encode()


def _hexadecimal(ids: np.ndarray) -> np.ndarray:
    """Text (n, 16) of numbers, as bytes."""
    octets = ids.astype(">u8").view(np.uint8).reshape(-1, 8)
    nibbles = np.stack([octets >> 4, octets & 15], axis=2).reshape(-1, 16)
    return np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]


def _texts(values: list[str]) -> np.ndarray:
    """Texts as an array (n, width) of bytes, padded with zeros, to be indexed."""
    array = np.array([value.encode() for value in values])
    return array.view(np.uint8).reshape(len(values), array.dtype.itemsize)


def _joined(pieces: list[np.ndarray]) -> bytes:
    """Lines of comma-separated fields, given as arrays (n, width) padded with zeros."""
    comma, end = (np.full((len(pieces[0]), 1), ord(mark), np.uint8) for mark in ",\n")
    columns = [part for piece in pieces for part in (piece, comma)]
    text = np.concatenate([*columns[:-1], end], axis=1)
    return text[text != 0].tobytes()
