"""One table, four files: csv for machines at full precision; Markdown, LaTeX and HTML for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from oac.atomic import writing
from oac.report.statistics import Difference, Interval

MISSING = "–"
NOTES = "Notes and recipes"
MINUS = "−"

_TEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    MISSING: "--",
    MINUS: "$-$",
    "±": "$\\pm$",
}

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:1.5em;color:#222}h1{font-size:1.1em}"
    # A table that is wider than a phone is pushed aside by itself, its notes stay.
    "div{overflow-x:auto}table{border-collapse:collapse;margin:1em 0}"
    "th,td{padding:.3em .7em;border-bottom:1px solid #ddd;text-align:left}"
    "th{vertical-align:bottom}td{white-space:nowrap}td.number{text-align:right;font-variant-numeric:tabular-nums}"
    "p{font-size:.85em;color:#555;max-width:80em;margin:.4em 0}li{margin:.5em 0;max-width:60em}"
    "summary{cursor:pointer;color:#0b5cad;font-size:.9em}pre{font-size:.8em}"
)


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column for people: its header, with the unit, and which value of a row it shows, or how."""

    header: str
    cell: str | Callable[[Row], str]
    number: bool = True
    """Aligned right."""

    def of(self, row: Row) -> str:
        """How a row reads in it."""
        return shown(row[self.cell]) if isinstance(self.cell, str) else self.cell(row)


@dataclass(frozen=True)
class Table:
    """Numbers and how to show them."""

    rows: Sequence[Row]
    """Of each variant, run or difference its values: numbers, texts, and the intervals of `oac.report.statistics`."""
    columns: list[Column]
    caption: str
    notes: list[str] = field(default_factory=list)
    """What the columns mean and where the numbers come from; people unfold them."""
    findings: list[str] = field(default_factory=list)
    """What is to be read with the table; stays visible under it."""
    below: str = ""
    """HTML that the page has under the notes; the other formats are without it."""

    @property
    def frame(self) -> pd.DataFrame:
        """The values at full precision, an interval in columns of its own; only headers where there is no row."""
        if not self.rows:
            return pd.DataFrame(columns=[column.header for column in self.columns])
        return pd.DataFrame([flat(row) for row in self.rows])

    def cells(self) -> list[list[str]]:
        """The formatted rows, the same for every format."""
        return [[column.of(row) for column in self.columns] for row in self.rows]


def flat(row: Row) -> dict[str, Any]:
    """The columns of a csv that a row takes."""
    cells: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Difference):
            cells |= {f"{key}_points": value.mean, f"{key}_half_width_points": value.half_width}
            tested = value.p_holm is not None  # what was not declared beforehand is described, without a p
            cells |= {f"{key}_p": value.p if tested else None, f"{key}_p_flip": value.p_flip if tested else None}
            cells |= {f"{key}_p_holm": value.p_holm}
        elif isinstance(value, Interval):
            cells |= {f"{key}_percent": value.mean, f"{key}_half_width_percent": value.half_width}
        else:
            cells[key] = value
    return cells


def is_missing(value: Any) -> bool:
    """Whether a value of a row is nothing: None or NaN."""
    return value is None or bool(pd.isna(value))


def shown(value: Any) -> str:
    """How a value reads: an interval with its half width, a difference also with its p after Holm."""
    if isinstance(value, Difference):
        return change(value) + p_words(value.p_holm)
    if isinstance(value, Interval):
        return interval_text(value)
    if is_missing(value):
        return MISSING
    return points(value) if isinstance(value, float) else str(value)


def points(value: Any, signed: bool = False) -> str:
    """A percentage with one decimal, with a true minus sign; an en dash where there is none."""
    if is_missing(value):
        return MISSING
    rounded = round(float(value), 1) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.1f}".replace("-", MINUS)


def interval_text(estimate: Interval, signed: bool = False) -> str:
    """A mean with the half width of its interval, where it has one: one decimal, or two where one would be 0.0."""
    mean, half = points(estimate.mean, signed), estimate.half_width
    return mean if half is None else f"{mean} ± {half:.{1 if half >= 0.1 else 2}f}"


