"""Readers of csv tables: those that the workflow wrote, and those of the user."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TEXT_COLUMNS = ("image_id", "split", "path", "label", "name", "method", "crops", "policy", "source", "reason")


def read_text_table(path: str | Path) -> pd.DataFrame:
    """Read a table with every cell as its text. Raises ValueError, naming the file, where it is no csv table."""
    try:
        return pd.read_csv(path, dtype="str", keep_default_na=False)
    except ValueError as error:  # pandas' own errors and those of the encoding are of this type
        raise ValueError(f"{path} is not a csv table in UTF-8: {error}") from error


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table with fixed types: TEXT_COLUMNS stay text, whatever they hold (None, 01, NA); others are numbers.

    An empty number is NaN. Raises ValueError, naming the file, where another column holds what is no number.
    """
    table = read_text_table(path)
    for name in table.columns.difference(TEXT_COLUMNS):
        try:
            table[name] = pd.to_numeric(table[name])
        except ValueError as error:
            raise ValueError(f"{path}: column {name} must hold numbers: {error}") from error
    return table
