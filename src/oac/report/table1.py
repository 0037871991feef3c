"""The paper's table 1 with both of its columns, ours beside them: mAP on OHMS and top-1 accuracy on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oac.report.check import ELSEWHERE, on_papers_data, variant_of
from oac.report.formats import MISSING, Column, Row, Table, interval_text, points, shown
from oac.report.paper import SUPERVISED, TABLE_1, VALUES, Key
from oac.report.results import MAP, TOP1, Metric, Results
from oac.report.statistics import NO_DIFFERENCE, NO_ESTIMATE, Interval
from oac.report.variant_tables import of_runs, recipes_note, variant_columns

COLUMNS = {"ohms": MAP, "imagenet": TOP1}
NOT_RUN = "not run"


def table1(ohms: Results | None, imagenet: Results | None) -> Table:
    """Join the runs of two studies, or of none, into the rows of the paper's table 1.

    Raises ValueError where the runs of `imagenet` have no top-1 accuracy.
    """
    studies = {"ohms": ohms, "imagenet": imagenet}
    if imagenet and imagenet.metric is not TOP1:
        raise ValueError(
            f"the runs of {imagenet.study} have no top1, which the column imagenet is of: set `probe.task` of the"
            " study to single_label and probe again"
        )
    rows = [_row(key, studies) for key in TABLE_1]
    caption = (
        "Table 1 of the paper beside ours: mAP of a linear probe on OHMS and top-1 accuracy on ImageNet, with the"
        " difference to supervised training; ours is the mean over n seeds with 95 % t-interval"
    )
    return Table(rows, _columns(studies), caption, _notes(studies))


def _row(key: Key, studies: Mapping[str, Results | None]) -> dict[str, Any]:
    """One row at full precision: percent, and points of difference."""
    method, policy, boxes = key
    row: dict[str, Any] = {"method": method, "policy": policy, "boxes": boxes, "paper_source": VALUES[key].source}
    for column, metric in COLUMNS.items():
        row |= _cells(key, studies[column], column, metric)
    return row


def _cells(key: Key, results: Results | None, column: str, metric: Metric) -> dict[str, Any]:
    """The paper's and our number of one row and one column; None where there is no run, or nothing to subtract."""
    paper, supervised = VALUES[key].percent(metric.key), VALUES[SUPERVISED].percent(metric.key)
    ours, reference = (variant_of(results, row) if results else None for row in (key, SUPERVISED))
    own = ours.estimate(metric.key) if ours else NO_ESTIMATE
    return {
        f"paper_{column}_percent": paper,
        f"paper_{column}_gap_points": paper - supervised if paper and supervised and key != SUPERVISED else None,
        f"{column}_n": ours.n if ours else 0,
        column: own,
        f"{column}_gap": ours.difference_to(reference, metric.key) if ours else NO_DIFFERENCE,
        # The paper gives no interval, so that the difference has ours.
        f"{column}_less_paper_points": own.mean - paper if paper else None,
        f"{column}_images_seen": ours.images_seen if ours else None,
        f"{column}_runs": " ".join(
            f"{run['study']}/{variant.key}/seed{seed}:{run['recipe_hash']}"
            for variant in filter(None, [ours])
            for seed, run in variant.runs.items()
        ),
    }


def _columns(studies: Mapping[str, Results | None]) -> list[Column]:
    """How a row reads for people."""
    method, _, boxes, _ = variant_columns()
    columns = [method, Column("Policy", lambda row: shown(row["policy"]), number=False), boxes]
    for column, metric in COLUMNS.items():
        columns += _columns_of(column, metric, studies[column])
    return columns


def _columns_of(column: str, metric: Metric, results: Results | None) -> list[Column]:
    """The paper's two columns, ours, and how far apart they are."""
    where = f"Ours on {results.title}" if results else "Ours"

    def ours(row: Row) -> str:
        n = row[f"{column}_n"]
        return f"{shown(row[column])} (n = {n})" if n else NOT_RUN

    def gap(row: Row) -> str:
        if row["method"] == SUPERVISED[0]:
            return MISSING
        return shown(row[f"{column}_gap"]) if row[f"{column}_gap"].n else NOT_RUN

    def less_paper(row: Row) -> str:
        estimate = Interval(row[f"{column}_less_paper_points"], row[column].half_width)
        return interval_text(estimate, signed=True) if row[f"{column}_n"] else NOT_RUN

    return [
        Column(f"Paper, {metric.data} {metric.name} (%)", f"paper_{column}_percent"),
        Column(
            f"Paper, {metric.data}, gap to supervised (points)",
            lambda row: points(row[f"paper_{column}_gap_points"], signed=True),
        ),
        Column(f"{where}, {metric.name} (%)", ours),
        Column(f"{where}, gap to supervised (points)", gap),
        Column(f"{where} less paper, {metric.name} (points)", less_paper),
    ]


def _notes(studies: Mapping[str, Results | None]) -> list[str]:
    """What the columns are of, and the recipe of every run."""
    notes = [
        f"The paper's values: {VALUES[SUPERVISED].source}. Its mAPs most likely are averaged over batches, ours are"
        " over the whole test set. Its ImageNet values of SwAV and MoCo-v2 are those of the methods' own READMEs.",
        "Ours less paper has our interval, for the paper gives none. Intervals need three seeds.",
    ]
    for column, metric in COLUMNS.items():
        results, name = studies[column], f"Column {metric.data}"
        if results is None:
            notes.append(f"{name}: no run of ours. `table1` of the configuration names its study.")
            continue
        variants = [variant for key in TABLE_1 if (variant := variant_of(results, key))]
        if not on_papers_data(results, metric.key):
            notes.append(f"{name}, study {results.title}: {ELSEWHERE[metric.key]}.")
        seen = of_runs(variants, "images_seen") or "none"
        notes.append(f"{name}, study {results.title}, images seen in pretraining: {seen}.")
        notes.append(f"{name}. {recipes_note(variants)}")
    return notes