def change(difference: Interval) -> str:
    """A difference in points with the half width of its interval, where it has one."""
    return interval_text(difference, signed=True)


def ends(difference: Interval) -> str:
    """Both ends of the interval of a difference, in points; an en dash where it has none."""
    if difference.half_width is None:
        return MISSING
    return f"{points(difference.low, signed=True)} to {points(difference.high, signed=True)}"


def p_value(value: Any) -> str:
    """p with three decimals; an en dash where there is none."""
    if is_missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_words(value: float | None) -> str:
    """What follows a difference: its p, where there is one."""
    return "" if value is None else ", p " + ("" if value < 0.001 else "= ") + p_value(value)


def signed_share(value: float) -> str:
    """A number, as a correlation, with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", MINUS)


def markdown(table: Table) -> str:
    """A pipe table with the caption above and the notes below."""
    header = [_pipe(column.header) for column in table.columns]
    rule = ["---:" if column.number else ":---" for column in table.columns]
    body = [[_pipe(cell) for cell in row] for row in table.cells()]
    lines = [f"| {' | '.join(row)} |" for row in [header, rule, *body]]
    below = [line for finding in table.findings for line in ("", finding)]
    below += ["", folded_markdown(NOTES, "\n\n".join(table.notes))] if table.notes else []
    return "\n".join([f"**{table.caption}**", "", *lines, *below]) + "\n"


def latex(table: Table) -> str:
    """A table environment (needs the package booktabs); the notes are comments at its top."""
    rows = [" & ".join(map(escape_tex, row)) + r" \\" for row in table.cells()]
    lines = [
        *(f"% {note}" for note in [*table.findings, *table.notes]),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_tex(table.caption)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in table.columns)}}}",
        r"\toprule",
        " & ".join(escape_tex(column.header) for column in table.columns) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def html(table: Table) -> str:
    """A page with the caption, the table and the notes, which a browser shows inside the HTML report."""
    header = "".join(f"<th>{escape(column.header)}</th>" for column in table.columns)
    tags = [f'<td class="{"number" if column.number else "name"}">' for column in table.columns]
    cells = [[f"{tag}{escape(cell)}</td>" for tag, cell in zip(tags, row, strict=True)] for row in table.cells()]
    rows = "\n".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    findings, notes = ("\n".join(f"<p>{escape(text)}</p>" for text in some) for some in (table.findings, table.notes))
    below = "\n".join(filter(None, [findings, folded_html(NOTES, notes) if notes else "", table.below]))
    return html_page(
        table.caption,
        f"<div><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n{below}",
    )


def html_page(title: str, body: str) -> str:
    """A page of its own: `body` is HTML, `title` is plain text."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def opened(page: str) -> tuple[str, str]:
    """Title and body, both HTML, of a page that `html_page` made; ValueError where it is none."""
    found = re.search(r"<body>\n<h1>(.*?)</h1>\n(.*)\n</body>", page, re.DOTALL)
    if not found:
        raise ValueError("this is no page of a table: delete the tables and make them again")
    return found[1], found[2]


def folded_html(summary: str, body: str) -> str:
    """HTML that a click unfolds."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def folded_markdown(summary: str, body: str) -> str:
    """Markdown that a click unfolds, where a viewer shows HTML; the blank lines keep it Markdown."""
    return f"<details><summary>{escape(summary)}</summary>\n\n{body}\n\n</details>"


def escape_tex(plain: str) -> str:
    """Plain text as LaTeX that prints it."""
    return "".join(_TEX.get(character, character) for character in plain)


def write(table: Table, stem: str | Path) -> list[Path]:
    """Write stem.csv, stem.md, stem.tex and stem.html; return their paths."""
    contents = {
        "csv": table.frame.to_csv(index=False, lineterminator="\n"),
        "md": markdown(table),
        "tex": latex(table),
        "html": html(table),
    }
    paths = []
    for suffix, content in contents.items():
        path = Path(f"{stem}.{suffix}")
        with writing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
        paths.append(path)
    return paths


def _pipe(cell: str) -> str:
    return cell.replace("|", "\\|")
