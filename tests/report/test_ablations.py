"""Ablations: which lines belong together, what the table says of them and what the figure shows."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    assert axes.get_title(loc="left") == f"Highest mAP at {value} (n = 1; one seed tells no order)"
    assert axes.get_ylabel() == "mAP (%)"


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
