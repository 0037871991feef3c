"""The training photos decoded in the memory of the device that trains, where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from oac.pretrain.device_cut import DeviceCut, DevicePhoto, padded
from oac.pretrain.host_photos import HostPhoto, HostPhotos

DECODE_CHUNK = 256  # photos that are decoded before the first of them is placed


class DevicePhotos(DeviceCut):
    """All photos of a split in one tensor (N, 3, H, W), each in the upper left corner."""

    def __init__(self, photos: HostPhotos, device: torch.device, threads: int = 1):
        """Decode every photo on `threads` threads and move it to the device; unreadable ones stay empty."""
        super().__init__(photos.image_ids, device)
        self.pixels = torch.zeros(len(photos), 3, *padded(photos.largest), dtype=torch.uint8, device=device)
        self._placed: list[DevicePhoto | None] = []
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
        height, width = padded(photos.largest)
        return len(photos) * 3 * height * width

    def __getitem__(self, index: int) -> DevicePhoto | None:
        """Return where a photo is, or None where it could not be read."""
        return self._placed[index]

    def batch_pixels(self, photos: Sequence[DevicePhoto]) -> Tensor:
        """The pixels of some photos: (B, 3, H, W) uint8."""
        rows = torch.from_numpy(np.array([photo.row for photo in photos]))
        return self.pixels[rows.to(self.device, non_blocking=True)]


def _decoded(photo: HostPhoto | None) -> Tensor | None:
    """Give a photo's pixels: (3, H, W) uint8."""
    return None if photo is None else torch.from_numpy(np.array(photo.at(1))).permute(2, 0, 1)
