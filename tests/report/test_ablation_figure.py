"""The figure of an ablation: what it shows of each variant, and what its title says."""

from __future__ import annotations

import re

import pytest

from oac.crop_options import ABLATIONS
from oac.report.ablation_figure import SPAN, ablation_figure
from oac.report.ablations import ablation_table
from oac.report.loading import load
from oac.report.variant_style import READING

from .test_ablations import THREE, VARIANTS, metrics, score, width, with_seeds

__all__ = ["metrics"]


def test_from_three_seeds_on_the_figure_has_the_interval(metrics):
    bars = drawn(ablation_figure(load(with_seeds(metrics, THREE)), "delta"), "interval")
    assert len(bars) == len(THREE)
    for place, (name, bar) in enumerate(zip(VARIANTS["delta"], bars, strict=True)):
        mean, half = sum(THREE[name]) / 3, width(THREE[name])
        assert list(bar.get_xdata()) == [place, place]
        assert list(bar.get_ydata()) == pytest.approx([mean - half, mean + half])


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_figure_shows_every_variant_and_does_not_rank_a_single_seed(metrics, option, check_texts):
    metrics = [entry for entry in metrics if entry["method"] != "random_init"]
    figure = ablation_figure(load(metrics), option)
    check_texts(figure)
    axes = figure.axes[0]
    means = [height for _, height in points(figure)]
    assert means == pytest.approx([100 * score("moco_v2", name, 0) for name in VARIANTS[option]])
    best = max(VARIANTS[option], key=lambda name: score("moco_v2", name, 0))
    value = ablation_table(load(metrics), option).frame.set_index("crops").value[best]
    said = figure.get_suptitle().replace("\n", " ")
    assert all(part in said for part in (f"highest mAP at {value} ", "n = 1", "single seed, not ranked"))
    assert said.startswith("ablations, ")
    assert axes.get_ylabel() == "mAP (%)"
    assert axes.get_xlabel() == f"{ABLATIONS[option].label}.  {READING}"
    low, high = axes.get_ylim()
    assert high - low >= SPAN - 1e-9


@pytest.mark.parametrize(
    ("level", "shown", "above"), [(0.21, True, True), (0.99, False, False), (0.001, False, True)]
)
def test_the_untrained_network_stands_behind_what_is_near_it(metrics, level, shown, above, check_texts):
    untrained = [
        entry | {"map": level + 0.002 * entry["seed"]} for entry in metrics if entry["method"] == "random_init"
    ]
    figure = ablation_figure(load([*with_seeds(metrics, THREE), *untrained]), "delta")
    check_texts(figure)
    lines = drawn(figure, "untrained")
    values = [entry["map"] for entry in untrained]
    if shown:
        (line,) = lines
        assert list(line.get_ydata()) == pytest.approx([100 * sum(values) / len(values)] * 2)
        low, high = figure.axes[0].get_ylim()
        assert low < line.get_ydata()[0] < high
    else:
        assert lines == []
        assert "not on this axis" in figure.legends[0].get_texts()[0].get_text()
    assert ("no value is above" in figure.get_suptitle()) != above


def test_the_untrained_network_is_drawn_wherever_the_axis_has_its_level(metrics):
    """A wide axis: its level is far from both ends and between them."""
    untrained = [entry | {"map": 0.5} for entry in metrics if entry["method"] == "random_init"]
    wide = THREE | {"delta-0": (89.0, 90.0, 91.0), "delta-04": (9.0, 10.0, 11.0)}
    (line,) = drawn(ablation_figure(load([*with_seeds(metrics, wide), *untrained]), "delta"), "untrained")
    assert list(line.get_ydata()) == pytest.approx([50, 50])


def drawn(figure, gid):
    return [line for line in figure.axes[0].lines if line.get_gid() == gid]


def points(figure):
    """The means as they stand in the axes, one for each variant."""
    return [tuple(line.get_xydata()[0]) for line in drawn(figure, "mean")]


def title(metrics, values):
    found = ablation_figure(load(with_seeds(metrics, THREE | values)), "delta").get_suptitle().replace("\n", " ")
    option, _, said = found.partition(": ")
    assert option == "ablations, dilation"
    return said


def holds(said, best, n, verdict="", others=()):
    """Whether a title names the value that is best, the seeds, and the verdict with the values it is of."""
    values, _, seeds = said.replace("includes 0", "includes it").partition(" (")
    named = re.findall(r"\d+(?:\.\d+)?", values)
    return named == [best, *others] and n in seeds and ("includes 0" in said or not others) and verdict in said


def test_the_title_names_values_whose_difference_to_the_highest_may_be_zero(metrics):
    assert holds(title(metrics, {}), "0.2", "n = 3"), "paired by seed, 4.0, 4.0 and 4.5 above the next"
    close = {"delta-02": (44.0, 49.5, 45.0)}
    assert holds(title(metrics, close), "0.2", "n = 3", "includes 0", ["0.1"])
    wide = {"delta-02": (50.0, 51.0, 52.0), "dilate": (47.0, 47.9, 49.1), "delta-0": (20.0, 45.0, 73.0)}
    assert holds(title(metrics, wide), "0.2", "n = 3", "includes 0", ["0"]), "not the second alone"
    both = wide | {"dilate": (47.0, 53.0, 49.0)}
    assert holds(title(metrics, both), "0.2", "n = 3", "includes 0", ["0.1", "0"])
    same = {"delta-02": THREE["dilate"]}
    assert "includes 0" in title(metrics, same)


def test_variants_of_few_seeds_are_not_ranked_whatever_the_others_have(metrics):
    one = {name: values[:1] for name, values in THREE.items()}
    said = title(metrics, one | {"dilate": THREE["dilate"]})
    assert holds(said, "0.2", "n = 1 to 3", "single seed, not ranked")
    two = {name: values[:2] for name, values in THREE.items()}
    assert holds(title(metrics, two), "0.2", "n = 2", "inconclusive")
    said = title(metrics, {"delta-04": (20.0,)})
    assert holds(said, "0.2", "n = 1 to 3")
    assert "single" not in said, "the two highest have three"


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_reference_is_named_where_nothing_is_drawn(metrics, option):
    figure = ablation_figure(load(metrics), option)
    base = ablation_table(load(metrics), option).frame.reference.iloc[0]
    place = VARIANTS[option].index(base)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert [k for k, label in enumerate(labels) if label.endswith("\nreference")] == [place]
    assert not figure.axes[0].texts, "no word stands among the points"


def test_values_without_a_place_on_the_scale_are_not_joined_to_it(metrics):
    figure = ablation_figure(load(metrics), "scale_lower")
    (curve,) = drawn(figure, "curve")
    assert [place for place, _ in points(figure)] == [0, 1, 2, 3.5]
    assert figure.axes[0].get_xticklabels()[3].get_text() == "s_min\nreference"
    assert [tuple(point) for point in curve.get_xydata()] == points(figure)[:3]
    (kinds,), (counts,) = (drawn(ablation_figure(load(metrics), option), "curve") for option in ("boxes", "count"))
    assert not len(kinds.get_xdata())
    assert len(counts.get_xdata()) == 4, "all proposals are more than five"
