"""The paper's table 1 with both of its columns, ours beside them: mAP on OHMS and top-1 accuracy on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oac.report.check import ELSEWHERE, on_papers_data, runs_of
from oac.report.formats import Column, Table, half_width, is_missing, points, text
from oac.report.headline import MAP, TOP1, Headline
from oac.report.paper import TABLE_1, VALUES, Key
from oac.report.statistics import t_interval, welch_interval
from oac.report.tables import BOX_NAMES, METHOD_NAMES

Runs = Sequence[Mapping[str, Any]]

COLUMNS = {"ohms": MAP, "imagenet": TOP1}
NOT_RUN = "not run"
_REFERENCE: Key = ("supervised", None, None)


def table1(ohms: Runs, imagenet: Runs) -> Table:
    """Join the runs of two studies into the rows of the paper's table 1.

    ohms, imagenet: contents of metrics.json files, each of one study, or none; the second's have top1.
    Raises ValueError where a column's runs are of several studies or test sets, or lack its number.
    """
    runs = {"ohms": ohms, "imagenet": imagenet}
    for column, metrics in runs.items():
        _check(metrics, column)
    frame = pd.DataFrame([_row(key, runs) for key in TABLE_1])
    caption = (
        "Table 1 of the paper beside ours: mAP of a linear probe on OHMS and top-1 accuracy on ImageNet, with the"
        " difference to supervised training; ours is the mean over n seeds with 95 % t-interval"
    )
    return Table(frame, _columns(runs), caption, _notes(runs))


def _check(metrics: Runs, column: str) -> None:
    """Refuse runs that do not belong in one column."""
    sets = {(entry["study"], entry["test_images"], entry["classes"]) for entry in metrics}
    if len(sets) > 1:
        raise ValueError(
            f"the column {column} would hold runs of several studies or test sets (study, test images, classes): "
            f"{sorted(sets)}; probe them again on the same data"
        )
    key = COLUMNS[column].key
    for entry in metrics:
        if key not in entry:
            raise ValueError(
                f"run {_name(entry)} has no {key}, which the column {column} is of: set `probe.task` of its study to"
                " single_label and probe again"
            )


def _row(key: Key, runs: Mapping[str, Runs]) -> dict[str, Any]:
    """One row at full precision: percent, and points of difference."""
    method, policy, boxes = key
    row: dict[str, Any] = {"method": method, "policy": policy, "boxes": boxes, "paper_source": VALUES[key].source}
    for column, head in COLUMNS.items():
        row |= {name.format(column): value for name, value in _cells(key, runs[column], head).items()}
    return row


def _cells(key: Key, metrics: Runs, head: Headline) -> dict[str, Any]:
    """The paper's and our number of one row and one column; None where there is no run, or nothing to subtract."""
    paper, supervised = head.paper(VALUES[key]), head.paper(VALUES[_REFERENCE])
    ours = runs_of(metrics, key)
    values, reference = (_percent(found, head) for found in (ours, runs_of(metrics, _REFERENCE)))
    own = t_interval(values) if values else None
    gap = welch_interval(values, reference) if values and reference and key != _REFERENCE else None
    return {
        "paper_{}_percent": paper,
        "paper_{}_gap_points": paper - supervised if paper and supervised and key != _REFERENCE else None,
        "{}_n": len(ours),
        "{}_percent": own.mean if own else None,
        "{}_half_width_percent": own.half_width if own else None,
        "{}_gap_points": gap.mean if gap else None,
        "{}_gap_half_width_points": gap.half_width if gap else None,
        # The paper gives no interval, so that the difference has ours.
        "{}_less_paper_points": own.mean - paper if own and paper else None,
        "{}_images_seen": max((entry["images_seen"] for entry in ours), default=None),
        "{}_runs": " ".join(f"{_name(entry)}:{entry['recipe_hash']}" for entry in ours),
    }


