"""How well sources of boxes find objects: a page of tables, curves of all sources, and their ten best boxes to see.

Takes the table that `oac.proposals.evidence.measure` makes, with the column source added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from oac.proposals.suppression import overlap
from oac.report.formats import MISSING
from oac.report.style import GREY, SMALL, WIDTH, styled
from oac.report.tables import BOX_NAMES

COLOURS = {
    "bing": "#D55E00",
    "opencv_bing": "#0072B2",
    "edge_boxes": "#009E73",
    "selective_search": "#CC79A7",
    "csv": "#882255",
    "ground_truth": "#000000",
    "random": GREY,
}
FOUND, TRUE, OTHER = "#FFB000", "#FFFFFF", "#648FFF"

_PANELS = (
    ("detection_rate_0.5", "found at IoU ≥ 0.5 (%)"),
    ("detection_rate_0.7", "found at IoU ≥ 0.7 (%)"),
    ("average_recall", "average recall, IoU 0.5 to 1 (%)"),
    ("best_overlap", "IoU of the best box, mean (%)"),
)
_SHOWN = (1, 10, 100, 1000, 5000)


def page(table: pd.DataFrame, study: str, split: str, photos: int, objects: int, left_out: int) -> str:
    """The figures to read, in Markdown: a table for each average, one of the sizes, and how to read them.

    photos, objects: how many were scored; left_out: objects marked difficult, which were not.
    """
    counts = [count for count in _SHOWN if count in set(table["count"])] or sorted(set(table["count"]))
    marked = f"; {left_out} more are marked difficult and left out" if left_out else ""
    lines = [
        f"# Proposals of {study}",
        "",
        f"{photos:,} photos of the {split} split, {objects:,} objects{marked}.",
        "",
    ]
    for average, meaning in (("image", "mean over photos"), ("object", "all objects alike")):
        heads = [
            f"{label} @{'/'.join(map(str, counts))}" for label in ("IoU 0.5", "IoU 0.7", "average recall", "ABO")
        ]
        lines += [f"## Averaged by {average}: {meaning}", "", "| boxes | " + " | ".join(heads) + " |"]
        lines += ["| :--- |" + " ---: |" * len(heads)]
        for source, rows in table.groupby("source", sort=False):
            cells = [_series(rows, f"{column}_{average}", counts) for column, _ in _PANELS]
            lines.append(f"| {BOX_NAMES.get(str(source), source)} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## Classes and sizes", "", f"| boxes | MABO @{'/'.join(map(str, counts))} | boxes a photo, at most |"]
    lines[-1] += " share of the photo, first 10 (%) | s_min |"
    lines.append("| :--- | ---: | ---: | ---: | ---: |")
    for source, rows in table.groupby("source", sort=False):
        ten = rows[rows["count"] <= 10].tail(1)
        area, s_min = (100 * ten["mean_area"], ten["s_min"]) if len(ten) else (pd.Series([np.nan]),) * 2
        lines.append(
            f"| {BOX_NAMES.get(str(source), source)} | {_series(rows, 'mabo', counts)} | {rows['boxes'].max():,.0f} |"
            f" {_number(area.iloc[0], '.1f')} | {_number(s_min.iloc[0], '.2f')} |"
        )
    return "\n".join([*lines, "", "ABO is the mean IoU of an object with its best box, MABO that mean by class.", ""])


def _series(rows: pd.DataFrame, column: str, counts: Sequence[int]) -> str:
    values = rows.set_index("count")[column]
    return " / ".join(_number(values.get(count, np.nan), ".3f") for count in counts)


def _number(value: float, form: str) -> str:
    return MISSING if np.isnan(value) else format(value, form)


@styled
def evidence_curves(table: pd.DataFrame) -> Figure:
    """Detection rates, average recall and best overlap against the number of boxes; a colour for each source.

    Solid is the mean over photos, dashed all objects alike. Raises ValueError for an empty table.
    """
    if table.empty:
        raise ValueError("there is nothing to draw: the table of the evidence is empty")
    figure = Figure(figsize=(WIDTH, 6.2))
    counts = sorted(set(table["count"]))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (column, label) in zip(grid.flat, _PANELS, strict=True):
        for source, rows in table.groupby("source", sort=False):
            for average, dashes in (("image", "-"), ("object", "--")):
                values = 100 * rows[f"{column}_{average}"]
                axes.plot(rows["count"], values, dashes, color=_colour(source), gid=f"{source} {average}")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([count for count in _SHOWN if count <= counts[-1]]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_ylim(0, 102)
        axes.set_title(label, fontsize=9)
        axes.grid(color="#E6E6E6", lw=0.7)
    for axes in grid[1]:
        axes.set_xlabel("boxes per photo")
    sources = list(dict.fromkeys(table["source"]))
    handles = [Line2D([], [], color=_colour(source)) for source in sources]
    names = [BOX_NAMES.get(source, source) for source in sources]
    handles += [Line2D([], [], color="black", ls=dashes) for dashes in ("-", "--")]
    figure.legend(handles, [*names, "mean over photos", "all objects"], loc="outside lower left", ncols=4)
    return figure


def _colour(source: object) -> str:
    return COLOURS.get(str(source), "#8C564B")


@styled
def top_boxes(
    photos: Mapping[str, np.ndarray], boxes: Mapping[str, Sequence[np.ndarray]], truth: Sequence[np.ndarray]
) -> Figure:
    """A contact sheet: a row for each photo, a column for each source with its first ten boxes.

    photos: image id -> uint8 (H, W, 3); boxes: source -> of each photo (n, 4) in [0, 1], best first; truth: of each
    photo its true boxes. Raises ValueError without a photo.
    """
    if not photos:
        raise ValueError("there are no photos to show boxes on")
    height = sum(image.shape[0] / image.shape[1] for image in photos.values()) * WIDTH / len(boxes)
    figure = Figure(figsize=(WIDTH, height + 0.9))
    ratios = [image.shape[0] / image.shape[1] for image in photos.values()]
    grid = figure.subplots(len(photos), len(boxes), squeeze=False, height_ratios=ratios)
    for row, (image_id, image) in enumerate(photos.items()):
        for column, (source, found) in enumerate(boxes.items()):
            _draw_boxes(grid[row, column], image, found[row][:10], truth[row])
            if row == 0:
                grid[row, column].set_title(BOX_NAMES.get(source, source), fontsize=SMALL)
            if column == 0:
                grid[row, column].set_ylabel(image_id, fontsize=SMALL)
    handles = [Line2D([], [], color=FOUND, lw=2), Line2D([], [], color=OTHER, lw=1)]
    handles.append(Line2D([], [], color="black", lw=1.2, ls="--"))
    names = ["among the first ten, IoU ≥ 0.5 with an object", "other of the first ten", "object (white)"]
    figure.legend(handles, names, loc="outside lower left", ncols=3)
    return figure


def _draw_boxes(axes: Axes, image: np.ndarray, boxes: np.ndarray, truth: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    hits = np.append(overlap(boxes, truth), np.zeros((len(boxes), 1)), axis=1).max(axis=1) >= 0.5
    outlines = [
        (box, FOUND, 1.6, "-") if hit else (box, OTHER, 0.8, "-") for box, hit in zip(boxes, hits, strict=True)
    ]
    outlines += [(box, TRUE, 1.2, "--") for box in truth]
    for box, colour, thick, dashes in sorted(outlines, key=lambda outline: outline[2]):
        x, y, right, bottom = box * np.tile([width, height], 2)
        axes.add_patch(Rectangle((x, y), right - x, bottom - y, fill=False, ec=colour, lw=thick, ls=dashes))
