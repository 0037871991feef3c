"""BING in batches of equal photos with PyTorch, for a GPU: the same maps and the same boxes as on the CPU.

The maps of stage I and their suppression are made for a whole batch at once; what is left of each photo, some hundred
windows, is calibrated and ranked by the same code as elsewhere. Photos of one size share a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oac.proposals.bing import Bing
from oac.proposals.gradients import WINDOW, Axis, Layout


def batches(images: Iterable[np.ndarray], size: int) -> Iterator[list[int]]:
    """Places of the images that go together: of one shape, at most `size`, in the order of their first."""
    open_: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        group = open_.setdefault(image.shape, [])
        group.append(place)
        if len(group) == size:
            yield open_.pop(image.shape)
    yield from open_.values()


def propose(
    model: Bing,
    images: Sequence[np.ndarray],
    count: int,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    nms_iou: float | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Propose for all images as `Bing.propose` does for one; results in the order of the images.

    images: uint8 (H, W, 3) RGB each, of any sizes. Memory on the device is about 10 MB a photo of 500 px and batch.
    """
    results: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for group in batches(images, batch_size):
        shape = images[group[0]].shape
        mosaic = model.mosaic(images[group[0]])
        pixels = torch.from_numpy(np.stack([images[place] for place in group])).to(device)
        gradients = normed_gradients(pixels, mosaic)
        scores = window_scores(gradients, torch.from_numpy(model.weights).to(device))
        for place, mine, values in zip(group, gradients.cpu().numpy(), scores.cpu().numpy(), strict=True):
            results[place] = model.rank(mine, values, mosaic, shape[:2], count, nms_iou)
    return [results[place] for place in range(len(images))]


def normed_gradients(images: Tensor, mosaic: Layout) -> Tensor:
    """NG mosaics of images uint8 (B, H, W, 3) of one size: float32 (B, rows, columns); see gradients.py."""
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    cells = _resized(_resized(pixels, mosaic.rows, 2), mosaic.columns, 3)
    across, down = _largest_difference(cells, mosaic.columns, 3), _largest_difference(cells, mosaic.rows, 2)
    return (across + down).clamp_(max=255)


def window_scores(gradients: Tensor, weights: Tensor) -> Tensor:
    """Correlation of NG mosaics (B, rows, columns) with an 8 x 8 filter: (B, rows - 7, columns - 7)."""
    return functional.conv2d(gradients[:, None], weights.view(1, 1, WINDOW, WINDOW))[:, 0]


def _resized(pixels: Tensor, axis: Axis, side: int) -> Tensor:
    low, high = (torch.from_numpy(index).to(pixels.device) for index in (axis.low, axis.high))
    shape = [-1 if place == side else 1 for place in range(4)]
    weight = torch.from_numpy(axis.weight).to(pixels.device).view(shape)
    begin = pixels.index_select(side, low)
    return begin + (pixels.index_select(side, high) - begin) * weight


def _largest_difference(cells: Tensor, axis: Axis, side: int) -> Tensor:
    """Largest |central difference| of the three colours of (B, 3, rows, columns) along a side."""
    length = cells.shape[side]
    steps = torch.zeros_like(cells)
    steps.narrow(side, 1, length - 2).copy_(cells.narrow(side, 2, length - 2) - cells.narrow(side, 0, length - 2))
    for ends, step in ((axis.starts, 1), (axis.starts + axis.lengths - 1, -1)):
        at = torch.from_numpy(ends).to(cells.device)
        steps.index_copy_(side, at, 2 * (cells.index_select(side, at + step) - cells.index_select(side, at)))
    return steps.abs_().amax(dim=1)
