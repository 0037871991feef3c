from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from oac.report.style import METHOD_COLOURS, POLICY_COLOURS, ink, spread


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", [*POLICY_COLOURS.values(), *METHOD_COLOURS.values(), "#ffff00", "#ffffff"])
def test_text_can_be_read_on_white(colour):
    assert 1.05 / (luminance(ink(colour)) + 0.05) >= 4
    if luminance(colour) < 0.18:
        assert ink(colour) == matplotlib.colors.to_hex(colour)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.12))
def test_spread_keeps_order_distance_and_place(heights, gap):
    heights = sorted(heights)
    moved = spread(heights, gap)
    assert (np.diff(moved) >= gap - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 1 + 1e-9
    if (np.diff(heights) >= gap).all():
        np.testing.assert_allclose(moved, heights, atol=1e-9)
