"""Photos and boxes to batches of uint8 views.

A batch is a function of its step number: step t holds places t * B to (t + 1) * B of an endless sequence of
shuffled epochs, and every crop is a function of (seed, epoch, item). So any step can be made by any worker. An item
is a photo, or, as in the released code, a box of one (`items` of a crop variant); a budget counts photos seen in both
cases.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from oac.pretrain import crops
from oac.pretrain.crop_sampler import Boxes, CropSampler
from oac.pretrain.crops import CropPolicy
from oac.pretrain.device_cut import DeviceCut
from oac.pretrain.host_photos import LEVELS, HostPhotos
from oac.pretrain.rng import permutation, uniform

REPLACEMENTS = 10  # photos tried in place of an unreadable one before a run gives up


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

    query, key: (B, 3, S, S) uint8 in channels-last memory, on the device where the photos are there; epoch, item:
    (B,) int64, which sample it is; image: (B,) int64, its photo's number, which is the item where items are photos;
    swapped: (B,) bool, whether the query is the policy's second view; labels: (B, C) float32, classes of the photo;
    damaged: how many photos could not be read and were replaced; small: None, or (n * B, 3, s, s) the n small views,
    all photos' first ones first: uint8 from the loader, augmented float32 when a method sees them; keys: None, or
    (B, dim) what a method has encoded the keys to, where the batch is computed in parts.
    """

    query: Tensor
    key: Tensor
    epoch: np.ndarray
    item: np.ndarray
    image: np.ndarray
    swapped: Tensor
    labels: Tensor
    damaged: int
    small: Tensor | None = None
    keys: Tensor | None = None

    def pin_memory(self) -> Batch:
        """Move the host's tensors to page-locked memory; the DataLoader calls this, and copies to a GPU overlap."""
        pinned: dict[str, Any] = {
            name: value.pin_memory()
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and value.device.type == "cpu"
        }
        return replace(self, **pinned)


class ViewBatches(CropSampler, Dataset[Batch]):
    """Batches of a run by step number."""

    def __init__(
        self,
        photos: HostPhotos | DeviceCut,
        boxes: Boxes,
        labels: np.ndarray,
        policy: CropPolicy,
        scale_lower: float,
        *,
        seed: int,
        batch_size: int,
        view_size: int,
        small: SmallViews | None = None,
        reduce: float = 0.0,
        part: tuple[int, int] = (0, 1),
    ):
        """Say what is cut of which photos.

        reduce: a photo is decoded at 1/2, 1/4 or 1/8 of its side where that leaves every view of it at least this
        many pixels for one of its own along each side; 0 decodes photos whole. part: (rank, world size): of each
        batch this process makes the rank-th of `world size` equal parts.

        Raises ValueError where there are no photos, or where the batch does not divide.
        """
        rank, world_size = part
        if not len(photos):
            raise ValueError("no training photos: the study's train split is empty")
        if batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} does not divide among {world_size} processes")
        super().__init__(policy, scale_lower, boxes, seed)
        self.photos, self.labels = photos, labels
        self.batch_size, self.view_size, self.small, self.reduce = batch_size, view_size, small, reduce
        self.rows = np.arange(batch_size // world_size) + rank * (batch_size // world_size)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def samples(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return epoch and item number of each of this process' samples of a step; a batch may span two epochs."""
        place = step * self.batch_size + self.rows
        epoch, position = np.divmod(place, len(self.item_photo))
        return epoch, np.array([self._order(e)[p] for e, p in zip(epoch, position, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, permutation(self.seed, int(epoch), len(self.item_photo)))
        return self._epoch[1]

    def __getitem__(self, step: int) -> Batch:
        epoch, item = self.samples(step)
        photos, item, damaged = self._readable(item)
        image = self.item_photo[item]
        size = np.array([photo.size for photo in photos], float)
        views = self.draw_views(epoch, item, size)
        small = self._small_boxes(epoch, item, size)
        side = self.small.size if self.small else 0
        factor = self._factors([views.query, views.key], self.view_size, small, side)
        return Batch(
            query=self.photos.cut(photos, factor, views.query, self.view_size),
            key=self.photos.cut(photos, factor, views.key, self.view_size),
            epoch=epoch,
            item=item,
            image=image,
            swapped=torch.from_numpy(views.swapped),
            labels=torch.from_numpy(self.labels[image].astype(np.float32)),
            damaged=damaged,
            small=torch.cat([self.photos.cut(photos, factor, box, side) for box in small]) if small else None,
        )

    def _small_boxes(self, epoch: np.ndarray, item: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """Draw the small views of photos of `size` (B, 2), (B, 4) pixels each; they have draws of their own."""
        if self.small is None:
            return []
        u = uniform(self.seed, epoch, item, self.small.count * crops.DRAWS_PER_CROP, "small")
        photo = np.concatenate([np.zeros_like(size), size], axis=1)
        return [
            crops.random_crop(photo, self.small.scale, self.policy.ratio, part)
            for part in np.split(u, self.small.count, axis=1)
        ]

    def _factors(self, full: list[np.ndarray], side: int, small: list[np.ndarray], small_side: int) -> np.ndarray:
        """How many times smaller each photo may be decoded for its views: (B,) of LEVELS."""
        if not self.reduce:
            return np.ones(len(full[0]), int)
        spare = [_short_side(box) / side for box in full] + [_short_side(box) / small_side for box in small]
        enough = np.min(spare, axis=0)[:, None] / self.reduce >= np.array(LEVELS[1:])
        return np.array(LEVELS)[enough.sum(axis=1)]

    def _readable(self, item: np.ndarray) -> tuple[list[Any], np.ndarray, int]:
        """Fetch the photos of a batch; an unreadable one is replaced by the next readable one in order."""
        item, photos, damaged = item.copy(), [], 0
        for place, index in enumerate(self.item_photo[item]):
            for offset in range(REPLACEMENTS):
                photo = self.photos[(int(index) + offset) % len(self.photos)]
                if photo is not None:
                    break
                damaged += offset == 0
            else:
                name = self.photos.image_ids[int(index)]
                raise OSError(f"{name} and the {REPLACEMENTS - 1} photos after it are unreadable: fetch them again")
            if offset:  # of another photo its first item
                item[place] = np.searchsorted(self.item_photo, (int(index) + offset) % len(self.photos))
            photos.append(photo)
        return photos, item, int(damaged)


def _short_side(box: np.ndarray) -> np.ndarray:
    """The shorter side of each box (B, 4), in pixels."""
    return np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])


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
