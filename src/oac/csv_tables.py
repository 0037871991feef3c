"""Readers of csv tables: those that the workflow wrote, and those of the user."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import pandas as pd

from oac.user_files import BadFileError, open_text

TEXT_COLUMNS = (
    "image_id",
    "split",
    "path",
    "label",
    "name",
    "method",
    "crops",
    "policy",
    "source",
    "reason",
    "study",
    "boxes",
    "scene_runs",
    "dilate_runs",
)
SEPARATORS = ",;\t"
LINE = "line"  # name of the index of a user's table
csv.field_size_limit(1 << 30)  # a cell may hold a polygon or a mask, which by default is an error
_UNSEEN = "[\N{ZERO WIDTH NO-BREAK SPACE}\N{ZERO WIDTH SPACE}]"  # some programs write the former twice
_ROWS = 1 << 16  # rows that are held as Python's texts at a time

Row = tuple[int, list[str]]
"""number of the line that it begins in, and its cells"""


def read_text_table(path: str | Path) -> pd.DataFrame:
    """Read a table of the workflow's with every cell as its text. Raises ValueError, naming the file."""
    try:
        return pd.read_csv(path, dtype="str", keep_default_na=False)
    except ValueError as error:  # pandas' own errors and those of the encoding are of this type
        raise ValueError(f"{path} is not a csv table in UTF-8: {error}") from error


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of the workflow's with fixed types: TEXT_COLUMNS stay text, whatever they hold (None, 01, NA).

    Others are numbers; an empty one is NaN. Raises ValueError, naming the file, where one holds what is no number.
    """
    table = read_text_table(path)
    for name in table.columns.difference(TEXT_COLUMNS):
        try:
            table[name] = pd.to_numeric(table[name])
        except ValueError as error:
            raise ValueError(f"{path}: column {name} must hold numbers: {error}") from error
    return table


def read_user_table(path: str | Path) -> pd.DataFrame:
    """Read a table that a user hands in, as programs write them: every cell as its text, without blanks around it.

    The separator is a comma, a semicolon or a tab, whichever parts the first line most; names of columns are in lower
    case. Lines without a cell are passed over, cells that are missing at a line's end are blank. The index, named
    LINE, is the number of each row's line; `attrs["decimal"]` is the decimal mark that the separator leaves room for.

    Raises FileNotFoundError, and BadFileError, naming file and line, for what is no such table.
    """
    with open_text(path) as file:
        separator, rows = _rows(file, path)
        _, header = next(rows, (0, []))
        names = [re.sub(_UNSEEN, "", cell).strip().lower() for cell in header]
        if not any(names):
            raise BadFileError(f"{path} is empty: its first line must name the columns")
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise BadFileError(f"{path}: its first line names the column {twice[0]} more than once")
        parts: list[pd.DataFrame] = []
        while (part := list(islice(rows, _ROWS))) or not parts:
            parts.append(_frame(part, names, path))
    table = pd.concat(parts) if len(parts) > 1 else parts[0]
    table.attrs["decimal"] = "." if separator == "," else ","
    return table


def _names_separator(line: str) -> bool:
    """Whether it is the line that tells a spreadsheet the separator: sep=;"""
    return line.strip().lower() in [f"sep={separator}" for separator in (*SEPARATORS.strip(), "")]


def _rows(file: TextIO, path: str | Path) -> tuple[str, Iterator[Row]]:
    """The separator of a table, and its rows: the first line, and those that have a cell."""
    blank, first = 0, ""
    for first in file:
        if first.strip() and not _names_separator(first):
            break
        blank += 1
    separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(chain([first], file), delimiter=separator, skipinitialspace=True, strict=True)

    def rows() -> Iterator[Row]:
        line = blank + 1
        try:
            for cells in reader:
                if any(cells):
                    yield line, cells
                line = blank + reader.line_num + 1  # a text in quotes can be of several lines
        except csv.Error as error:
            raise BadFileError(f"{path}, line {line}: {error} (is a quotation mark too many or missing?)") from error

    return separator, rows()


def _frame(rows: Sequence[Row], names: Sequence[str], path: str | Path) -> pd.DataFrame:
    """Rows as a table of the columns that have a name."""
    width = len(names)
    for line, cells in rows:
        if len(cells) != width:
            if any(cells[width:]):
                place = next(place for place in range(width, len(cells)) if cells[place])
                raise BadFileError(
                    f"{path}, line {line}: field {place + 1} is {cells[place]!r}, but the first line names {width}"
                    " columns. Is a separator in a text that needs quotes, or a decimal comma in a file separated by"
                    " commas?"
                )
            cells[width:] = []
            cells += [""] * (width - len(cells))
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else ([] for _ in names)
    index = pd.Index([line for line, _ in rows], dtype="int64", name=LINE)
    series = {
        name: pd.Series(column, index=index, dtype="str").str.strip()
        for name, column in zip(names, columns, strict=True)
        if name
    }
    return pd.DataFrame(series, index=index)
