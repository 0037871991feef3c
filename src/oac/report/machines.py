"""The same study on two machines, or with two sets of kernels: how far do its numbers hold?

A run is the same to the bit on one machine. Another processor rounds otherwise, training amplifies that, and what
comes out differs as two seeds do, or less.
"""

from __future__ import annotations

from typing import Any

from oac.report.formats import Column, Table, interval_text, points
from oac.report.results import Results, Variant
from oac.report.statistics import ROUNDING
from oac.report.variant_tables import variant_cells, variant_columns
from oac.studies import FIXED_ENCODERS


def machines_table(here: Results, there: Results) -> Table:
    """Every variant of a study on both machines: means, the difference of means, and the largest of a run.

    Raises ValueError where the studies, their variants or their seeds differ.
    """
    runs = [{(v.key, seed) for v in side.variants for seed in v.runs} for side in (here, there)]
    if here.study != there.study or runs[0] != runs[1]:
        raise ValueError(
            f"studies {here.study} and {there.study} do not have the same runs: {len(runs[0] ^ runs[1])} are in one"
            " of them only; build both from one study file"
        )
    rows = []
    for variant in here.variants:
        other = there.variant(variant.method, variant.crops)
        assert other is not None  # the same runs
        if _made(variant) != _made(other):
            raise ValueError(f"{variant.key} has other recipes here than there: build both from one study file")
        ours, theirs = variant.estimate(), other.estimate()
        changes = [abs(theirs - variant.values()[seed]) for seed, theirs in other.values().items()]
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
    return Table(rows, columns, f"Study {here.study} on two machines", _notes(rows))


def _made(variant: Variant) -> list[Any]:
    """What the runs of a variant are made with: recipes, and the probe's options but for what it chose by them."""
    chosen = ("weight_decay", "validation_map", "validation_top1")
    probes = [run.get("probe", {}) for run in variant.runs.values()]
    return [variant.hashes, [{key: probe[key] for key in probe if key not in chosen} for probe in probes]]


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
