"""Photos and boxes to batches of uint8 views.

A batch is a function of its step number: step t holds places t * B to (t + 1) * B of an endless sequence of
shuffled epochs, and every crop is addressed by (seed, epoch, image). So any step can be made by any worker.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from oac.data.store import DamagedPhotoError, Store
from oac.pretrain import crops
from oac.pretrain.addressed import permutation, uniform
from oac.pretrain.crops import CropPolicy

REPLACEMENTS = 10  # photos tried in place of an unreadable one before a run gives up


@dataclass(frozen=True)
class Boxes:
    """The proposals of n photos: box (n, k, 4) padded with zeros, count (n,) how many of each row are real."""

    box: np.ndarray
    count: np.ndarray

    @classmethod
    def pack(cls, boxes: Sequence[np.ndarray]) -> Boxes:
        """Pad lists of (m, 4) boxes in [0, 1]; a photo without any gets the whole photo as its one box."""
        boxes = [b if len(b) else np.array([[0.0, 0.0, 1.0, 1.0]], np.float32) for b in boxes]
        count = np.array([len(b) for b in boxes])
        box = np.zeros((len(boxes), count.max(), 4), np.float32)
        box[np.arange(box.shape[1]) < count[:, None]] = np.concatenate(boxes)
        return cls(box, count)


@dataclass(frozen=True)
class SmallViews:
    """Further views of a photo, cut from the whole of it whatever the policy (SwAV's multi-crop).

    count: how many; size: their side in pixels; scale: range of their area as a share of the photo.
    """

    count: int
    size: int
    scale: tuple[float, float]


@dataclass
class Batch:
    """Two views of B photos as the loader cuts them.

    query, key: (B, 3, S, S) uint8 in channels-last memory; epoch, image: (B,) int64, the address of a sample;
    swapped: (B,) bool, whether the query is the policy's second view; labels: (B, C) float32, classes of the photo;
    damaged: how many photos could not be read and were replaced; small: None, or (n * B, 3, s, s) the n small views,
    all photos' first ones first: uint8 from the loader, augmented float32 when a method sees them.
    """

    query: Tensor
    key: Tensor
    epoch: np.ndarray
    image: np.ndarray
    swapped: Tensor
    labels: Tensor
    damaged: int
    small: Tensor | None = None

    def pin_memory(self) -> Batch:
        """Move the tensors to page-locked memory; the DataLoader calls this, and copies to a GPU then overlap."""
        pinned: dict[str, Any] = {
            name: value.pin_memory() for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **pinned)


class Photos:
    """The training photos, decoded once where they fit the memory budget, else read from the store each time."""

    def __init__(self, folder: str | Path, images: pd.DataFrame, resident_gib: float = 2.0):
        """`images` has image_id, width and height; `resident_gib` is the memory that decoded photos may take."""
        self.store = Store(folder)
        self.image_ids: list[str] = images["image_id"].tolist()
        # Pillow keeps four bytes a pixel.
        needed = 4 * int((images["width"].astype("int64") * images["height"]).sum())
        self._resident: list[Image.Image | None] | None = None
        if needed <= resident_gib * 2**30:
            self._resident = [self._decode(index) for index in range(len(self.image_ids))]

    def _decode(self, index: int) -> Image.Image | None:
        try:
            return self.store.image(self.image_ids[index])
        except DamagedPhotoError:
            return None

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Image.Image | None:
        """Return the photo as RGB, or None where it cannot be read."""
        return self._decode(index) if self._resident is None else self._resident[index]


class ViewBatches(Dataset[Batch]):
    """Batches of a run by step number."""

    def __init__(
        self,
        photos: Photos,
        boxes: Boxes,
        labels: np.ndarray,
        policy: CropPolicy,
        scale_lower: float,
        *,
        seed: int,
        batch_size: int,
        view_size: int,
        small: SmallViews | None = None,
        part: tuple[int, int] = (0, 1),
    ):
        """`part` is (rank, world): of each batch this process makes the rank-th of `world` equal parts.

        Raises ValueError where there are no photos, or where the batch does not divide.
        """
        if not len(photos):
            raise ValueError("no training photos: the study's train split is empty")
        if batch_size % part[1]:
            raise ValueError(f"a batch of {batch_size} does not divide among {part[1]} processes")
        self.photos, self.boxes, self.labels = photos, boxes, labels
        self.policy, self.scale_lower = policy, scale_lower
        self.seed, self.batch_size, self.view_size, self.small = seed, batch_size, view_size, small
        rank, self.world = part
        self.rows = np.arange(batch_size // self.world) + rank * (batch_size // self.world)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def address(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return epoch and image number of each of this process' samples of a step; a batch may span two epochs."""
        place = step * self.batch_size + self.rows
        epoch, position = np.divmod(place, len(self.photos))
        return epoch, np.array([self._order(e)[p] for e, p in zip(epoch, position, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, permutation(self.seed, int(epoch), len(self.photos)))
        return self._epoch[1]

    def __getitem__(self, step: int) -> Batch:
        epoch, image = self.address(step)
        photos, image, damaged = self._readable(image)
        size = np.array([photo.size for photo in photos], float)
        u = uniform(self.seed, epoch, image, crops.DRAWS, "crops")
        views = crops.draw_views(
            self.policy, self.scale_lower, self.boxes.box[image], self.boxes.count[image], size, u
        )
        return Batch(
            query=_cut(photos, views.query, self.view_size),
            key=_cut(photos, views.key, self.view_size),
            epoch=epoch,
            image=image,
            swapped=torch.from_numpy(views.swapped),
            labels=torch.from_numpy(self.labels[image].astype(np.float32)),
            damaged=damaged,
            small=self._small_views(photos, epoch, image, size) if self.small else None,
        )

    def _small_views(
        self, photos: list[Image.Image], epoch: np.ndarray, image: np.ndarray, size: np.ndarray
    ) -> Tensor:
        """Cut the small views of photos of `size` (B, 2); their draws have an address of their own."""
        assert self.small is not None
        u = uniform(self.seed, epoch, image, self.small.count * crops.DRAWS_PER_CROP, "small")
        photo = np.concatenate([np.zeros_like(size), size], axis=1)
        boxes = [
            crops.random_crop(photo, self.small.scale, self.policy.ratio, part)
            for part in np.split(u, self.small.count, axis=1)
        ]
        return torch.cat([_cut(photos, box, self.small.size) for box in boxes])

    def _readable(self, image: np.ndarray) -> tuple[list[Image.Image], np.ndarray, int]:
        """Fetch the photos of a batch; an unreadable one is replaced by the next readable one in order."""
        image, photos, damaged = image.copy(), [], 0
        for place, index in enumerate(image):
            for offset in range(REPLACEMENTS):
                photo = self.photos[(int(index) + offset) % len(self.photos)]
                if photo is not None:
                    break
                damaged += offset == 0
            else:
                name = self.photos.image_ids[int(index)]
                raise OSError(f"{name} and the {REPLACEMENTS - 1} photos after it are unreadable: fetch them again")
            image[place] = (int(index) + offset) % len(self.photos)
            photos.append(photo)
        return photos, image, int(damaged)


def _cut(photos: list[Image.Image], box: np.ndarray, side: int) -> Tensor:
    """Cut and resize with antialiasing: (B, 3, side, side) uint8 in channels-last memory."""
    views = [
        np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR, box=tuple(edges)))
        for photo, edges in zip(photos, box.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)


def stream(batches: ViewBatches, first: int, last: int, *, workers: int, pin: bool) -> Iterator[Batch]:
    """Yield the batches of steps first to last - 1, in order, made by `workers` processes (0: by this one)."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=range(first, last),
            num_workers=workers,
            pin_memory=pin,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_leave_signals_to_the_trainer,
        )
    )


def _leave_signals_to_the_trainer(_: int) -> None:
    """Let a worker live through a SIGTERM or Ctrl-C to its process group: the trainer checkpoints and ends it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
