"""The training photos as JPEG files, decoded a batch at a time on the device that trains.

For photos that do not fit there decoded: a photo of 512 px takes 76 kB as it is stored and 800 kB decoded. The files
are read from the store each time, which the operating system keeps in memory. On a GPU nvJPEG decodes them.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from oac.data.store import DamagedPhotoError, Store
from oac.pretrain.device_cut import DeviceCut, DevicePhoto, padded


@dataclass(frozen=True)
class JpegPhoto(DevicePhoto):
    """A photo with its JPEG file, (n,) uint8 on the host."""

    file: Tensor


class JpegPhotos(DeviceCut):
    """The photos of a split by their number, decoded on the device when a batch of them is cut."""

    def __init__(self, folder: str | Path, images: pd.DataFrame, device: torch.device):
        """Open the store in `folder`; images: image_id, width and height."""
        super().__init__(images["image_id"].tolist(), device)
        self.verified = Store(folder)
        self.store = copy.copy(self.verified)
        self.store.verify = False
        width, height = images["width"].tolist(), images["height"].tolist()
        self.sizes: list[tuple[int, int]] = list(zip(width, height, strict=True))
        self.padded = padded((max(width), max(height)))
        self._seen = np.zeros(len(images), bool)  # whose hash was compared, which is done once
        self.refused: set[int] = set()  # photos that the device does not decode
        # A stream of its own: decoding waits for nothing that the network has still to do.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __getitem__(self, index: int) -> JpegPhoto | None:
        """Return the photo with its file, or None where the file is damaged."""
        try:
            data = (self.store if self._seen[index] else self.verified).read(self.image_ids[index])
        except DamagedPhotoError:
            return None
        self._seen[index] = True
        return JpegPhoto(index, self.sizes[index], torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def batch_pixels(self, photos: Sequence[DevicePhoto]) -> Tensor:
        """Decode some photos: (B, 3, H, W) uint8, each in the upper left corner."""
        with torch.cuda.stream(self._stream) if self._stream else contextlib.nullcontext():
            # What is beside a photo is never read.
            pixels = torch.empty(len(photos), 3, *self.padded, dtype=torch.uint8, device=self.device)
            for place, photo in zip(pixels, self._decoded(photos), strict=True):
                place[:, : photo.shape[1], : photo.shape[2]] = photo
        if self._stream:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self._stream)
            pixels.record_stream(current)
        return pixels

    def _decoded(self, photos: Sequence[DevicePhoto]) -> list[Tensor]:
        """The pixels of each photo, (3, h, w) uint8; one that the device refuses is decoded on the host."""
        usual = [photo for photo in photos if photo.row not in self.refused]
        try:
            decoded = dict(zip((photo.row for photo in usual), self._decode(usual), strict=True))
        except RuntimeError:  # one of them, and nothing says which
            decoded = {}
            for photo in usual:
                try:
                    decoded[photo.row] = self._decode([photo])[0]
                except RuntimeError as error:
                    self.refused.add(photo.row)
                    print(
                        f"{self.image_ids[photo.row]} is decoded on the host, as {self.device.type} does not"
                        f" ({' '.join(str(error).split())[:100]}); {len(self.refused)} of {len(self)} photos so far",
                        file=sys.stderr,
                    )
        return [decoded[photo.row] if photo.row in decoded else self._on_host(photo) for photo in photos]

    def _decode(self, photos: Sequence[DevicePhoto]) -> list[Tensor]:
        files = [photo.file for photo in photos if isinstance(photo, JpegPhoto)]
        decoded: list[Tensor] = decode_jpeg(files, ImageReadMode.RGB, self.device) if files else []
        return decoded

    def _on_host(self, photo: DevicePhoto) -> Tensor:
        pixels = np.array(self.verified.image(self.image_ids[photo.row]))
        return torch.from_numpy(pixels).permute(2, 0, 1).to(self.device)
