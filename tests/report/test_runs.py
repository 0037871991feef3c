"""The table of runs: every number's recipe and command stand there, and what the run cost."""

from __future__ import annotations

import copy
import json
import re
from html import unescape

import pandas as pd
import pytest

from oac.pretrain.recipe import digest
from oac.report.formats import html, markdown
from oac.report.loading import load
from oac.report.runs import cost, duration, runs_table, speed

BENCHMARK = {"s": "41.17", "h:m:s": "0:00:41", "max_rss": "2048.00", "max_pss": "1024.00", "cpu_time": "14.87"}


@pytest.fixture
def metrics(metrics_of):
    """The demo's runs; the first was probed by a version that wrote no commit."""
    found = copy.deepcopy(metrics_of("demo", lambda method, crops, seed: 0.3 + seed / 100))
    for entry in found[1:]:
        entry["commit"] = "0123456789ab-dirty"
    return found


def history(rates, batch=640):
    """A history of one interval of `batch` images for each rate."""
    lines = [{"step": 10 * i, "images_seen": batch * i, "images_per_s": rate} for i, rate in enumerate(rates, 1)]
    return [{"recipe": {}, "device": "cuda", "precision": "bf16"}, *lines]


def test_every_run_has_a_row_with_its_hash_and_its_command(metrics):
    table = runs_table(load(metrics), {}, {})
    assert len(table.frame) == len(metrics)
    for entry, (_, row), cells in zip(metrics, table.frame.iterrows(), table.cells(), strict=True):
        assert row.map_percent == 100 * entry["map"]
        assert row.recipe_hash == entry["recipe_hash"] == digest(json.loads(row.recipe))
        path = f"results/demo/probe/{entry['method']}/{entry['crops']}/seed{entry['seed']}/metrics.json"
        assert row.command == cells[-1] == f"snakemake {path}"
        assert cells[6] == entry.get("commit", "–")
        assert cells[8:12] == ["–"] * 4, "without history and benchmark there are no costs"


def test_runs_of_variants_that_differ_in_their_boxes_alone_can_be_told_apart(metrics):
    cells = runs_table(load(metrics), {}, {}).cells()
    assert len({tuple(row[:4]) for row in cells}) == len(metrics)
    kinds = {row[2] for row in cells if row[1].startswith("object-dilate")}
    assert kinds == {"BING", "ground truth", "random"}


def test_runs_of_single_labels_have_their_top1(metrics):
    single = [run | {"top1": 0.125, "top5": 0.5} for run in metrics]
    table = runs_table(load(single), {}, {})
    assert set(table.frame.top1_percent) == {12.5}
    head, _, row = [line for line in markdown(table).splitlines() if line.startswith("|")][:3]
    assert "Top-1 (%)" in head
    assert "mAP" not in head
    assert "| 12.5 |" in row


def test_costs_are_of_the_run_that_they_stand_beside(metrics):
    name = "moco_v2/object-dilate/seed1"
    table = runs_table(load(metrics), {name: history([100.0, 200.0, 50.0])}, {name: BENCHMARK})
    rows = {row[-1]: row for row in table.cells()}
    own = rows.pop(f"snakemake results/demo/probe/{name}/metrics.json")
    assert own[8:12] == ["0:00:22", "100", "1.00", "cuda"]
    assert all(row[8:12] == ["–"] * 4 for row in rows.values())


def test_the_rate_is_a_median_and_the_time_a_sum_over_intervals():
    found = speed(history([100.0, 400.0, 1.0, 300.0, 200.0]))
    assert found["images_per_s"] == 200.0
    assert found["training_s"] == pytest.approx(640 * (1 / 100 + 1 / 400 + 1 + 1 / 300 + 1 / 200))
    assert found["device"] == "cuda"


