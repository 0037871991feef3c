"""The training photos in the memory of the device that trains, where they fit, and their views cut there.

A view is two small matrix products: the weights of antialiased bilinear resizing over the photo's rows, the photo,
and the weights over its columns. Such products are what a GPU does best; no worker decodes, cuts or copies anything.
The weights are Pillow's, so a view differs from one that a worker cuts by a grey level at the most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from oac.pretrain.host_photos import HostPhoto, HostPhotos

DECODE_CHUNK = 256  # photos that are decoded before the first of them is placed
MEMORY_SHARE = 0.4  # of the device's free memory that photos may take; the rest is for the network and its batch


@dataclass(frozen=True)
class DevicePhoto:
    """A photo on the device: its row there, and its width and height in pixels."""

    row: int
    size: tuple[int, int]


class DevicePhotos:
    """All photos of a split in one tensor (N, 3, H, W), each in the upper left corner, H and W the largest sides."""

    def __init__(self, photos: HostPhotos, device: torch.device, threads: int = 1):
        """Decode every photo on `threads` threads and move it to the device; unreadable ones stay empty."""
        self.image_ids, self.device = photos.image_ids, device
        # Half precision errs by a quarter of a grey level at most and has tensor cores; a CPU has no reason for it.
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        width, height = photos.largest
        self.pixels = torch.zeros(len(photos), 3, height, width, dtype=torch.uint8, device=device)
        self._placed: list[DevicePhoto | None] = []
        self._batch: tuple[Sequence[DevicePhoto], Tensor] | None = None
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(photos), DECODE_CHUNK):
                rows = range(first, min(first + DECODE_CHUNK, len(photos)))
                self._placed += map(self._place, rows, pool.map(lambda row: _decoded(photos[row]), rows))

    def _place(self, row: int, decoded: Tensor | None) -> DevicePhoto | None:
        if decoded is None:
            return None
        _, height, width = decoded.shape
        self.pixels[row, :, :height, :width] = decoded.to(self.device)
        return DevicePhoto(row, (width, height))

    @staticmethod
    def bytes_needed(photos: HostPhotos) -> int:
        """What the photos take on the device."""
        width, height = photos.largest
        return len(photos) * 3 * height * width

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> DevicePhoto | None:
        """Return where a photo is, or None where it could not be read."""
        return self._placed[index]

    def cut(self, photos: Sequence[DevicePhoto], factor: np.ndarray, box: np.ndarray, side: int) -> Tensor:
        """Cut and resize as `HostPhotos.cut` does, from whole photos whatever their `factor` allows."""
        # Known here, before the boxes are on their way to the device, which nothing then has to wait for.
        margin = [_margin(photos, box, axis) for axis in (0, 1)]
        rows, size, edges = (
            torch.from_numpy(values).to(self.device, non_blocking=True)
            for values in (
                np.array([photo.row for photo in photos]),
                np.array([photo.size for photo in photos], np.float32),
                box.astype(np.float32),
            )
        )
        across, down = (
            resize_weights(edges[:, axis], edges[:, axis + 2], size[:, axis], side, length, margin[axis])
            for axis, length in enumerate((self.pixels.shape[3], self.pixels.shape[2]))
        )
        across, down = (weights.to(self.dtype)[:, None] for weights in (across, down))
        views = down @ self._batch_pixels(photos, rows) @ across.transpose(2, 3)
        return views.round_().clamp_(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)

    def _batch_pixels(self, photos: Sequence[DevicePhoto], rows: Tensor) -> Tensor:
        """The pixels of a batch (B, 3, H, W) in the type they are multiplied in; kept for its further views."""
        if self._batch is None or self._batch[0] is not photos:
            self._batch = photos, self.pixels[rows].to(self.dtype)
        return self._batch[1]


def open_photos(
    folder: str | Path, images: pd.DataFrame, device: torch.device, *, threads: int = 1, reduced: bool = False
) -> HostPhotos | DevicePhotos:
    """Open the photos of a split (see `HostPhotos`): on a GPU that has room for them, else in the host's memory."""
    if device.type == "cuda":
        photos = HostPhotos(folder, images, resident_gib=0)
        if DevicePhotos.bytes_needed(photos) <= MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]:
            return DevicePhotos(photos, device, threads)
    return HostPhotos(folder, images, reduced=reduced)


def resize_weights(
    low: Tensor, high: Tensor, extent: Tensor, side: int, length: int, margin: tuple[int, int] = (0, 0)
) -> Tensor:
    """Weights of antialiased bilinear resizing along one axis: (B, side, length), rows sum to 1 inside a photo.

    low, high: (B,) where the boxes begin and end, in pixels; extent: (B,) the photos' sides, beyond which nothing
    is read but black, as far as a box reaches; length: the side of the memory that holds them; margin: pixels before
    0 and past `length` that some box reaches. A triangle as wide as two pixels of the view, or two of the photo where
    that is coarser (Pillow's BILINEAR with `box`).
    """
    low, high, extent = (values.view(-1, 1, 1) for values in (low, high, extent))
    scale = (high - low) / side
    centre = low + (torch.arange(side, device=low.device).view(1, -1, 1) + 0.5) * scale
    pixel = torch.arange(-margin[0], length + margin[1], device=low.device).view(1, 1, -1)
    read = (pixel >= low.floor().clamp(max=0)) & (pixel < torch.maximum(high.ceil(), extent))
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0) * read
    # What is beside the photo is black and adds nothing, but has its share of the weight.
    weights = weights / weights.sum(-1, keepdim=True)
    return weights[..., margin[0] : margin[0] + length]


def _margin(photos: Sequence[DevicePhoto], box: np.ndarray, axis: int) -> tuple[int, int]:
    """How many pixels the boxes (B, 4) reach before 0 and past their photos along an axis, rounded up."""
    extent = np.array([photo.size[axis] for photo in photos])
    past = box[:, axis + 2] - extent
    return max(0, math.ceil(-box[:, axis].min())), max(0, math.ceil(past.max()))


def _decoded(photo: HostPhoto | None) -> Tensor | None:
    """Give a photo's pixels: (3, H, W) uint8."""
    return None if photo is None else torch.from_numpy(np.array(photo.at(1))).permute(2, 0, 1)
