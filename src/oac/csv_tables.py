"""The one reader of the csv tables that the workflow itself writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TEXT_COLUMNS = ("image_id", "split", "path", "label", "name", "method", "crops", "policy", "source", "reason")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table with fixed types: TEXT_COLUMNS stay text, whatever they hold (None, 01, NA); others are numbers.

    An empty number is NaN. Raises ValueError, naming the file, where another column holds what is no number.
    """
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    for name in table.columns.difference(TEXT_COLUMNS):
        try:
            table[name] = pd.to_numeric(table[name])
        except ValueError as error:
            raise ValueError(f"{path}: column {name} must hold numbers: {error}") from error
    return table
