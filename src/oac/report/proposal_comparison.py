"""How well sources of proposals find objects: a page of tables, curves of all sources, and their ten best boxes.

Takes the table that `oac.proposals.comparison.score_proposals` makes, with the column source added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from oac.proposals.suppression import pairwise_iou
from oac.report import findings, style
from oac.report.formats import MISSING
from oac.report.photo_panels import outline, show_photo
from oac.report.results import BOX_NAMES
from oac.report.style import BOX_LOOKS, GREY, OTHER_BOXES, SMALL, WIDTH, styled

HIT_COLOUR, OBJECT_COLOUR, MISS_COLOUR = "#FFB000", "#FFFFFF", "#648FFF"

_PANELS = (
    ("detection_rate_0.5", "detection rate at IoU ≥ 0.5 (%)"),
    ("detection_rate_0.7", "detection rate at IoU ≥ 0.7 (%)"),
    ("average_recall", "average recall, IoU 0.5 to 1 (%)"),
    ("best_overlap", "IoU of the best box, mean (%)"),
)
_AVERAGES = {"image": "-", "object": "--"}
_SHOWN = (1, 10, 100, 1000, 5000)


def page(table: pd.DataFrame, study: str, split: str, photos: int, objects: int, left_out: int) -> str:
    """The numbers in Markdown: a table for each average, one of the sizes, and how to read them.

    photos, objects: how many were scored; left_out: objects marked difficult, which were not.
    """
    counts = [count for count in _SHOWN if count in set(table["count"])] or sorted(set(table["count"]))
    at = f"@{'/'.join(map(str, counts))}"
    sources = {BOX_NAMES.get(source, source): rows for source, rows in table.groupby("source", sort=False)}
    marked = f"; {left_out} more are marked difficult and left out" if left_out else ""
    lines = [
        f"# Proposals of {study}",
        "",
        f"{photos:,} photos of the {split} split, {objects:,} objects{marked}.",
        "",
    ]
    for average, meaning in (("image", "mean over photos"), ("object", "all objects alike")):
        heads = [f"{label} {at}" for label in ("IoU 0.5", "IoU 0.7", "average recall", "ABO")]
        lines += [f"## Averaged by {average}: {meaning}", "", *_head(heads)]
        for name, rows in sources.items():
            lines.append(_row(name, *(_series(rows, f"{column}_{average}", counts) for column, _ in _PANELS)))
        lines.append("")
    heads = [f"MABO {at}", "boxes a photo, at most", "share of the photo, first 10 (%)", "s_min"]
    lines += ["## Classes and sizes", "", *_head(heads)]
    for name, rows in sources.items():
        ten = rows[rows["count"] <= 10].tail(1)
        area, s_min = (100 * ten["mean_area"].iloc[0], ten["s_min"].iloc[0]) if len(ten) else (np.nan, np.nan)
        sizes = f"{rows['boxes'].max():,.0f}", _number(area, ".1f"), _number(s_min, ".2f")
        lines.append(_row(name, _series(rows, "mabo", counts), *sizes))
    return "\n".join([*lines, "", "ABO is the mean IoU of an object with its best box, MABO that mean by class.", ""])


def _head(heads: Sequence[str]) -> list[str]:
    return [_row("boxes", *heads), _row(":---", *["---:"] * len(heads))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _series(rows: pd.DataFrame, column: str, counts: Sequence[int]) -> str:
    values = rows.set_index("count")[column]
    return " / ".join(_number(values.get(count, np.nan), ".3f") for count in counts)


def _number(value: float, form: str) -> str:
    return MISSING if np.isnan(value) else format(value, form)


@styled
def comparison_curves(table: pd.DataFrame) -> Figure:
    """Detection rates, average recall and best overlap against the number of boxes; a colour for each source.

    Solid is the mean over photos, dashed all objects alike. Raises ValueError for an empty table.
    """
    if table.empty:
        raise ValueError("there is nothing to draw: the table of the comparison is empty")
    figure = Figure(figsize=(WIDTH, 6.2))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (column, label) in zip(grid.flat, _PANELS, strict=True):
        for source, rows in table.groupby("source", sort=False):
            for average, dashes in _AVERAGES.items():
                values = 100 * rows[f"{column}_{average}"]
                axes.plot(rows["count"], values, dashes, color=_colour(source), gid=f"{source} {average}")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([count for count in _SHOWN if count <= table["count"].max()]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_ylim(0, 102)
        axes.set_title(label, fontsize=9)
        axes.grid()
    for axes in grid[1]:
        axes.set_xlabel("boxes per photo")
    lines = {BOX_NAMES.get(source, source): Line2D([], [], color=_colour(source)) for source in table["source"]}
    for name, dashes in zip(("mean over photos", "all objects"), _AVERAGES.values(), strict=True):
        lines[name] = Line2D([], [], color="black", ls=dashes)
    style.legend_below(figure, lines, 4)
    return figure


def _colour(source: object) -> str:
    return BOX_LOOKS.get(str(source), OTHER_BOXES).colour


@styled
def top_boxes(
    photos: Mapping[str, np.ndarray], boxes: Mapping[str, Sequence[np.ndarray]], ground_truth: Sequence[np.ndarray]
) -> Figure:
    """A contact sheet: a row for each photo, a column for each source with its first ten boxes.

    photos: image id -> uint8 (H, W, 3); boxes: source -> of each photo (n, 4) in [0, 1], best first; ground_truth: of
    each photo its ground-truth boxes. Raises ValueError without a photo.
    """
    if not photos:
        raise ValueError("there are no photos to show boxes on")
    ratios = [image.shape[0] / image.shape[1] for image in photos.values()]
    figure = Figure(figsize=(WIDTH, sum(ratios) * WIDTH / len(boxes) + 0.9))
    grid = figure.subplots(len(photos), len(boxes), squeeze=False, height_ratios=ratios)
    for row, (image_id, image) in enumerate(photos.items()):
        for axes, proposals in zip(grid[row], boxes.values(), strict=True):
            _draw_boxes(axes, image, proposals[row][:10], ground_truth[row])
        grid[row, 0].set_ylabel(image_id, fontsize=SMALL)
    for axes, source in zip(grid[0], boxes, strict=True):
        axes.set_title(BOX_NAMES.get(source, source), fontsize=SMALL)
    lines = {
        "among the first ten, IoU ≥ 0.5 with an object": Line2D([], [], color=HIT_COLOUR, lw=2),
        "other of the first ten": Line2D([], [], color=MISS_COLOUR, lw=1),
        "ground truth (white)": Line2D([], [], color="black", lw=1.2, ls="--"),
    }
    style.legend_below(figure, lines, 3)
    return figure


def _draw_boxes(axes: Axes, image: np.ndarray, boxes: np.ndarray, ground_truth: np.ndarray) -> None:
    """One photo with boxes in [0, 1]: those that miss, ground truth over them, those that hit on top."""
    show_photo(axes, image)
    size = np.tile(image.shape[1::-1], 2)
    hits = np.append(pairwise_iou(boxes, ground_truth), np.zeros((len(boxes), 1)), axis=1).max(axis=1) >= 0.5
    for part, colour, width, dashes in (
        (boxes[~hits], MISS_COLOUR, 0.8, "-"),
        (ground_truth, OBJECT_COLOUR, 1.2, "--"),
        (boxes[hits], HIT_COLOUR, 1.6, "-"),
    ):
        for box in part:
            outline(axes, box * size, colour, width, dashes)


@styled
def recall_curve(rates: Mapping[str, Mapping[Any, float]], iou: float = 0.5) -> Figure:
    """Share of the ground-truth boxes found among the first N proposals, against N, for each source.

    rates: source -> number of proposals (int, or str as JSON has it) -> rate in [0, 1], as `detection_rate` returns
    it; iou: the overlap from which on a box counts as found, for the axis. Raises ValueError without a rate.
    """
    if not any(rates.values()):
        raise ValueError("there are no detection rates to draw: recall.json names no source with proposals")
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    counts, ends = set(), []
    for source, by_count in rates.items():
        curve = sorted((int(count), 100 * rate) for count, rate in by_count.items())
        shade = GREY if source == "random" else style.NEUTRAL
        if curve:
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, marker=BOX_LOOKS.get(source, OTHER_BOXES).marker, color=shade, gid="mean")
            ends.append((y[-1], BOX_NAMES.get(source, source) + " boxes", shade))
            counts |= set(x)
    axes.xaxis.set_major_locator(FixedLocator(_apart(sorted(counts))))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("proposals per photo")
    axes.set_ylabel(f"detection rate (%) at IoU ≥ {iou:g}")
    axes.grid(axis="y")
    style.label_ends(axes, ends)
    style.entitle(figure, findings.recall(rates))
    return figure


def _apart(counts: list[int], factor: float = 1.25) -> list[int]:
    """The counts of a log axis that leave room for their numbers."""
    kept: list[int] = []
    for count in counts:
        if not kept or count >= factor * kept[-1]:
            kept.append(count)
    return kept
