"""Which table is made of which files: what `workflow/scripts/make_table.py` looks its output up in.

A new table is a function that returns it, a line in TABLES, and a rule in `workflow/rules/report.smk`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from oac.report.ablations import ablation_table
from oac.report.audit import audit_table
from oac.report.check import paper_table
from oac.report.formats import Table
from oac.report.loading import read_histories, read_results, run_of
from oac.report.overlap_table import overlap_table
from oac.report.pairs import pairs_table
from oac.report.results import Contrasts
from oac.report.runs import runs_table
from oac.report.table1 import table1
from oac.report.variant_tables import crops_table, methods_table

ABLATION = "ablation_"  # starts the names of the tables of ablations, each of which ends in its option

PAIRS = "pairs"

# Of each table the function that makes it of the inputs of its rule.
TABLES: dict[str, Callable[[Any], Table]] = {
    "crops": lambda files: crops_table(read_results(files.metrics)),
    "methods": lambda files: methods_table(read_results(files.metrics)),
    "audit": lambda files: audit_table(read_results(files.metrics)),
    "overlap": lambda files: overlap_table(read_results(files.metrics), pd.read_csv(files.overlap)),
    "paper": lambda files: paper_table(json.loads(Path(files.check).read_text()), read_results(files.metrics)),
    "runs": lambda files: runs_table(
        read_results(files.metrics), read_histories(files.histories), read_benchmarks(files.histories)
    ),
    "table1": lambda files: table1(*(read_results(some) if some else None for some in (files.ohms, files.imagenet))),
}


def make_table(name: str, files: Any, contrasts: Contrasts = ()) -> Table:
    """Make a table of TABLES, ABLATION with an option, or PAIRS, which tests the study's contrasts.

    files: the inputs of its rule, by name.

    Raises ValueError for another name.
    """
    if name.startswith(ABLATION):
        return ablation_table(read_results(files.metrics), name.removeprefix(ABLATION))
    if name == PAIRS:
        return pairs_table(read_results(files.metrics, contrasts))
    if name not in TABLES:
        known = ", ".join([*TABLES, PAIRS])
        raise ValueError(f"there is no table {name!r}: there are {known} and {ABLATION}{{option}}")
    return TABLES[name](files)


def read_benchmarks(histories: Iterable[str | Path]) -> dict[str, dict[str, str]]:
    """The rows of the benchmark files that lie beside history.jsonl files, by run; a run may have none."""
    found = {}
    for history in histories:
        path = Path(history).with_name("benchmark.tsv")
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                found[run_of(history)] = next(csv.DictReader(file, delimiter="\t"), {})
    return found
