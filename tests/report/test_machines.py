from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from oac.report.formats import write
from oac.report.loading import load
from oac.report.machines import machines_table, published_runs
from oac.report.runs import runs_table

from .conftest import run_metrics

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/compare_machines.py"


def study(*changes):
    """Three seeds of scene crops, moved by so many points, and one of an untrained network."""
    values = [0.3 + 0.01 * seed + move / 100 for seed, move in enumerate(changes)]
    runs = [run_metrics("moco_v2", "scene-scene", seed, value, "scene-scene") for seed, value in enumerate(values)]
    return [*runs, run_metrics("random_init", "none", 0, 0.2)]


def test_the_tolerance_is_that_of_the_runs_and_their_means():
    frame = machines_table(load(study(0, 0, 0)), study(1.5, -0.6, 0.3)).frame.set_index("method")
    row = frame.loc["moco_v2"]
    assert row.difference_points == pytest.approx(0.4)
    assert row.largest_points == pytest.approx(1.5)
    assert row.within
    assert frame.difference_points["random_init"] == 0
    note = machines_table(load(study(0, 0, 0)), study(1.5, -0.6, 0.3)).notes[0]
    assert "0.4 points for the mean" in note
    assert "1.5 for a single run" in note
    assert "1 of 1 means" in note


def test_a_mean_outside_of_the_interval_is_said():
    table = machines_table(load(study(0, 0, 0)), study(5, 5, 5))
    assert [row[-1] for row in table.cells()] == ["no", "–"], "one seed has no interval"
    assert "0 of 1 means" in table.notes[0]


def test_studies_of_other_runs_are_refused():
    with pytest.raises(ValueError, match="1 are of one of them only"):
        machines_table(load(study(0, 0, 0)), study(0, 0))


def test_runs_of_other_recipes_are_refused():
    others = [run | {"recipe_hash": "x"} if run["seed"] == 1 else run for run in study(0, 0, 0)]
    with pytest.raises(ValueError, match="moco_v2/scene-scene has other recipes"):
        machines_table(load(study(0, 0, 0)), others)


def test_the_script_reads_all_runs_below_two_folders_or_in_a_published_table(tmp_path, monkeypatch, capsys):
    for side, changes in (("here", (0, 0, 0)), ("there", (1, 1, 1))):
        for run in study(*changes):
            path = tmp_path / side / f"probe/{run['method']}/{run['crops']}/seed{run['seed']}/metrics.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(run))
    arguments = ["compare", str(tmp_path / "here"), str(tmp_path / "there"), "--out", str(tmp_path / "machines")]
    monkeypatch.setattr(sys, "argv", arguments)
    main = runpy.run_path(str(SCRIPT), run_name="script")["main"]
    main()
    from_runs = capsys.readouterr().out
    assert "1.0 points for the mean of a trained variant" in from_runs
    assert (tmp_path / "machines.md").exists()
    write(runs_table(load(study(1, 1, 1)), {}, {}), tmp_path / "runs")
    arguments[2] = str(tmp_path / "runs.csv")
    main()
    assert capsys.readouterr().out == from_runs, "a published table says what the runs say"


def test_another_table_than_that_of_runs_is_named(tmp_path):
    (tmp_path / "crops.csv").write_text("method,crops,map_percent\nmoco_v2,scene-scene,30\n")
    with pytest.raises(ValueError, match=r"crops\.csv has no column recipe_hash, seed"):
        published_runs(tmp_path / "crops.csv")
