"""Every number of the paper beside ours, as a table: what check.json holds, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oac.report.check import ELSEWHERE, NOT_RUN, REPRODUCED
from oac.report.formats import MISSING, Column, Table, half_width, is_missing, points, text
from oac.report.headline import MAP, headline
from oac.report.statistics import t_interval
from oac.report.tables import check_comparable, collect, line_name, percent

NOT_KNOWN = "not known"
NO_NUMBER = "the paper has no number for this line, or only a point in a figure"
SHORTER = {  # the csv has the whole
    ELSEWHERE["map"]: "not OHMS with a ResNet-50",
    ELSEWHERE["top1"]: "not ImageNet with a ResNet-50",
    NO_NUMBER: "no number in the paper",
}


def paper_table(checked: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each number of the paper, in its order, then one for each line of the study that it has none for.

    checked: contents of check.json; metrics: of the metrics.json files that it was made of.
    """
    runs = collect(metrics)
    check_comparable(runs)
    values = [_row(entry) for entry in checked["values"]]
    known = {line for entry in checked["values"] for line in entry["lines"]}
    others = [
        _unknown(line)
        for (method, crops), line in runs.groupby(["method", "crops"], sort=False)
        if f"{method}/{crops}" not in known
    ]
    caption = f"The paper's numbers (percent of mAP on OHMS, or points) beside those of {checked['study']}"
    return Table(pd.DataFrame([*values, *others]), _columns(), caption, _notes(checked, bool(others)))


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One number of check.json."""
    ours = entry["ours"]
    return {
        "what": entry["what"],
        "lines": " ".join(entry["lines"]),
        "paper": entry["paper"],
        "ours": ours,
        "half_width": entry["half_width"],
        "ours_batch": entry["ours_batch"],
        "n": entry["n"],
        "difference": None if ours is None else ours - entry["paper"],
        "compared": None if entry["status"] == NOT_RUN else entry["compared"],
        "status": entry["status"],
        "reason": entry["reason"],
        "source": entry["source"],
    }


def _unknown(line: pd.DataFrame) -> dict[str, Any]:
    """A line that no number of the paper is about."""
    ours, head = t_interval(percent(line)), headline(line)
    method, crops = line.method.iloc[0], line.crops.iloc[0]
    return {
        "what": ", ".join([method] if crops == "none" else [method, line_name(line)]) + f", {head.name}",
        "lines": f"{method}/{crops}",
        "paper": None,
        "ours": ours.mean,
        "half_width": ours.half_width,
        "ours_batch": 100 * line.map_batch_256.mean() if head is MAP else None,
        "n": len(line),
        "difference": None,
        "compared": None,
        "status": None,
        "reason": NO_NUMBER,
        "source": None,
    }


def _columns() -> list[Column]:
    """How a row reads for people."""

    def ours(row: pd.Series) -> str:
        if is_missing(row.ours):
            return MISSING
        interval = "" if is_missing(row.half_width) else f" {half_width(row.half_width)}"
        return f"{points(row.ours)}{interval} (n = {row.n})"

    def status(row: pd.Series) -> str:
        return text(row.status) if is_missing(row.compared) else f"{row.status} ({row.compared})"

    return [
        Column("What", lambda row: row.what, number=False),
        Column("Paper", lambda row: NOT_KNOWN if is_missing(row.paper) else points(row.paper)),
        Column("Ours", ours),
        Column("Ours, mean over batches of 256", lambda row: points(row.ours_batch)),
        Column("Ours less the paper's (points)", lambda row: points(row.difference, signed=True)),
        Column("Status (what is compared)", status, number=False),
        Column("Why", lambda row: text(SHORTER.get(row.reason, row.reason)), number=False),
        Column("Source in the paper", lambda row: text(row.source), number=False),
    ]


def _notes(checked: Mapping[str, Any], others: bool) -> list[str]:
    """What the columns mean, and how many there are of each status."""
    counts = ", ".join(f"{count} {status}" for status, count in checked["counts"].items())
    signs = sum(entry["status"] == REPRODUCED and entry["compared"] == "sign" for entry in checked["values"])
    elsewhere = f" ({signs} in sign alone, on other data than the paper's)" if signs else ""
    notes = [
        f"Of {len(checked['values'])} numbers: {counts}{elsewhere}. The same stands in check.json.",
        "A value of the paper compares on OHMS with a ResNet-50 alone; elsewhere it is not run, whatever ours is.",
        "Reproduced: on OHMS with a ResNet-50 our 95 % interval holds the paper's value; elsewhere our interval of a"
        " difference lies on the paper's side of 0, and the size of the difference says nothing.",
        "± is the half width of a 95 % t-interval over n seeds. The paper's mAP most likely is a mean over batches,"
        " which gives higher numbers than the mAP over the test set: that mean of ours has a column, the status is of"
        " the mAP.",
    ]
    if others:
        notes.append(
            "At the end: lines of this study for which the paper's value is not known. It has no number for them, or"
            " only a point in a figure."
        )
    return notes
