"""The same study on two machines, or with two sets of kernels: how far do its numbers hold?

A run is the same to the bit on one machine. Another processor rounds otherwise, training amplifies that, and what
comes out differs as two seeds do, or less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oac.csv_tables import read_text_table
from oac.report.formats import Column, Table, interval_text, points
from oac.report.results import MAP, Results
from oac.report.statistics import ROUNDING, t_interval
from oac.report.variant_tables import variant_cells, variant_columns
from oac.studies import FIXED_ENCODERS


def machines_table(here: Results, there: Sequence[Mapping[str, Any]]) -> Table:
    """Every variant of a study on both machines: means, the difference of means, and the largest of a run.

    there: runs as metrics.json or `published_runs` has them: method, crops, seed, recipe_hash, map in [0, 1], and the
    options of the probe if they are known. Raises ValueError where runs, recipes or probes differ.
    """
    other = {(run["method"], run["crops"], run["seed"]): run for run in there}
    differing = other.keys() ^ {(v.method, v.crops, seed) for v in here.variants for seed in v.runs}
    if differing:
        raise ValueError(
            f"the two machines do not have the same runs of {here.study}: {len(differing)} are of one of them only;"
            " build both from one study file"
        )
    rows = []
    for variant in here.variants:
        runs = {seed: other[variant.method, variant.crops, seed] for seed in variant.runs}
        if any(_differs(run, runs[seed]) for seed, run in variant.runs.items()):
            raise ValueError(f"{variant.key} has other recipes here than there: build both from one study file")
        values = {seed: 100 * run[MAP.key] for seed, run in runs.items()}
        ours, theirs = variant.estimate(), t_interval(values.values())
        changes = [abs(values[seed] - value) for seed, value in variant.values().items()]
        rows.append(
            {
                **variant_cells(variant),
                "here": ours,
                "there": theirs,
                "difference_points": theirs.mean - ours.mean,
                "largest_points": max(changes),
                "within": None if ours.half_width is None else ours.holds(theirs.mean) or max(changes) < ROUNDING,
            }
        )
    columns = [
        *variant_columns(),
        Column("Here, mAP (%)", lambda row: interval_text(row["here"])),
        Column("There, mAP (%)", lambda row: interval_text(row["there"])),
        Column("Difference of means (points)", lambda row: points(row["difference_points"], signed=True)),
        Column("Largest difference of a run (points)", "largest_points"),
        Column("Mean there within the interval here", _yes_or_no),
    ]
    return Table(rows, columns, f"{here.title} on two machines", _notes(rows))


def published_runs(path: str | Path) -> list[dict[str, Any]]:
    """The runs of the table runs.csv of a report, for `machines_table`. Raises ValueError, naming the file."""
    table = read_text_table(path)
    if absent := {"method", "crops", "seed", "recipe_hash", "map_percent"} - set(table.columns):
        raise ValueError(f"{path} has no column {', '.join(sorted(absent))}: name the table runs.csv of a report")
    return [
        {**row, "seed": int(row["seed"]), MAP.key: float(row["map_percent"]) / 100}
        for row in table.to_dict("records")
    ]


def _differs(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs have other recipes, or probes with other options, but for what a probe chose."""
    chosen = ("weight_decay", "validation_map", "validation_top1")
    probes = [
        {key: value for key, value in side["probe"].items() if key not in chosen}
        for side in (run, other)
        if "probe" in side
    ]
    return run["recipe_hash"] != other["recipe_hash"] or any(probe != probes[0] for probe in probes)


def _yes_or_no(row: Any) -> str:
    return "–" if row["within"] is None else ("yes" if row["within"] else "no")


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    trained = [row for row in rows if row["method"] not in FIXED_ENCODERS]
    means = max((abs(row["difference_points"]) for row in trained), default=0.0)
    largest = max((row["largest_points"] for row in trained), default=0.0)
    judged = [row["within"] for row in rows if row["within"] is not None]
    return [
        f"Tolerance between machines, measured: {points(means)} points for the mean of a trained variant,"
        f" {points(largest)} for a single run. {sum(judged)} of {len(judged)} means there lie within the 95 %"
        " t-interval over seeds here.",
    ]
