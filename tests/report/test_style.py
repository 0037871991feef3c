from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from oac.report import figures
from oac.report.results import Variant
from oac.report.style import ink, spread
from oac.report.training_curves import training_curves
from oac.report.variant_style import METHOD_COLOURS, POLICY_COLOURS


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", [*POLICY_COLOURS.values(), *METHOD_COLOURS.values(), "#ffff00", "#ffffff"])
def test_text_can_be_read_on_white(colour):
    assert 1.05 / (luminance(ink(colour)) + 0.05) >= 4
    if luminance(colour) < 0.18:
        assert ink(colour) == matplotlib.colors.to_hex(colour)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.12))
def test_spread_keeps_order_distance_and_place(heights, gap):
    heights = sorted(heights)
    moved = spread(heights, gap)
    assert (np.diff(moved) >= gap - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 1 + 1e-9
    if (np.diff(heights) >= gap).all():
        np.testing.assert_allclose(moved, heights, atol=1e-9)


def example():
    """Two variants of MoCo-v2, two of BYOL and a reference, with what every figure of curves asks for."""
    keys = [(method, policy) for method in ("moco_v2", "byol") for policy in ("scene-scene", "object-dilate")]
    variants = [
        Variant.named(method, policy, policy, "bing") for method, policy in [*keys, ("supervised", "scene-scene")]
    ]
    tables = {}
    for k, variant in enumerate(variants):
        rows = [
            {"seed": 0, "label": label, "train_images": photos, "ap": 0.1 + k / 10, "low": low, "high": low + 0.5,
             "positives": 3, "images_seen": photos, "loss": 1.0 + k, "chance": 9.0, "feature_std": 0.5}
            for label, photos, low in (("a", 100, 0.0), ("b", 200, 0.5))
        ]  # fmt: skip
        tables[variant.key] = pd.DataFrame(rows)
    return variants, tables


@pytest.mark.parametrize("draw", [training_curves, figures.ap_by_size, figures.ap_by_frequency])
def test_two_curves_of_a_figure_differ_in_colour_or_line(draw, monkeypatch):
    monkeypatch.setattr(figures, "in_figure_3", list)  # all of them, also those that the paper's figure is without
    figure = draw(*example())
    looks, byol = [], set()
    for place, axes in enumerate(figure.axes):
        for line in axes.lines:
            if line.get_gid() in ("run", "mean", "chance"):
                # The dashes as they are drawn: to matplotlib every pattern of one's own is called "--".
                dashes = str(line._dash_pattern)
                looks.append((place, line.get_color(), dashes))
                if to_rgb(line.get_color()) == to_rgb(METHOD_COLOURS["byol"]):
                    byol.add(dashes)
    assert len(looks) == len(set(looks)) > 4
    assert len(byol) == 2
    names = {text.get_text().partition(" (n")[0] for axes in figure.axes for text in axes.texts}
    assert {"BYOL, scene-scene – · –", "BYOL, object-dilate (BING boxes)", "scene-scene", "Supervised"} <= names


def test_no_curve_of_a_variant_is_drawn_as_chance_is():
    figure = training_curves(*example())
    dashes = {
        gid: {str(line._dash_pattern[1]) for axes in figure.axes for line in axes.lines if line.get_gid() == gid}
        for gid in ("run", "chance")
    }
    assert len(dashes["chance"]) == 1
    assert len(dashes["run"]) == 2
    assert not dashes["run"] & dashes["chance"]