def test_intervals_of_different_lengths_count_by_their_images():
    lines = [*history([100.0, 100.0]), {"step": 21, "images_seen": 1344, "images_per_s": 8.0}]
    assert speed(lines)["training_s"] == pytest.approx(1280 / 100 + 64 / 8)


def test_a_history_without_intervals_or_with_a_rate_of_nought_has_no_time():
    assert speed([{"recipe": {}}]) == {"images_per_s": None, "training_s": None, "device": None}
    found = speed(history([0.0, 0.1, 0.1]))
    assert (found["training_s"], found["images_per_s"]) == (None, 0.1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (41.17, 1024.0, 2048.0)),
        ({"max_pss": "NA"}, (41.17, 2048.0, 2048.0)),
        ({"max_pss": "0.00", "max_rss": "0.00"}, (41.17, None, None)),
        ({"max_pss": "-", "max_rss": "nan"}, (41.17, None, None)),
    ],
)
def test_what_a_benchmark_lacks_is_left_out(changes, expected):
    found = cost(BENCHMARK | changes)
    assert (found["job_s"], found["memory_mib"], found["rss_mib"]) == expected
    assert set(cost({}).values()) == {None}


def test_a_day_of_training_reads_in_hours():
    assert [duration(value) for value in (0.4, 59.6, 3600, 90061)] == ["0:00:00", "0:01:00", "1:00:00", "25:01:01"]


def test_every_recipe_can_be_unfolded_and_hashes_to_what_stands_there(metrics):
    page = html(runs_table(load(metrics), {}, {}))
    _, *details = re.findall(r"<details>(.*?)</details>", page, re.S)  # the first has the notes
    variants = list(dict.fromkeys((entry["method"], entry["crops"]) for entry in metrics))
    assert len(details) == len(variants)
    for (method, crops), part in zip(variants, details, strict=True):
        runs = [entry for entry in metrics if (entry["method"], entry["crops"]) == (method, crops)]
        summary = re.search(r"<summary>(.*)</summary>", part)[1]
        assert summary.startswith(f"{method}/{crops}: ")
        assert re.findall(r"seed \d+ (\w+)", summary) == [entry["recipe_hash"] for entry in runs]
        commands, recipe = (unescape(block) for block in re.findall(r"<pre>(.*?)</pre>", part, re.S))
        assert json.loads(recipe) == runs[0]["recipe"]
        assert len(commands.splitlines()) == len(runs)


def test_runs_of_a_variant_with_another_recipe_are_unfolded_apart(metrics):
    """As where a study file was edited and not all of its runs were made again."""
    entry = next(entry for entry in metrics if entry["crops"] == "object-dilate" and entry["seed"] == 1)
    entry["recipe"]["view_size"] = 48
    page = html(runs_table(load(metrics), {}, {}))
    assert page.count("<summary>moco_v2/object-dilate: ") == 2


def test_what_is_not_there_is_said(metrics):
    notes = " ".join(runs_table(load(metrics), {}, {}).notes)
    assert "without a commit" in notes
    assert "no benchmark file" in notes
    names = [f"{entry['method']}/{entry['crops']}/seed{entry['seed']}" for entry in metrics]
    notes = " ".join(runs_table(load(metrics[1:]), {}, dict.fromkeys(names, BENCHMARK)).notes)
    assert "without a commit" not in notes
    assert "no benchmark file" not in notes


def test_markdown_has_the_table_without_the_recipes(metrics):
    page = markdown(runs_table(load(metrics), {}, {}))
    assert "recipe_version" in page, "in the notes"
    assert '"method"' not in page
    assert sum(line.startswith("|") for line in page.splitlines()) == len(metrics) + 2


def test_the_csv_holds_numbers(metrics):
    name = "moco_v2/object-dilate/seed1"
    frame = runs_table(load(metrics), {name: history([100.0])}, {name: BENCHMARK}).frame
    for column in ("images_per_s", "training_s", "memory_mib", "job_s"):
        assert pd.to_numeric(frame[column]).notna().sum() == 1
