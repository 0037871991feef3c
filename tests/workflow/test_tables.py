"""The tables of a finished study: what they say stands in its files, and Snakemake knows their commands."""

from __future__ import annotations

import json
import shlex

import pandas as pd
import pytest

TABLES = "results/tiny/report/tables"
NAMES = ("crops", "methods", "pairs", "paper", "runs")
MAKE_RUNS = "make_runs"


def table(workflow, name):
    return pd.read_csv(workflow.folder / TABLES / f"{name}.csv")


def test_the_summary_has_every_table(finished):
    summary = (finished.folder / "results/tiny/report/summary.md").read_text(encoding="utf-8")
    for name in NAMES:
        markdown = (finished.folder / TABLES / f"{name}.md").read_text(encoding="utf-8")
        assert markdown.startswith("**")
        assert markdown.strip() in summary


def test_every_command_is_planned_and_finds_its_run_there(finished):
    runs = table(finished, "runs")
    assert len(runs) == 4
    for command in runs.command:
        program, path = shlex.split(command)
        assert program == "snakemake"
        assert (finished.folder / path).is_file()
    assert "Nothing to be done" in finished.planned(*(shlex.split(command)[1] for command in runs.command)).text


def test_a_run_stands_beside_its_own_files(finished):
    for _, row in table(finished, "runs").iterrows():
        run = f"{row.method}/{'none' if pd.isna(row.crops) else row.crops}/seed{row.seed}"
        metrics = json.loads((finished.folder / f"results/tiny/probe/{run}/metrics.json").read_text())
        assert row.map_percent == pytest.approx(100 * metrics["map"])
        assert row.recipe_hash == metrics["recipe_hash"]
        assert row.commit == metrics["commit"] == "unknown", "the tests' copy of the code is no checkout"
        benchmark = finished.folder / f"results/tiny/pretrain/{run}/benchmark.tsv"
        assert benchmark.is_file() == (row.method != "random_init")
        if benchmark.is_file():
            assert row.job_s == pytest.approx(pd.read_csv(benchmark, sep="\t").s[0])
            assert 0 < row.training_s < row.job_s
            assert row.device == "cpu"


def test_a_run_without_a_benchmark_is_shown_without_its_memory(copied):
    """As where results were copied: a table must not be a reason to train again, nor fail."""
    (copied.folder / "results/tiny/pretrain/moco_v2/object-dilate/seed0/benchmark.tsv").unlink()
    before = table(copied, "runs")
    result = copied.run(f"{TABLES}/runs.csv", "--forcerun", MAKE_RUNS, "--allowed-rules", MAKE_RUNS)
    assert result.code == 0, result.text
    after = table(copied, "runs")
    without = after.set_index("crops").loc["object-dilate"]
    assert pd.isna([without.job_s, without.memory_mib, without.rss_mib]).all()
    assert without.training_s > 0, "the history has this"
    others = before.crops != "object-dilate"
    pd.testing.assert_frame_equal(after[others], before[others])


def test_the_papers_table_says_what_the_check_says(finished):
    checked = json.loads((finished.folder / "results/tiny/report/check.json").read_text())
    paper = table(finished, "paper")
    assert paper.what.head(len(checked["values"])).tolist() == [entry["what"] for entry in checked["values"]]


def test_pairs_are_those_of_the_metrics(finished):
    pairs = table(finished, "pairs").set_index(["crops", "against_method"])
    maps = {
        run: json.loads((finished.folder / f"results/tiny/probe/{run}/seed0/metrics.json").read_text())["map"]
        for run in ("moco_v2/object-dilate", "moco_v2/scene-scene", "random_init/none")
    }
    row = pairs.loc[("object-dilate", "moco_v2")]
    assert row.difference_points == pytest.approx(100 * (maps["moco_v2/object-dilate"] - maps["moco_v2/scene-scene"]))
    assert pd.isna([row.difference_half_width_points, row.difference_p]).all(), "one seed"
    row = pairs.loc[("object-dilate", "random_init")]
    assert row.difference_points == pytest.approx(100 * (maps["moco_v2/object-dilate"] - maps["random_init/none"]))
