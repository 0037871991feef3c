"""The training photos in the host's memory, decoded once where they fit, else each time they are seen."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from oac.data.store import DamagedPhotoError, Store

LEVELS = (1, 2, 4, 8)  # how many times smaller a JPEG can be decoded at little cost


class HostPhoto:
    """A photo by its levels: whole, or decoded at 1/2, 1/4 or 1/8 of its side by JPEG's own scaling."""

    def __init__(self, image: Image.Image | None = None, data: bytes = b""):
        """Take a decoded photo, or JPEG bytes that are decoded when a level is asked for."""
        self._levels = {1: image} if image else {}
        self._data = data
        self.size: tuple[int, int] = image.size if image else Image.open(io.BytesIO(data)).size

    def at(self, level: int) -> Image.Image:
        """Return the RGB photo at 1/level of its side, rounded up to whole pixels."""
        if level not in self._levels:
            with Image.open(io.BytesIO(self._data)) as image:
                image.draft("RGB", (image.width // level, image.height // level))
                self._levels[level] = image.convert("RGB")
        return self._levels[level]

    def decode(self) -> None:
        """Decode every level and drop the bytes."""
        for level in LEVELS:
            self.at(level)
        self._data = b""


class HostPhotos:
    """The photos of a split by their number."""

    def __init__(self, folder: str | Path, images: pd.DataFrame, resident_gib: float = 2.0, *, reduced: bool = False):
        """Open the store in `folder`.

        images: image_id, width and height; resident_gib: the memory that decoded photos may take; reduced: whether
        levels below the whole photo will be asked for.
        """
        self.store, self.reduced = Store(folder), reduced
        self.image_ids: list[str] = images["image_id"].tolist()
        self.largest = int(images["width"].max()), int(images["height"].max())
        # Pillow keeps four bytes a pixel; the levels add a third.
        needed = 4 * int((images["width"].astype("int64") * images["height"]).sum()) * (4 / 3 if reduced else 1)
        self._resident: list[HostPhoto | None] | None = None
        if needed <= resident_gib * 2**30:
            self._resident = [self._open(index, resident=True) for index in range(len(self.image_ids))]

    def _open(self, index: int, *, resident: bool = False) -> HostPhoto | None:
        try:
            if not self.reduced:
                return HostPhoto(self.store.image(self.image_ids[index]))
            photo = HostPhoto(data=self.store.read(self.image_ids[index]))
            if resident:
                photo.decode()
            return photo
        except DamagedPhotoError:
            return None

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> HostPhoto | None:
        """Return the photo, or None where it cannot be read."""
        return self._open(index) if self._resident is None else self._resident[index]

    @staticmethod
    def cut(photos: Sequence[HostPhoto], factor: np.ndarray, box: np.ndarray, side: int) -> Tensor:
        """Cut a box (B, 4), in pixels, from each of B photos and resize it with antialiasing.

        factor: (B,) of LEVELS, how many times smaller each photo is decoded. Beside a photo all is black, as far as
        the box reaches. Returns (B, 3, side, side) uint8 in channels-last memory.
        """
        views = np.empty((len(photos), side, side, 3), np.uint8)
        # As many threads as torch computes with, which is one in a worker process. Pillow decodes and resizes outside
        # of Python's lock.
        threads = min(torch.get_num_threads(), len(photos))
        ends = np.linspace(0, len(photos), threads + 1).astype(int).tolist()
        parts = [slice(*part) for part in itertools.pairwise(ends)]
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(_cut, photos[part], factor[part], box[part], views[part]) for part in parts]
            for job in jobs:
                job.result()
        return torch.from_numpy(views).permute(0, 3, 1, 2)


def _cut(photos: Sequence[HostPhoto], factor: np.ndarray, box: np.ndarray, views: np.ndarray) -> None:
    """Write what `HostPhotos.cut` cuts to views (B, side, side, 3)."""
    images = [photo.at(level) for photo, level in zip(photos, factor.tolist(), strict=True)]
    # A reduced photo is rounded up to whole pixels, so that its scale is not quite 1 / level.
    whole, size = (np.array([each.size for each in kind]) for kind in (photos, images))
    box = box * np.tile(size / whole, 2)
    beside = (box[:, :2] < 0).any(1) | (np.ceil(box[:, 2:]) > size).any(1)
    for view, image, edges, leaves in zip(views, images, box, beside.tolist(), strict=True):
        image, inside = _framed(image, edges) if leaves else (image, tuple(edges.tolist()))
        view[:] = np.asarray(image.resize(view.shape[:2], Image.Resampling.BILINEAR, box=inside))


def _framed(image: Image.Image, box: np.ndarray) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """Put a black margin around a photo that the box leaves; return that and the box (4,) in its pixels."""
    low = np.minimum(np.floor(box[:2]), 0)
    high = np.maximum(np.ceil(box[2:]), image.size)
    left, upper, right, lower = np.concatenate([low, high]).astype(int).tolist()
    x0, y0, x1, y1 = (box - np.tile(low, 2)).tolist()
    return image.crop((left, upper, right, lower)), (x0, y0, x1, y1)  # Pillow fills with black
