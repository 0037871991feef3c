"""Greedy non-maximum suppression, on the grid of window positions and between boxes.

On the grid, "greedy" means: take the best position, drop every other within two cells of it (a 5 x 5
neighbourhood), go on with the best that is left. Keeping local maxima only is not the same, and on VOC photos
finds a tenth of the objects less. The functions here give the greedy result without visiting every position.
"""

from __future__ import annotations

import numpy as np

from oac.proposals.gradients import Layout

RADIUS = 2
"""Cells around an accepted position that are suppressed (NSS in the original code)."""

_CHUNK = 64  # boxes compared at a time
_STRIP = 48  # rows whose maxima are looked for at a time: all their intermediate results stay in the cache


def suppress_windows(
    scores: np.ndarray,
    mosaic: Layout,
    keep: int,
    *,
    total: int | None = None,
    comparable: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Greedy 5 x 5 suppression of every block of a score mosaic at once.

    scores: float32 (rows - 7, columns - 7); keep: how many windows to keep of each block. total: leave
    out windows of the `comparable` (blocks, bool) blocks that cannot be among the best `total` of all of these.
    Returns y, x, block and score of the kept windows, by block and within it best first. The 7 cells between
    the windows of two blocks are wider than the neighbourhood, so blocks never suppress each other.
    """
    rows, columns = scores.shape
    grid = np.full((rows + 2 * RADIUS, columns + 2 * RADIUS), -np.inf, dtype=np.float32)
    inner = np.s_[RADIUS:-RADIUS, RADIUS:-RADIUS]
    np.copyto(grid[inner], scores, where=mosaic.block_of >= 0)
    maxima = _local_maxima(grid)
    first = np.flatnonzero(maxima)
    values, block = grid.ravel()[first], _block(mosaic, first, columns)
    floor = _floors(values, block, len(mosaic.blocks), keep, total, comparable)
    first = first[values >= floor[block]]
    # Local maxima are greedy's choice whatever the rest is, so only cells around none of them are still open.
    alive = np.zeros(grid.shape, dtype=bool)
    uniform = np.isfinite(floor[0]) and (floor == floor[0]).all()  # then no cell's block need be looked up
    alive[inner] = grid[inner] >= (floor[0] if uniform else np.append(floor, np.float32(np.inf))[mosaic.block_of])
    alive[inner] &= ~_neighbourhoods(maxima)
    accepted = np.concatenate([first, _greedy(grid, np.flatnonzero(alive))])
    values, block = grid.ravel()[accepted], _block(mosaic, accepted, columns)
    order = np.lexsort((accepted, -values, block))
    accepted, values, block = accepted[order], values[order], block[order]
    rank = np.arange(len(block)) - np.searchsorted(block, block)
    chosen = rank < keep
    y, x = np.divmod(accepted[chosen], columns + 2 * RADIUS)
    return y - RADIUS, x - RADIUS, block[chosen], values[chosen]


def _block(mosaic: Layout, cells: np.ndarray, columns: int) -> np.ndarray:
    """Block of cells given as flat indices into the grid with its margin."""
    y, x = np.divmod(cells, columns + 2 * RADIUS)
    return mosaic.block_of[y - RADIUS, x - RADIUS]


def _floors(
    values: np.ndarray, block: np.ndarray, blocks: int, keep: int, total: int | None, comparable: np.ndarray | None
) -> np.ndarray:
    """Score of each block below which no window can be among those kept, given its local maxima: float32 (blocks,).

    All local maxima are accepted, so that is the last one needed, or -inf where a block has fewer.
    """
    best = [np.sort(values[block == index])[-keep:] for index in range(blocks)]
    floor = np.array([part[0] if len(part) == keep else -np.inf for part in best], dtype=np.float32)
    if total is None or comparable is None:
        return floor
    ranked = np.concatenate([values[:0], *(best[index] for index in np.flatnonzero(comparable))])
    if len(ranked) <= total:
        return floor
    return np.where(comparable, np.maximum(floor, np.partition(ranked, -total)[-total]), floor)


def _local_maxima(grid: np.ndarray) -> np.ndarray:
    """Cells that come before all others of their 5 x 5 neighbourhood in greedy order; bool, shape of `grid`.

    grid: float32 with a margin of -inf two cells wide. Greedy order is by score, best first, and of equal
    scores row by row: a maximum must be above its neighbours before it and at least equal to those after it.
    """
    result = np.zeros(grid.shape, dtype=bool)
    for top in range(0, len(grid) - 2 * RADIUS, _STRIP):
        part = grid[top : top + _STRIP + 2 * RADIUS]
        two = np.maximum(part[:, :-1], part[:, 1:])
        five = np.maximum(two[:, :-3], two[:, 2:-1])
        np.maximum(five, part[:, 4:], out=five)
        above = np.maximum(five[:-1], five[1:])
        before = np.maximum(above[:-3], two[2:-2, :-3])
        after = np.maximum(above[3:], two[2:-2, 3:])
        centre = part[RADIUS:-RADIUS, RADIUS:-RADIUS]
        out = result[top + RADIUS : top + RADIUS + len(centre), RADIUS:-RADIUS]
        np.greater(centre, before, out=out)
        out &= centre >= after
    return result


def _neighbourhoods(maxima: np.ndarray) -> np.ndarray:
    """Union of the 5 x 5 neighbourhoods of the marked cells, without the margin two cells wide; bool."""
    two = maxima[:, :-1] | maxima[:, 1:]
    five = two[:, :-3] | two[:, 2:-1] | maxima[:, 4:]
    two = five[:-1] | five[1:]
    return two[:-3] | two[2:-1] | five[4:]


def _greedy(grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Greedy suppression among some cells of a grid (flat indices, rising): the cells it accepts."""
    width = grid.shape[1]
    blocked = bytearray(grid.size)
    side = 2 * RADIUS + 1
    mark = b"\1" * side
    accepted = []
    for cell in cells[np.argsort(-grid.ravel()[cells], kind="stable")].tolist():
        if not blocked[cell]:
            accepted.append(cell)
            corner = cell - RADIUS * width - RADIUS
            for row in range(corner, corner + side * width, width):
                blocked[row : row + side] = mark
    return np.asarray(accepted, dtype=np.int64)


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box (n, 4) with every other (m, 4): (n, m), xmin, ymin, xmax, ymax."""
    boxes, others = np.asarray(boxes, dtype=np.float64), np.asarray(others, dtype=np.float64)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0.0, None).prod(axis=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None] + (others[:, 2:] - others[:, :2]).prod(axis=1)
    return common / np.maximum(areas - common, np.finfo(np.float64).tiny)


def distinct(boxes: np.ndarray) -> np.ndarray:
    """Indices, rising, of the boxes (n, 4) that are none of those before them.

    Compared is what the table of proposals stores, float32, so that none comes twice there either.
    """
    return np.sort(np.unique(boxes.astype(np.float32), axis=0, return_index=True)[1])


def suppress_boxes(boxes: np.ndarray, threshold: float, count: int) -> np.ndarray:
    """Greedy suppression of boxes (n, 4) given best first: indices of up to `count`, no two overlapping by
    more than `threshold` (intersection over union).
    """
    kept = np.zeros(0, dtype=np.int64)
    for start in range(0, len(boxes), _CHUNK):
        part = np.arange(start, min(start + _CHUNK, len(boxes)))
        # Those in the way of boxes kept before at once; among the rest of the chunk one after the other.
        part = part[(pairwise_iou(boxes[part], boxes[kept]) <= threshold).all(axis=1)]
        near = pairwise_iou(boxes[part], boxes[part]) > threshold
        free = np.ones(len(part), dtype=bool)
        for index in range(len(part)):
            if free[index]:
                free[index + 1 :] &= ~near[index, index + 1 :]
        kept = np.concatenate([kept, part[free]])
        if len(kept) >= count:
            break
    return kept[:count]
