"""Ablations: which lines belong together, what the table says of them and what the figure shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from oac import studies
from oac.report.ablations import ABLATIONS, ablation_figure, ablation_table, sweep
from oac.report.formats import markdown

ROOT = Path(__file__).resolve().parents[2]
LINES = {
    "delta": ["delta-0", "delta-005", "dilate", "delta-02", "delta-04"],
    "shift": ["shift-near", "shift", "shift-far", "shift-farther"],
    "count": ["count-1", "count-2", "count-5", "dilate"],
    "boxes": ["dilate", "boxes-true", "boxes-random", "boxes-edge", "boxes-search"],
    "scale_lower": ["lower-008", "lower-02", "lower-08", "dilate"],
    "scene_scale": ["scene-008", "scene", "scene-04", "scene-06", "scene-08"],
    "object_scene_scale": [
        "object-scene-008",
        "object-scene",
        "object-scene-04",
        "object-scene-06",
        "object-scene-08",
    ],
    "heads": ["dilate", "heads-2"],
}


def score(method, crops, seed):
    """A number of its own for every line."""
    return 0.2 + 0.01 * (sum(map(ord, crops)) % 37) + 0.001 * seed


@pytest.fixture(scope="module")
def metrics(metrics_of):
    return metrics_of("ablations", score, best=False)


@pytest.mark.parametrize("option", ABLATIONS)
def test_lines_of_an_ablation_differ_in_its_option_and_are_in_its_order(metrics, option):
    assert [line.name for line in sweep(metrics, option)] == LINES[option]


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_table_has_the_numbers_of_the_runs_and_the_differences_to_the_reference(metrics, option):
    table = ablation_table(metrics, option)
    frame = table.frame.set_index("crops")
    base = frame.reference.iloc[0]
    assert base in ("dilate", "shift", "scene", "object-scene")
    for name in LINES[option]:
        assert frame.map_percent[name] == pytest.approx(100 * score("moco_v2", name, 0))
        if name == base:
            assert frame.difference_points.isna()[name]
        else:
            wanted = 100 * (score("moco_v2", name, 0) - score("moco_v2", base, 0))
            assert frame.difference_points[name] == pytest.approx(wanted)
    assert frame.map_half_width_percent.isna().all(), "one seed has no interval"
    page = markdown(table)
    assert "Paper: " in page
    assert frame.value.is_unique


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_figure_shows_every_line_and_does_not_call_one_seed_an_order(metrics, option, check_texts):
    figure = ablation_figure(metrics, option)
    check_texts(figure)
    axes = figure.axes[0]
    means = next(line for line in axes.lines if line.get_gid() == "mean").get_ydata()
    assert list(means) == pytest.approx([100 * score("moco_v2", name, 0) for name in LINES[option]])
    best = max(LINES[option], key=lambda name: score("moco_v2", name, 0))
    value = ablation_table(metrics, option).frame.set_index("crops").value[best]
    said = axes.get_title(loc="left").replace("\n", " ")
    assert said.endswith(f": highest mAP at {value} (n = 1; one seed tells no order)")
    assert axes.get_ylabel() == "mAP (%)"


# mAP in percent of three seeds of each line about dilation, which share no spread.
THREE = {
    "delta-0": (30.0, 31.0, 32.0),
    "delta-005": (33.0, 36.0, 36.0),
    "dilate": (40.0, 41.0, 45.0),
    "delta-02": (44.0, 45.0, 49.5),
    "delta-04": (20.0, 20.5, 20.6),
}


def with_seeds(metrics, values):
    """Runs of the lines in values, a seed for each of their numbers in percent."""
    one = {entry["crops"]: entry for entry in metrics}
    return [
        one[crops] | {"seed": seed, "map": value / 100}
        for crops, found in values.items()
        for seed, value in enumerate(found)
    ]


def drawn(figure, gid):
    return [line for line in figure.axes[0].lines if line.get_gid() == gid]


def width(values):
    return stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def test_from_three_seeds_on_the_table_and_the_figure_have_the_interval(metrics):
    runs = with_seeds(metrics, THREE)
    frame = ablation_table(runs, "delta").frame.set_index("crops")
    bars = drawn(ablation_figure(runs, "delta"), "interval")
    assert len(bars) == len(THREE)
    for place, (name, bar) in enumerate(zip(LINES["delta"], bars, strict=True)):
        mean, half = sum(THREE[name]) / 3, width(THREE[name])
        assert frame.map_percent[name] == pytest.approx(mean)
        assert frame.map_half_width_percent[name] == pytest.approx(half)
        assert list(bar.get_xdata()) == [place, place]
        assert list(bar.get_ydata()) == pytest.approx([mean - half, mean + half])
        if name != "dilate":
            changes = [own - base for own, base in zip(THREE[name], THREE["dilate"], strict=True)]
            assert frame.difference_points[name] == pytest.approx(sum(changes) / 3)
            assert frame.difference_half_width_points[name] == pytest.approx(width(changes))


def title(metrics, values):
    found = (
        ablation_figure(with_seeds(metrics, THREE | values), "delta").axes[0].get_title(loc="left").replace("\n", " ")
    )
    option, _, said = found.partition(": ")
    assert option == "Dilation"
    return said


def test_the_title_says_highest_only_where_the_interval_to_the_next_excludes_zero(metrics):
    assert title(metrics, {}) == "highest mAP at 0.2 (n = 3)", "paired by seed, 4.0, 4.0 and 4.5 above the next"
    assert title(metrics, {"delta-02": (44.0, 49.5, 45.0)}) == (
        "mAP is highest at 0.2 and 0.1, which are not told apart (n = 3)"
    )
    wide = {"delta-02": (50.0, 51.0, 52.0), "dilate": (47.0, 47.9, 49.1), "delta-0": (20.0, 45.0, 73.0)}
    assert title(metrics, wide) == "mAP is highest at 0.2 and 0, which are not told apart (n = 3)", (
        "not the second alone"
    )
    same = {"delta-02": THREE["dilate"]}
    assert "are not told apart" in title(metrics, same)


def test_lines_of_few_seeds_tell_no_order_whatever_the_others_have(metrics):
    one = {name: values[:1] for name, values in THREE.items()}
    assert title(metrics, one | {"dilate": THREE["dilate"]}) == (
        "highest mAP at 0.2 (n = 1 to 3; one seed tells no order)"
    )
    two = {name: values[:2] for name, values in THREE.items()}
    assert title(metrics, two) == "highest mAP at 0.2 (n = 2; two seeds tell no order)"
    assert title(metrics, {"delta-04": (20.0,)}) == "highest mAP at 0.2 (n = 1 to 3)", "the two highest have three"


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_reference_is_ringed_and_named_where_nothing_is_drawn(metrics, option):
    figure = ablation_figure(metrics, option)
    base = ablation_table(metrics, option).frame.reference.iloc[0]
    (ring,), (mean,) = drawn(figure, "reference"), drawn(figure, "mean")
    place = LINES[option].index(base)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (mean.get_xdata()[place], mean.get_ydata()[place])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert [k for k, label in enumerate(labels) if label.endswith("\nreference")] == [place]
    assert not figure.axes[0].texts, "no word stands among the points"


def test_values_without_a_place_on_the_scale_are_not_joined_to_it(metrics):
    figure = ablation_figure(metrics, "scale_lower")
    (mean,), (curve,) = drawn(figure, "mean"), drawn(figure, "curve")
    assert list(mean.get_xdata()) == [0, 1, 2, 3.5]
    assert figure.axes[0].get_xticklabels()[3].get_text() == "s_min\nreference"
    assert list(curve.get_xdata()) == [0, 1, 2]
    assert list(curve.get_ydata()) == list(mean.get_ydata()[:3])
    (kinds,), (counts,) = (drawn(ablation_figure(metrics, option), "curve") for option in ("boxes", "count"))
    assert not len(kinds.get_xdata())
    assert len(counts.get_xdata()) == 4, "all proposals are more than five"


def test_the_workflow_asks_for_the_ablations_that_there_are(metrics_of):
    """What `studies` counts without reading a result is what the report finds in the results."""
    known = studies.load((ROOT / "config/studies").glob("*.yaml"), ROOT / "workflow/schemas/study.schema.yaml")
    for name, wanted in (("ablations", set(ABLATIONS)), ("audit", {"heads"}), ("demo", set())):
        study = known[name]
        assert set(studies.ablations(study)) == wanted, name
        for option in studies.ablations(study):
            assert len(sweep(metrics_of(name, score), option)) >= studies.ABLATIONS[option]
    assert set(studies.ABLATIONS) == set(ABLATIONS)


def test_what_is_no_ablation_or_has_one_line_is_refused(metrics):
    with pytest.raises(ValueError, match="there are delta, shift"):
        sweep(metrics, "dellta")
    with pytest.raises(ValueError, match="differ in shift only"):
        sweep([entry for entry in metrics if entry["crops"] in ("dilate", "shift")], "shift")