def _columns(runs: Mapping[str, Runs]) -> list[Column]:
    """How a row reads for people."""
    columns = [
        Column("Method", lambda row: METHOD_NAMES.get(row.method, row.method), number=False),
        Column("Crops", lambda row: text(row.policy), number=False),
        Column("Boxes", lambda row: text(BOX_NAMES.get(row.boxes, row.boxes)), number=False),
    ]
    for column, head in COLUMNS.items():
        columns += _columns_of(column, head, runs[column][0]["study"] if runs[column] else None)
    return columns


def _columns_of(column: str, head: Headline, study: str | None) -> list[Column]:
    """The paper's two columns, ours, and how far apart they are."""

    def ours(row: pd.Series) -> str:
        if not row[f"{column}_n"]:
            return NOT_RUN
        return f"{_with_interval(row, f'{column}_{{}}_percent')} (n = {row[f'{column}_n']})"

    def gap(row: pd.Series) -> str:
        if row.method == _REFERENCE[0]:
            return text(None)
        missing = is_missing(row[f"{column}_gap_points"])
        return NOT_RUN if missing else _with_interval(row, f"{column}_gap_{{}}_points", signed=True)

    def less_paper(row: pd.Series) -> str:
        if not row[f"{column}_n"]:
            return NOT_RUN
        shown, width = points(row[f"{column}_less_paper_points"], signed=True), row[f"{column}_half_width_percent"]
        return shown if is_missing(width) else f"{shown} {half_width(width)}"

    where = f"Ours on {study}" if study else "Ours"
    return [
        Column(f"Paper, {head.data} {head.name} (%)", lambda row: points(row[f"paper_{column}_percent"])),
        Column(
            f"Paper, {head.data}, gap to supervised (points)",
            lambda row: points(row[f"paper_{column}_gap_points"], signed=True),
        ),
        Column(f"{where}, {head.name} (%)", ours),
        Column(f"{where}, gap to supervised (points)", gap),
        Column(f"{where} less paper, {head.name} (points)", less_paper),
    ]


def _with_interval(row: pd.Series, name: str, signed: bool = False) -> str:
    """A number and its half width; name has {} where half_width stands in the name of the latter."""
    value, width = row[name.replace("_{}", "")], row[name.format("half_width")]
    return points(value, signed) if is_missing(width) else f"{points(value, signed)} {half_width(width)}"


def _notes(runs: Mapping[str, Runs]) -> list[str]:
    """What the columns are of, and the recipe of every run."""
    notes = [
        f"The paper's values: {VALUES[_REFERENCE].source}. Its mAPs most likely are means over batches, ours are over"
        " the whole test set. Its ImageNet values of SwAV and MoCo-v2 are those of the methods' own READMEs.",
        "Ours less paper has our interval, for the paper gives none. Intervals need three seeds.",
    ]
    for column, head in COLUMNS.items():
        metrics = runs[column]
        if not metrics:
            notes.append(f"Column {head.data}: no run of ours. `table1` of the configuration names its study.")
            continue
        shown = [entry for key in TABLE_1 for entry in runs_of(metrics, key)]
        if not on_papers_data(metrics, head.key):
            notes.append(f"Column {head.data}, study {metrics[0]['study']}: {ELSEWHERE[head.key]}.")
        seen = "; ".join(dict.fromkeys(f"{_line(entry)} {entry['images_seen']}" for entry in shown))
        notes.append(f"Column {head.data}, images seen in pretraining: {seen or 'none'}.")
        recipes = "; ".join(f"{_name(entry)} {entry['recipe_hash']}" for entry in shown)
        notes.append(f"Column {head.data}, recipes: {recipes or 'none'}.")
    return notes


def _percent(runs: Runs, head: Headline) -> list[float]:
    return [100 * entry[head.key] for entry in runs]


def _line(entry: Mapping[str, Any]) -> str:
    return f"{entry['study']}/{entry['method']}/{entry['crops']}"


def _name(entry: Mapping[str, Any]) -> str:
    return f"{_line(entry)}/seed{entry['seed']}"
