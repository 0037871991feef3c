"""Views cut on a device from pixels that lie there.

A view is two small matrix products: the weights of antialiased bilinear resizing over the photo's rows, the photo,
and the weights over its columns. Such products are what a GPU does best; no worker cuts or copies anything. The
weights are Pillow's, so a view differs from one that a worker cuts of the same pixels by a grey level at the most.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MULTIPLE = 16  # of a memory's sides and margins: half-precision products of other shapes get a slower kernel


@dataclass(frozen=True)
class DevicePhoto:
    """A photo of a split: its number there, and its width and height in pixels."""

    row: int
    size: tuple[int, int]


class DeviceCut(ABC):
    """Photos whose views are cut on `device`; where their pixels come from is for the subclasses to say."""

    def __init__(self, image_ids: list[str], device: torch.device):
        self.image_ids, self.device = image_ids, device
        # Half precision errs by a quarter of a grey level at most and has tensor cores; a CPU has no reason for it.
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self._weights, self._rounded = resize_weights, rounded
        self._batch: tuple[Sequence[DevicePhoto], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @abstractmethod
    def __getitem__(self, index: int) -> DevicePhoto | None:
        """Return the photo, or None where it cannot be read."""

    @abstractmethod
    def batch_pixels(self, photos: Sequence[DevicePhoto]) -> Tensor:
        """The pixels of some photos, (B, 3, H, W) uint8, each in the upper left corner; H and W of `padded`."""

    def compile(self) -> None:
        """Have the weights and the rounding compiled when they are next used."""
        self._weights, self._rounded = (torch.compile(part, dynamic=False) for part in (resize_weights, rounded))

    def cut(self, photos: Sequence[DevicePhoto], factor: np.ndarray, box: np.ndarray, side: int) -> Tensor:
        """Cut and resize as `HostPhotos.cut` does, from whole photos whatever their `factor` allows."""
        if self._batch is None or self._batch[0] is not photos:  # one gather for all views of a batch
            self._batch = photos, self.batch_pixels(photos).to(self.dtype)
        pixels = self._batch[1]
        # Known here, before the boxes are on their way to the device, which nothing then has to wait for.
        margin = [_margin(photos, box, axis) for axis in (0, 1)]
        size, edges = (
            torch.from_numpy(values.astype(np.float32)).to(self.device, non_blocking=True)
            for values in (np.array([photo.size for photo in photos]), box)
        )
        across, down = (
            self._weights(edges[:, axis], edges[:, axis + 2], size[:, axis], side, length, margin[axis], self.dtype)
            for axis, length in enumerate((pixels.shape[3], pixels.shape[2]))
        )
        return self._rounded(down[:, None] @ pixels @ across[:, None].transpose(2, 3))


def padded(largest: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the memory for photos of at most `largest` (width, height) pixels."""
    return _round_up(largest[1]), _round_up(largest[0])


def rounded(views: Tensor) -> Tensor:
    """Grey levels of views (B, 3, S, S): uint8 in channels-last memory."""
    return views.round().clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def resize_weights(
    low: Tensor,
    high: Tensor,
    extent: Tensor,
    side: int,
    length: int,
    margin: tuple[int, int] = (0, 0),
    dtype: torch.dtype = torch.float32,
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
    return weights[..., margin[0] : margin[0] + length].to(dtype)


def _margin(photos: Sequence[DevicePhoto], box: np.ndarray, axis: int) -> tuple[int, int]:
    """How many pixels the boxes (B, 4) reach before 0 and past their photos along an axis, rounded up.

    In few sizes, as a compiled function is compiled anew for a size.
    """
    extent = np.array([photo.size[axis] for photo in photos])
    before, past = -box[:, axis].min(), (box[:, axis + 2] - extent).max()
    return _round_up(max(0, math.ceil(before))), _round_up(max(0, math.ceil(past)))


def _round_up(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE
