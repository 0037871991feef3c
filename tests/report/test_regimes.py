"""Joined studies of a grid: gains as they are, a curve for each number, and where a data set stands."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oac.data.object_statistics import ObjectStatistics, object_statistics
from oac.report.formats import markdown, write
from oac.report.loading import load
from oac.report.regimes import Regime, finding, nearest, regimes_table
from oac.report.regimes_figure import regimes_figure

from .conftest import run_metrics

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/place_in_regimes.py"
CELLS = {(1, 0.2): 0.25, (1, 0.6): 0.01, (12, 0.12): 0.35, (12, 0.2): 0.15}  # objects and side: the gain


def regime(objects, side, gain):
    """A study whose BING crops gain so much; ground-truth boxes twice as much, random ones half as much."""
    runs = []
    for seed in range(3):
        scene = 0.3 + 0.01 * seed
        values = {"scene-scene": (scene, "scene-scene", "none")}
        for boxes, factor in (("ground_truth", 2), ("bing", 1), ("random", 0.5)):
            own = scene + factor * gain + 0.002 * (seed - 1) ** 2
            values[f"dilate-{boxes}".replace("_", "-")] = (own, "object-dilate", boxes)
        runs += [run_metrics("moco_v2", crops, seed, *rest) for crops, rest in values.items()]
    runs.append(run_metrics("random_init", "none", 0, 0.2, "none"))
    return Regime(load(runs), ObjectStatistics(objects, side))


@pytest.fixture(scope="module")
def regimes():
    return [regime(*cell, gain) for cell, gain in CELLS.items()]


def test_the_table_has_the_gain_of_every_study_and_source(regimes):
    table = regimes_table(regimes)
    frame = table.frame.set_index(["objects", "side", "boxes"])
    assert len(frame) == 3 * len(CELLS)
    for cell, gain in CELLS.items():
        for boxes, factor in (("ground_truth", 2), ("bing", 1), ("random", 0.5)):
            row = frame.loc[(*cell, boxes)]
            assert row.gain_points == pytest.approx(100 * factor * gain + 0.2 * 2 / 3)
            assert row.gain_half_width_points == pytest.approx(0.2 * 4.302653 / 3, rel=1e-5)
            assert pd.isna(row.gain_p), "a gain is described, not tested"
            assert row.scene_percent == pytest.approx(31)
            assert row.random_init_percent == pytest.approx(20)
            scene, dilate = (
                {int(seed): float(value) for seed, value in (run.split() for run in runs.split(", "))}
                for runs in (row.scene_runs, row.dilate_runs)
            )
            assert scene == {seed: pytest.approx(30 + seed) for seed in range(3)}
            assert np.mean([dilate[seed] - scene[seed] for seed in scene]) == pytest.approx(
                row.gain_points, rel=1e-12
            )
    page = markdown(table)
    for said in ("VOC2007 3.14 objects", "OHMS 12 objects", "+35.1 ± 0.3"):
        assert said in page


def test_the_finding_names_the_largest_and_the_smallest_gain(regimes):
    said = finding(regimes)
    places = [said.index(part) for part in ("+35.1", "12 objects of 12 %", "+1.1", "1 object of 60 %")]
    assert places == sorted(places)
    assert "4 of 4" in said
    lost = regime(4, 0.3, -0.1)
    assert "4 of 5" in finding([*regimes, lost])


def test_the_figure_has_a_curve_for_each_number_in_every_panel(regimes, check_texts):
    figure = regimes_figure(regimes[::-1])
    check_texts(figure)
    for axes, factor in zip(figure.axes, (2, 1, 0.5), strict=True):
        curves = {line.get_gid(): line.get_xydata() for line in axes.lines if str(line.get_gid()).startswith("curve")}
        assert set(curves) == {"curve 1", "curve 12"}
        for number in (1, 12):
            wanted = [(100 * side, 100 * factor * gain) for (n, side), gain in CELLS.items() if n == number]
            # Curves stand a little aside from each other, by the same factor everywhere.
            np.testing.assert_allclose(curves[f"curve {number}"], wanted, rtol=0.03, atol=0.2)
        assert sum(line.get_gid() == "interval" for line in axes.lines) == len(CELLS)
        assert sum(len(line.get_xdata()) for line in axes.lines if line.get_gid() == "seed") == 3 * len(CELLS)
        assert {line.get_gid() for line in axes.lines} >= {"place VOC2007", "place ImageNet"}


def test_a_study_without_scene_crops_is_named(regimes):
    runs = [run for run in regimes[0].results.runs() if run["crops"] != "scene-scene"]
    with pytest.raises(ValueError, match="study demo has no scene-scene variant, or several"):
        regimes_table([Regime(load(runs), regimes[0].statistics)])


def test_statistics_of_objects_are_those_of_a_plain_loop():
    boxes = pd.DataFrame(
        {"image_id": list("aab"), "xmin": [0, 0.5, 0], "xmax": [0.5, 1, 1], "ymin": 0.0, "ymax": [0.5, 0.02, 1.0]}
    )
    images = pd.DataFrame({"image_id": list("abc"), "split": ["train", "train", "test"]})
    other = pd.DataFrame({"image_id": ["c"], "xmin": 0.0, "xmax": 0.1, "ymin": 0.0, "ymax": 0.1})
    found = object_statistics(pd.concat([boxes, other]), images)
    assert found.objects == 1.5
    assert found.side == pytest.approx((0.5 + 0.1 + 1) / 3)
    with pytest.raises(ValueError, match="no boxes"):
        object_statistics(other, images)


def test_a_data_set_is_placed_at_the_study_most_like_it(regimes, tmp_path, monkeypatch, capsys):
    write(regimes_table(regimes), tmp_path / "regimes")
    table = pd.read_csv(tmp_path / "regimes.csv")
    assert nearest(table, ObjectStatistics(9, 0.1), "bing")["gain_points"] == pytest.approx(35.13, abs=0.01)
    with pytest.raises(ValueError, match="no row of csv boxes"):
        nearest(table, ObjectStatistics(9, 0.1), "csv")
    boxes = pd.DataFrame({"image_id": ["a"], "xmin": [0.2], "xmax": [0.8], "ymin": [0.1], "ymax": [0.7]})
    (tmp_path / "data").mkdir()
    boxes.to_parquet(tmp_path / "data/boxes.parquet")
    pd.DataFrame({"image_id": ["a"], "split": ["train"]}).to_parquet(tmp_path / "data/images.parquet")
    arguments = ["place", str(tmp_path), "--regimes", str(tmp_path / "regimes.csv")]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(SCRIPT), run_name="script")["main"]()
    said = capsys.readouterr().out.splitlines()
    assert "1.0 objects" in said[0]
    assert "60 %" in said[0]
    assert [line.partition(" boxes")[0] for line in said[1:]] == ["ground-truth", "BING", "random"]
    assert "+1.1 ± 0.3" in said[2]
