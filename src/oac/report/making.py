"""Which table is made of which files: what `workflow/scripts/make_table.py` looks its output up in.

A new table is a function that returns it, a line in TABLES, and a rule in `workflow/rules/report.smk`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from oac.csv_tables import read_table
from oac.report.ablations import ablation_table
from oac.report.audit import audit_table
from oac.report.check import paper_table
from oac.report.formats import Table
from oac.report.loading import read_histories, read_results, run_of
from oac.report.overlap_table import overlap_table
from oac.report.pairs import pairs_table
from oac.report.parts import OPTION
from oac.report.results import Contrasts, Names, Results
from oac.report.runs import runs_table
from oac.report.table1 import table1
from oac.report.variant_tables import crops_table, methods_table

TABLE_1 = "table1"

# Of each table of one study the function that makes it of the study's results and of the inputs of its rule.
TABLES: dict[str, Callable[[Results, Any], Table]] = {
    "crops": lambda results, _: crops_table(results),
    "methods": lambda results, _: methods_table(results),
    "pairs": lambda results, _: pairs_table(results),
    "audit": lambda results, _: audit_table(results),
    "overlap": lambda results, files: overlap_table(results, read_table(files.overlap)),
    "paper": lambda results, files: paper_table(json.loads(Path(files.check).read_text()), results),
    "runs": lambda results, files: runs_table(
        results, read_histories(files.histories), read_benchmarks(files.histories)
    ),
}


def make_table(
    name: str,
    files: Any,
    contrasts: Contrasts = (),
    names: Names | None = None,
    columns: Mapping[str, Names] | None = None,
) -> Table:
    """Make a table of TABLES, OPTION with an option, or TABLE_1, which joins two studies.

    files: the inputs of its rule, by name; contrasts, names: the study's, as in `read_results`; columns: of TABLE_1,
    the names of the study of each column.

    Raises ValueError for another name.
    """
    if name == TABLE_1:
        named = columns or {}
        metrics = {"ohms": files.ohms, "imagenet": files.imagenet}
        return table1(
            *(read_results(some, names=named.get(column)) if some else None for column, some in metrics.items())
        )
    if name not in TABLES and not name.startswith(OPTION):
        known = ", ".join([*TABLES, TABLE_1])
        raise ValueError(f"there is no table {name!r}: there are {known} and {OPTION}{{option}}")
    results = read_results(files.metrics, contrasts, names)
    if name.startswith(OPTION):
        return ablation_table(results, name.removeprefix(OPTION))
    return TABLES[name](results, files)


def read_benchmarks(histories: Iterable[str | Path]) -> dict[str, dict[str, str]]:
    """The rows of the benchmark files that lie beside history.jsonl files, by run; a run may have none."""
    found = {}
    for history in histories:
        path = Path(history).with_name("benchmark.tsv")
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                found[run_of(history)] = next(csv.DictReader(file, delimiter="\t"), {})
    return found
