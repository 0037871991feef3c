"""The overlap beside the mAP: the table's numbers and sentences, and what the figure shows."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from oac.pretrain.crop_overlap import MEASURES
from oac.report.formats import markdown
from oac.report.loading import load
from oac.report.overlap_figure import LABELS, overlap_figure
from oac.report.overlap_table import curves, finding, joined, overlap_table
from oac.report.variant_style import READING

CURVES = {
    "object-scene": ["object-scene-008", "object-scene", "object-scene-04", "object-scene-06", "object-scene-08"],
    "scene-scene": ["scene-008", "scene", "scene-04", "scene-06", "scene-08"],
}


def number(crops):
    """A number of its own for every variant, in [0, 1)."""
    return (sum(ord(letter) * (place + 7) for place, letter in enumerate(crops)) * 37 % 1009) / 1009


def score(method, crops, seed):
    return 0.2 + 0.3 * number(crops) ** 2 + 0.004 * seed


def overlap_of(metrics):
    """Shares of every variant, as the workflow writes them."""
    names = dict.fromkeys(entry["crops"] for entry in metrics if entry["method"] == "moco_v2")
    rows = [{"crops": n, "seed": 0, **dict.fromkeys(MEASURES, number(n)), "pairs": 8112} for n in names]
    table = pd.DataFrame(rows)
    table["same_object"] = 1 - table.iou
    return table


@pytest.fixture(scope="module")
def ablations(metrics_of):
    metrics = [run for run in metrics_of("ablations", score) if run["seed"] == 0]
    return load(metrics), overlap_of(metrics)


@pytest.fixture(scope="module")
def demo(metrics_of):
    metrics = metrics_of("demo", score)
    return load(metrics), overlap_of(metrics)


def test_the_table_joins_each_variants_overlap_with_its_runs(demo):
    table = overlap_table(*demo)
    frame = table.frame.set_index("crops")
    assert list(frame.index) == list(demo[1].crops), "variants of MoCo-v2 only, in the order of the study"
    for crops, row in frame.iterrows():
        seeds = [seed for one in demo[0].of("moco_v2") if one.crops == crops for seed in one.runs]
        assert row.n == len(seeds)
        assert row.map_percent == pytest.approx(100 * sum(score("", crops, seed) for seed in seeds) / len(seeds))
        assert pd.isna(row.map_half_width_percent) == (len(seeds) < 3)
        assert row.iou_percent == pytest.approx(100 * number(crops))
        assert row.same_object_percent == pytest.approx(100 - 100 * number(crops))
    page = markdown(table)
    for said in ("57.2 % for object-scene and 65.2 % for scene-scene", "not public", "intersection over union"):
        assert said in page


def test_the_finding_names_overlaps_peaks_and_how_sure_they_are(ablations, demo):
    frame = joined(*ablations)
    overlaps, peaks, caution = finding(frame, curves(ablations[0]))
    assert f"{len(frame)} crop variants" in overlaps
    for end in (frame.iou_percent.min(), frame.iou_percent.max()):
        assert f"{end:.1f}" in overlaps
    assert overlaps.endswith(f"highest mAP at {frame.iou_percent[frame.map_percent.idxmax()]:.1f} %")
    for policy, names in CURVES.items():
        assert f"{policy} at an IoU of {100 * number(max(names, key=number)):.1f} %" in peaks
    assert "ingle seed, not ranked" in caution
    assert "variants have fewer than 3 seeds" in finding(joined(*demo), {})[-1]
    frame = joined(*demo)
    one = pd.concat([frame[frame.n >= 3], frame[frame.n < 3].head(1)])
    assert f"1 of {len(one)} variants has fewer than 3 seeds" in finding(one, {})[-1]


def test_curves_are_the_variants_that_differ_in_the_scale_of_scene_crops(ablations, demo):
    assert curves(ablations[0]) == CURVES
    assert curves(demo[0]) == {}


@pytest.mark.parametrize("study", ["ablations", "demo"])
def test_the_figure_shows_variants_at_their_overlap_as_the_legend_has_them(study, request, check_texts):
    results, overlap = request.getfixturevalue(study)
    wanted = ["dilate", "delta-0", "boxes-gt"] if study == "ablations" else None
    figure = overlap_figure(results, overlap, wanted)
    check_texts(figure)
    frame = joined(results, overlap)
    every = len(frame)
    if study == "ablations":
        frame = frame[frame.crops.isin([*wanted, *CURVES["object-scene"], *CURVES["scene-scene"]])]
        title = " ".join(figure.get_suptitle().split())
        assert f"{len(frame)} crop variants with overlaps" in title
        assert f"{every - len(frame)} more stand in the table" in title
        assert len(frame) == 13
    (legend,) = figure.legends
    assert legend.get_title().get_text() == READING
    looks = [(line.get_marker(), line.get_color(), line.get_markerfacecolor()) for line in legend.get_lines()]
    assert len(set(looks)) == len(looks) == (5 if study == "ablations" else every)
    drawn = {
        (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for line in figure.axes[0].lines
        if line.get_gid() == "mean"
    }
    assert drawn == set(looks)
    assert len(figure.axes) == len(LABELS)
    for axes, measure in zip(figure.axes, LABELS, strict=True):
        means = [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_gid() == "mean"]
        expected = list(zip(frame[f"{measure}_percent"], frame.map_percent, strict=True))
        assert means == [pytest.approx(point) for point in expected]
        intervals = [line for line in axes.lines if line.get_gid() == "interval"]
        assert len(intervals) == (frame.n >= 3).sum()
        joints = {line.get_gid(): line for line in axes.lines if str(line.get_gid()).startswith("curve")}
        assert set(joints) == {f"curve {policy}" for policy in curves(results)}
        for line in joints.values():
            assert list(line.get_xdata()) == sorted(line.get_xdata())
    assert figure.axes[0].get_ylabel() == "mAP (%) of a linear probe"
    title = figure.get_suptitle()
    said = finding(frame, curves(results))
    assert title.startswith(f"{results.title}: {len(frame)} crop variants")
    assert all(sentence in " ".join(title.split()) for sentence in said)  # long lines are broken


def test_a_variant_that_was_not_measured_is_named(demo):
    results, overlap = demo
    with pytest.raises(ValueError, match=r"object-shift was not measured"):
        overlap_table(results, overlap[overlap.crops != "object-shift"])
    with pytest.raises(ValueError, match="no run of it"):
        joined(replace(results, variants=results.of("random_init")), overlap)
