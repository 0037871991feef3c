"""BING in batches of photos of one size with PyTorch, for a GPU: the same boxes as on the CPU.

The maps of stage I of a whole batch are made on the device. Suppression, calibration and ranking of the windows run
on the CPU, photo by photo, by the same code as without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oac.proposals.bing import Bing
from oac.proposals.gradients import WINDOW, Axis, Layout


def batches_by_shape(images: Iterable[np.ndarray], size: int) -> Iterator[list[int]]:
    """Indices of the images that form a batch: of one shape, at most `size`, in the order of their first."""
    open_: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        batch = open_.setdefault(image.shape, [])
        batch.append(index)
        if len(batch) == size:
            yield open_.pop(image.shape)
    yield from open_.values()


def propose_in_batches(
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
    for batch in batches_by_shape(images, batch_size):
        mosaic = model.mosaic(images[batch[0]])
        pixels = torch.from_numpy(np.stack([images[index] for index in batch])).to(device)
        gradients = batched_gradients(pixels, mosaic)
        scores = batched_scores(gradients, torch.from_numpy(model.weights).to(device))
        for index, gradient, score in zip(batch, gradients.cpu().numpy(), scores.cpu().numpy(), strict=True):
            results[index] = model.rank(gradient, score, mosaic, count, nms_iou)
    return [results[index] for index in range(len(images))]


def batched_gradients(images: Tensor, mosaic: Layout) -> Tensor:
    """`gradients.normed_gradients` of images uint8 (B, H, W, 3) of one size: float32 (B, rows, columns)."""
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    cells = _resized(_resized(pixels, mosaic.rows, 2), mosaic.columns, 3)
    across, down = _largest_difference(cells, mosaic.columns, 3), _largest_difference(cells, mosaic.rows, 2)
    return (across + down).clamp_(max=255)


def batched_scores(gradients: Tensor, weights: Tensor) -> Tensor:
    """`gradients.window_scores` of mosaics (B, rows, columns) and an 8 x 8 filter: (B, rows - 7, columns - 7)."""
    return functional.conv2d(gradients[:, None], weights.view(1, 1, WINDOW, WINDOW))[:, 0]


def _resized(pixels: Tensor, axis: Axis, dim: int) -> Tensor:
    low, high = (torch.from_numpy(index).to(pixels.device) for index in (axis.low, axis.high))
    shape = [-1 if other == dim else 1 for other in range(pixels.ndim)]
    weight = torch.from_numpy(axis.weight).to(pixels.device).view(shape)
    begin = pixels.index_select(dim, low)
    return begin + (pixels.index_select(dim, high) - begin) * weight


def _largest_difference(cells: Tensor, axis: Axis, dim: int) -> Tensor:
    """Largest |central difference| of the three colours of (B, 3, rows, columns) along a dimension."""
    length = cells.shape[dim]
    steps = torch.zeros_like(cells)
    steps.narrow(dim, 1, length - 2).copy_(cells.narrow(dim, 2, length - 2) - cells.narrow(dim, 0, length - 2))
    for ends, step in ((axis.starts, 1), (axis.starts + axis.lengths - 1, -1)):
        at = torch.from_numpy(ends).to(cells.device)
        steps.index_copy_(dim, at, 2 * (cells.index_select(dim, at + step) - cells.index_select(dim, at)))
    return steps.abs_().amax(dim=1)
