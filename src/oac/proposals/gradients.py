"""The normed gradients (NG) of an image at every window size of BING, side by side in one array.

BING looks at an image through windows of a few dozen quantised sizes. For each size the whole image is
resized so that such a window covers 8 x 8 cells, and an 8 x 8 filter is slid over the gradients (Cheng et
al., CVPR 2014, sections 3.1 and 3.2). Widths and heights are quantised independently, so the resized images
are the blocks of one mosaic: resizing the rows once to all heights and the columns once to all widths makes
all of them with two gathers, and gradients, filter and suppression run over the mosaic in a handful of array
operations instead of a handful per size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WINDOW = 8
"""Cells of a window along each side, after resizing (W in the paper)."""

_STRIP = 48  # rows filtered at a time: the 8 partial sums of a strip then stay in the processor's cache


@dataclass(frozen=True)
class Axis:
    """One side of an image resized to several lengths, the results laid end to end.

    `starts` and `lengths` (in cells) say where each of them lies. `low`, `high` and `weight` give every cell
    as the mean of two pixels: (1 - weight) * pixel[low] + weight * pixel[high] (bilinear, pixel centres at
    halves).
    """

    starts: np.ndarray
    lengths: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the blocks of the mosaic lie for one image size and one list of window sizes.

    `height` and `width` are those of the image in pixels. `blocks` has one row (size index, first row, first column,
    rows, columns) per window size in use. `block_of` (rows - 7, columns - 7) says which of them a window that begins
    at a cell belongs to, -1 for none.
    """

    height: int
    width: int
    rows: Axis
    columns: Axis
    blocks: np.ndarray
    block_of: np.ndarray

    def boxes(self, y: np.ndarray, x: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Windows beginning at the cells (y, x) as (n, 4) float64 boxes xmin, ymin, xmax, ymax in [0, 1].

        A box is exactly what the filter saw, 8 cells of the resized image, so it always lies inside the image
        and is never empty; its side in pixels differs from the nominal size by the rounding of the resize.
        """
        _, top, left, height, width = self.blocks[block].T
        x, y = x - left, y - top
        return np.stack([x / width, y / height, (x + WINDOW) / width, (y + WINDOW) / height], axis=-1)


def _axis(pixels: int, sides: np.ndarray) -> Axis:
    lengths = np.rint(WINDOW * pixels / np.minimum(sides, pixels)).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    cell = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    centre = (cell + 0.5) * (pixels / np.repeat(lengths, lengths)) - 0.5
    centre = np.clip(centre, 0.0, pixels - 1.0)
    low = np.floor(centre).astype(np.int64)
    weight = (centre - low).astype(np.float32)
    return Axis(starts, lengths, low, np.minimum(low + 1, pixels - 1), weight)


@lru_cache(maxsize=64)
def layout(height: int, width: int, sizes: tuple[tuple[int, int], ...]) -> Layout:
    """Mosaic of an image of `height` x `width` pixels for window `sizes` (width, height) in pixels.

    As in the original, a size of more than twice the image in either direction is left out and any other is
    clamped to the image. Where that would leave nothing (an image of less than half the smallest size), the
    size of smallest area is used, so that every image has at least one window.
    """
    table = np.asarray(sizes, dtype=np.int64).reshape(-1, 2)
    used = np.flatnonzero((table[:, 0] <= 2 * width) & (table[:, 1] <= 2 * height))
    if len(used) == 0:
        used = np.array([np.argmin(table.prod(axis=1))])
    widths, column = np.unique(table[used, 0], return_inverse=True)
    heights, row = np.unique(table[used, 1], return_inverse=True)
    rows, columns = _axis(height, heights), _axis(width, widths)
    blocks = np.stack(
        [used, rows.starts[row], columns.starts[column], rows.lengths[row], columns.lengths[column]], axis=1
    )
    block_of = np.full((len(rows.low) - WINDOW + 1, len(columns.low) - WINDOW + 1), -1, dtype=np.int16)
    for index, (_, top, left, tall, wide) in enumerate(blocks):
        block_of[top : top + tall - WINDOW + 1, left : left + wide - WINDOW + 1] = index
    return Layout(height, width, rows, columns, blocks, block_of)


def _resized(pixels: np.ndarray, axis: Axis) -> np.ndarray:
    """(pixels, n) resized along its first side: (cells, n) float32."""
    low, result = (np.take(pixels, index, axis=0, mode="clip") for index in (axis.low, axis.high))
    result -= low
    result *= axis.weight[:, None]
    result += low
    return result


def _difference(cells: np.ndarray, axis: Axis, out: np.ndarray) -> np.ndarray:
    """|central difference| along the first side of (cells, n), written to `out`."""
    # At the border of a block a central difference would mix two sizes: twice the one-sided one is taken.
    first, last = axis.starts, axis.starts + axis.lengths - 1
    np.subtract(cells[2:], cells[:-2], out=out[1:-1])
    out[first] = 2 * (cells[first + 1] - cells[first])
    out[last] = 2 * (cells[last] - cells[last - 1])
    return np.abs(out, out=out)


def normed_gradients(image: np.ndarray, mosaic: Layout) -> np.ndarray:
    """NG mosaic of an image: min(|gx| + |gy|, 255), each the largest of the three colours; float32 (rows,
    columns).

    image: uint8 (H, W, 3) of the size `mosaic` was made for.
    """
    rows, columns = mosaic.rows, mosaic.columns
    # Columns are the first side here, so that both resizes copy whole rows. One colour at a time, because its arrays
    # stay in the processor's cache.
    shape = (len(columns.low), len(rows.low))
    across, down, steps = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    for colour in range(3):
        pixels = image[:, :, colour].astype(np.float32)
        cells = _resized(np.ascontiguousarray(_resized(pixels, rows).T), columns)
        np.maximum(across, _difference(cells, columns, steps), out=across)
        np.maximum(down, _difference(cells.T, rows, steps.T).T, out=down)
    across += down
    return np.ascontiguousarray(np.minimum(across, np.float32(255), out=across).T)


def window_scores(gradients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation of an NG mosaic (rows, columns) with an 8 x 8 filter: float32 (rows - 7, columns - 7).

    The eight filter rows are applied to all horizontal runs of eight cells as one matrix product, and the
    eight partial sums then added with their vertical shift. On processors with wide floating-point units this
    costs less than the two-bit approximation of the filter by which the paper made it fast in 2014.
    """
    rows, columns = gradients.shape
    flat = np.ascontiguousarray(gradients, dtype=np.float32).ravel()
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    scores = np.empty((rows - WINDOW + 1, columns), dtype=np.float32)
    for top in range(0, len(scores), _STRIP):
        out = scores[top : top + _STRIP].ravel()
        begin, count = top * columns, (len(out) // columns + WINDOW - 1) * columns
        runs = np.zeros((WINDOW, count), dtype=np.float32)
        for shift in range(WINDOW):
            part = flat[begin + shift : begin + shift + count]
            runs[shift, : len(part)] = part
        partial = weights @ runs
        out[:] = partial[0, : len(out)]
        for shift in range(1, WINDOW):
            out += partial[shift, shift * columns : shift * columns + len(out)]
    return scores[:, : columns - WINDOW + 1]
