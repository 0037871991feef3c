"""Suppression on the grid and between boxes against the plain greedy procedure."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oac.proposals.gradients import layout
from oac.proposals.suppression import pairwise_iou, suppress_boxes, suppress_windows

SIZES = tuple((w, h) for w in (16, 40, 64) for h in (16, 24, 64))


def slow_overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@settings(max_examples=60)
@given(
    height=st.integers(10, 160),
    width=st.integers(10, 160),
    levels=st.sampled_from([1, 2, 5, 50, 10**6]),
    smooth=st.booleans(),
    keep=st.integers(1, 200),
    seed=st.integers(0, 2**32),
)
@example(height=160, width=160, levels=1, smooth=False, keep=200, seed=0)  # one plateau: nothing but ties
def test_grid_suppression_is_greedy_in_every_block(height, width, levels, smooth, keep, seed):
    mosaic = layout(height, width, SIZES)
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, mosaic.block_of.shape).astype(np.float32)
    if smooth:  # long slopes, on which local maxima alone find little
        scores = np.cumsum(np.cumsum(scores, axis=0), axis=1, dtype=np.float32)
    y, x, block, values = suppress_windows(scores, mosaic, keep)
    got = list(zip(block.tolist(), y.tolist(), x.tolist(), strict=True))
    np.testing.assert_array_equal(values, scores[y, x])

    expected = []
    for index, (_, top, left, rows, columns) in enumerate(mosaic.blocks):
        part = scores[top : top + rows - 7, left : left + columns - 7]
        open_cells = np.ones(part.shape, dtype=bool)
        accepted = 0
        for cell in np.argsort(-part, axis=None, kind="stable"):
            b, a = divmod(int(cell), part.shape[1])
            if open_cells[b, a] and accepted < keep:
                expected.append((index, top + b, left + a))
                open_cells[max(b - 2, 0) : b + 3, max(a - 2, 0) : a + 3] = False
                accepted += 1
    assert got == expected


@given(st.integers(0, 40), st.floats(0, 1), st.integers(1, 40), st.integers(0, 2**32))
def test_box_suppression_is_greedy(n, threshold, count, seed):
    corners = np.sort(np.random.default_rng(seed).random((n, 2, 2)), axis=1)
    boxes = corners.reshape(n, 4)
    table = pairwise_iou(boxes, boxes)
    kept = []
    for i in range(n):
        assert np.allclose(table[i], [slow_overlap(boxes[i], other) for other in boxes])
        if len(kept) < count and all(table[i, j] <= threshold for j in kept):
            kept.append(i)
    assert suppress_boxes(boxes, threshold, count).tolist() == kept
