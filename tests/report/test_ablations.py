"""Ablations: which variants belong together, and what the table says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from oac import studies, study_files
from oac.crop_options import ABLATIONS
from oac.report.ablations import ablation_table, sweep
from oac.report.formats import markdown
from oac.report.loading import load

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = {
    "delta": ["delta-0", "delta-005", "dilate", "delta-02", "delta-04"],
    "shift": ["shift-near", "shift", "shift-far", "shift-farther"],
    "count": ["count-1", "count-2", "count-5", "dilate"],
    "boxes": ["dilate", "boxes-gt", "boxes-random", "boxes-edge", "boxes-search"],
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
    """A number of its own for every variant."""
    return 0.2 + 0.01 * (sum(map(ord, crops)) % 37) + 0.001 * seed


@pytest.fixture(scope="module")
def metrics(metrics_of):
    """One seed of each variant, three of the untrained network."""
    runs = metrics_of("ablations", score, best=False)
    return [run for run in runs if run["seed"] == 0 or run["method"] == "random_init"]


@pytest.mark.parametrize("option", ABLATIONS)
def test_variants_of_an_ablation_differ_in_its_option_and_are_in_its_order(metrics, option):
    assert [variant.crops for variant in sweep(load(metrics), option)] == VARIANTS[option]


@pytest.mark.parametrize("option", ABLATIONS)
def test_the_table_has_the_numbers_of_the_runs_and_the_differences_to_the_reference(metrics, option):
    table = ablation_table(load(metrics), option)
    frame = table.frame.set_index("crops")
    base = frame.reference.iloc[0]
    papers = {"shift": "shift", "scene_scale": "scene", "object_scene_scale": "object-scene", "heads": "heads-2"}
    assert base == papers.get(option, "dilate"), "the variant with the paper's value"
    for name in VARIANTS[option]:
        assert frame.map_percent[name] == pytest.approx(100 * score("moco_v2", name, 0))
        if name == base:
            assert frame.difference_points.isna()[name]
        else:
            expected = 100 * (score("moco_v2", name, 0) - score("moco_v2", base, 0))
            assert frame.difference_points[name] == pytest.approx(expected)
    assert frame.map_half_width_percent.isna().all(), "one seed has no interval"
    page = markdown(table)
    assert "Paper: " in page
    assert frame.value.is_unique


# mAP in percent of three seeds of each variant about dilation, which share no spread.
THREE = {
    "delta-0": (30.0, 31.0, 32.0),
    "delta-005": (33.0, 36.0, 36.0),
    "dilate": (40.0, 41.0, 45.0),
    "delta-02": (44.0, 45.0, 49.5),
    "delta-04": (20.0, 20.5, 20.6),
}


def with_seeds(metrics, values):
    """Runs of the variants in values, a seed for each of their numbers in percent."""
    one = {entry["crops"]: entry for entry in metrics}
    return [
        one[crops] | {"seed": seed, "map": value / 100}
        for crops, found in values.items()
        for seed, value in enumerate(found)
    ]


def width(values):
    return stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def test_from_three_seeds_on_the_table_has_the_interval(metrics):
    runs = with_seeds(metrics, THREE)
    frame = ablation_table(load(runs), "delta").frame.set_index("crops")
    for name in VARIANTS["delta"]:
        mean, half = sum(THREE[name]) / 3, width(THREE[name])
        assert frame.map_percent[name] == pytest.approx(mean)
        assert frame.map_half_width_percent[name] == pytest.approx(half)
        if name != "dilate":
            changes = [own - base for own, base in zip(THREE[name], THREE["dilate"], strict=True)]
            assert frame.difference_points[name] == pytest.approx(sum(changes) / 3)
            assert frame.difference_half_width_points[name] == pytest.approx(width(changes))


def test_the_workflow_asks_for_the_ablations_that_there_are(metrics_of):
    """What `studies` counts without reading a result is what the report finds in the results."""
    known, _ = study_files.load((ROOT / "config/studies").glob("*.yaml"))
    for name, expected in (
        ("ablations", set(ABLATIONS)),
        ("audit", {"heads"}),
        ("demo", {"boxes"}),
        ("voc07", {"boxes"}),
    ):
        study = known[name]
        assert set(studies.ablations(study)) == expected, name
        for option in studies.ablations(study):
            assert len(sweep(load(metrics_of(name, score)), option)) >= ABLATIONS[option].least


def test_what_is_no_ablation_or_has_one_variant_is_refused(metrics):
    with pytest.raises(ValueError, match="there are delta, shift"):
        sweep(load(metrics), "dellta")
    with pytest.raises(ValueError, match="differ in shift only"):
        sweep(load([entry for entry in metrics if entry["crops"] in ("dilate", "shift")]), "shift")
