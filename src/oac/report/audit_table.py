"""The audit as a table, and its options in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oac.report.audit import BATCH, NAMES, Step, every_step, lines_of, paired
from oac.report.formats import Column, Table, half_width, points, text
from oac.report.statistics import Interval


def audit_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each option in each context, each read-out and each comparison with scene crops.

    metrics: contents of metrics.json files of one study. Raises ValueError where no two lines differ in one option.
    """
    lines = lines_of(metrics)
    rows = every_step(lines)
    first = metrics[0]
    caption = (
        f"What each difference between paper and released code is worth on {first['study']}: change of the mAP of a"
        f" linear probe over {first['test_images']} test images, paired by seed, with 95 % t-interval"
    )
    return Table(pd.DataFrame([_row(step) for step in rows]), _columns(), caption, _notes(metrics))


def _row(step: Step) -> dict[str, Any]:
    """One line of the table at full precision, in percent and points."""
    before, after = step.numbers(step.keys)
    change = paired(before, after)
    seeds = sorted(set(before) & set(after))
    batch = paired(*step.numbers(step.batch_keys)) if step.batch_keys else Interval(float("nan"), None)
    best = step.numbers(("best_batch", "best_batch"))  # of the seeds whose probe has epochs
    reported = paired(*best) if set(best[0]) & set(best[1]) and step.kind != "readout" else None
    return {
        "kind": step.kind,
        "option": step.option,
        "from": step.values[0],
        "to": step.values[1],
        "released_already": step.context,
        "crops_before": step.before.name,
        "crops_after": step.after.name,
        "n": len(seeds),
        "before_percent": sum(before[seed] for seed in seeds) / len(seeds),
        "after_percent": sum(after[seed] for seed in seeds) / len(seeds),
        "map_points": change.mean,
        "map_half_width_points": change.half_width,
        "batch_points": batch.mean,
        "batch_half_width_points": batch.half_width,
        "reported_points": reported.mean if reported else None,
        "reported_half_width_points": reported.half_width if reported else None,
        "images_seen_before": step.before.images_seen,
        "images_seen_after": step.after.images_seen,
    }


def _columns() -> list[Column]:
    """How a row reads in Markdown and LaTeX."""

    def change(name: str) -> Any:
        def cell(row: pd.Series) -> str:
            shown, width = points(row[f"{name}_points"], signed=True), row[f"{name}_half_width_points"]
            return shown if pd.isna(width) else f"{shown} {half_width(width)}"

        return cell

    return [
        Column("Option", lambda row: NAMES.get(row.option, f"Object crops over scene crops, {row.option}"), False),
        Column("From", lambda row: row["from"], False),
        Column("To", lambda row: row["to"], False),
        Column("Released already", lambda row: text(row.released_already or None), False),
        Column("Lines", lambda row: ", ".join(dict.fromkeys((row.crops_before, row.crops_after))), False),
        Column("n", lambda row: text(row.n)),
        Column("Before (%)", lambda row: points(row.before_percent)),
        Column("After (%)", lambda row: points(row.after_percent)),
        Column("Worth in mAP (points)", change("map")),
        Column(f"Worth in the mean over batches of {BATCH} (points)", change("batch")),
        Column("The same at the best epoch, as the released code reports (points)", change("reported")),
    ]


def _notes(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the columns mean, and the recipe of every run."""
    recipes: dict[str, list[str]] = {}
    for entry in metrics:
        recipes.setdefault(f"{entry['method']}/{entry['crops']}", []).append(entry["recipe_hash"])
    return [
        "Each option is compared twice where the study walks there and back: with the others mostly as published, and"
        " mostly as released; the fourth column names those that are as released in both lines.",
        "Before and after are mAP over the test set. A metric's worth is the number it reports less that mAP;"
        " picking's is the best of the SGD probe's epochs on the test photos less its last.",
        "Budgets count photos seen and are equal but where Steps says otherwise.",
        "Recipes: " + "; ".join(f"{line} {', '.join(hashes)}" for line, hashes in recipes.items()) + ".",
    ]
