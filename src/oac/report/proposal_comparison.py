"""How well sources of proposals find objects: a page of tables, curves of all sources, and their ten best boxes.

Takes the table that `oac.proposals.comparison.score_proposals` makes, with the column source added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.proposals.suppression import pairwise_iou
from oac.report import findings, style, variant_style
from oac.report.formats import MISSING
from oac.report.photo_panels import outline, show_photo
from oac.report.results import BOX_NAMES, boxes_of

HIT_COLOUR, OBJECT_COLOUR, MISS_COLOUR = "#FFB000", "#FFFFFF", "#648FFF"

_PANELS = (
    ("detection_rate_0.5", "IoU 0.5", "detection rate at IoU ≥ 0.5 (%)"),
    ("detection_rate_0.7", "IoU 0.7", "detection rate at IoU ≥ 0.7 (%)"),
    ("average_recall", "average recall", "average recall, IoU 0.5 to 1 (%)"),
    ("best_overlap", "ABO", "IoU of the best box, mean (%)"),
)
_AVERAGES = {"image": "-", "object": "--"}
_SHOWN = (1, 10, 100, 1000, 5000)
_NAMED = 10  # boxes that the title speaks of, as many as training crops around


def page(table: pd.DataFrame, study: str, split: str, photos: int, objects: int, left_out: int) -> str:
    """The numbers in Markdown: a table for each average, one of the sizes, and how to read them.

    photos, objects: how many were scored; left_out: objects marked difficult, which were not.
    """
    counts = [count for count in _SHOWN if count in set(table["count"])] or sorted(set(table["count"]))
    at = f"@{'/'.join(map(str, counts))}"
    sources = {BOX_NAMES.get(source, source): rows for source, rows in table.groupby("source", sort=False)}
    marked = f"; {left_out} more are marked difficult and left out" if left_out else ""
    sections: dict[str, dict[str, dict[str, str]]] = {}
    for average, meaning in (("image", "mean over photos"), ("object", "all objects alike")):
        sections[f"Averaged by {average}: {meaning}"] = {
            name: {f"{label} {at}": _series(rows, f"{column}_{average}", counts) for column, label, _ in _PANELS}
            for name, rows in sources.items()
        }
    sections["Classes and sizes"] = {
        name: {
            f"MABO {at}": _series(rows, "mabo", counts),
            "boxes a photo, at most": f"{rows['boxes'].max():,.0f}",
            "share of the photo, first 10 (%)": _number(100 * rows["mean_area"][rows["count"] <= 10], ".1f"),
            "s_min": _number(rows["s_min"][rows["count"] <= 10], ".2f"),
        }
        for name, rows in sources.items()
    }
    lines = [f"# Proposals of {study}", f"{photos:,} photos of the {split} split, {objects:,} objects{marked}."]
    for title, cells in sections.items():
        heads = list(next(iter(cells.values())))
        table_rows = [["boxes", *heads], [":---", *["---:"] * len(heads)]]
        table_rows += [[name, *row.values()] for name, row in cells.items()]
        lines += [f"## {title}", "\n".join(f"| {' | '.join(row)} |" for row in table_rows)]
    return "\n\n".join([*lines, "ABO is the mean IoU of an object with its best box, MABO that mean by class.\n"])


def _series(rows: pd.DataFrame, column: str, counts: Sequence[int]) -> str:
    return " / ".join(_number(rows[column][rows["count"] == count], ".3f") for count in counts)


def _number(values: pd.Series, form: str) -> str:
    """The last of the values, if there is one."""
    return MISSING if values.empty or np.isnan(values.iloc[-1]) else format(values.iloc[-1], form)


@style.styled()
def comparison_curves(table: pd.DataFrame) -> Figure:
    """Detection rates, average recall and best overlap against the number of boxes; a colour for each source.

    Solid is the mean over photos, dashed all objects alike. The title says what the first ten boxes find, or as many
    as all sources have. Raises ValueError for an empty table.
    """
    style.require("rates of proposals", table)
    figure = Figure(figsize=(style.WIDTH, 6.2))
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (column, _, label) in zip(grid.flat, _PANELS, strict=True):
        for source, rows in table.groupby("source", sort=False):
            for average, dashes in _AVERAGES.items():
                values = 100 * rows[f"{column}_{average}"]
                axes.plot(rows["count"], values, dashes, color=_colour(source), gid=f"{source} {average}")
        _label_counts(axes, [count for count in _SHOWN if count <= table["count"].max()])
        axes.set_ylim(0, 102)
        axes.set_title(label, fontsize=9)
        axes.grid()
    for axes in grid[1]:
        axes.set_xlabel("boxes per photo")
    looks = {BOX_NAMES.get(source, source): {"color": _colour(source)} for source in table["source"]}
    for name, dashes in zip(("mean over photos", "all objects"), _AVERAGES.values(), strict=True):
        looks[name] = {"color": "black", "ls": dashes}
    style.legend_below(figure, looks, 4)
    named = table[table["count"] == _NAMED] if _NAMED in set(table["count"]) else table
    style.entitle(
        figure,
        findings.recall(
            {
                str(source): dict(zip(rows["count"], rows["detection_rate_0.5_image"], strict=True))
                for source, rows in named.groupby("source", sort=False)
            }
        ),
    )
    return figure


def _label_counts(axes: Axes, counts: Sequence[int]) -> None:
    """Make the x axis a log axis with these counts, rising, as far as they leave room for each other's numbers."""
    axes.set_xscale("log")
    ticks = [count for before, count in pairwise([0, *counts]) if count >= 1.25 * before]
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.minorticks_off()


def _colour(source: object) -> str:
    return variant_style.BOX_LOOKS.get(str(source), variant_style.OTHER_BOXES).colour


@style.styled()
def top_boxes(
    photos: Mapping[str, np.ndarray], boxes: Mapping[str, Sequence[np.ndarray]], ground_truth: Sequence[np.ndarray]
) -> Figure:
    """A contact sheet: a row for each photo, a column for each source with its first ten boxes.

    photos: image id -> uint8 (H, W, 3); boxes: source -> of each photo (n, 4) in [0, 1], best first; ground_truth: of
    each photo its ground-truth boxes. Raises ValueError without a photo.
    """
    style.require("photos", photos)
    ratios = [image.shape[0] / image.shape[1] for image in photos.values()]
    figure = Figure(figsize=(style.WIDTH, sum(ratios) * style.WIDTH / len(boxes) + 0.9))
    grid = figure.subplots(len(photos), len(boxes), squeeze=False, height_ratios=ratios)
    for row, (image_id, image) in enumerate(photos.items()):
        for axes, proposals in zip(grid[row], boxes.values(), strict=True):
            _draw_boxes(axes, image, proposals[row][:10], ground_truth[row])
        grid[row, 0].set_ylabel(image_id, fontsize=style.SMALL)
    for axes, source in zip(grid[0], boxes, strict=True):
        axes.set_title(BOX_NAMES.get(source, source), fontsize=style.SMALL)
    looks = {
        "among the first ten, IoU ≥ 0.5 with an object": {"color": HIT_COLOUR, "lw": 2},
        "other of the first ten": {"color": MISS_COLOUR, "lw": 1},
        "ground truth (white)": {"color": "black", "lw": 1.2, "ls": "--"},
    }
    style.legend_below(figure, looks, 3)
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


@style.styled()
def recall_curve(rates: Mapping[str, Mapping[Any, float]], iou: float = 0.5) -> Figure:
    """Share of a photo's ground-truth boxes found among the first N proposals, mean over photos, against N.

    A curve for each source. rates: source -> number of proposals (int, or str as JSON has it) -> rate in [0, 1], as
    `detection_rate` returns it; iou: the overlap from which on a box counts as found, for the axis. Raises ValueError
    without a rate.
    """
    rates = {source: by_count for source, by_count in rates.items() if by_count}
    style.require("detection rates", rates)
    figure, axes = style.one_panel(3.2)
    counts, ends = set(), []
    for source, by_count in rates.items():
        curve = sorted((int(count), 100 * rate) for count, rate in by_count.items())
        shade = style.GRAY if source == "random" else style.NEUTRAL
        x, y = zip(*curve, strict=True)
        axes.plot(
            x,
            y,
            marker=variant_style.BOX_LOOKS.get(source, variant_style.OTHER_BOXES).marker,
            color=shade,
            gid="mean",
        )
        ends.append((y[-1], boxes_of(source), shade))
        counts |= set(x)
    _label_counts(axes, sorted(counts))
    axes.set_ylim(0, 102)
    axes.set_xlabel("proposals per photo")
    axes.set_ylabel(f"objects found (%) at IoU ≥ {iou:g},\nmean over photos")
    axes.grid(axis="y")
    style.label_ends(axes, ends)
    style.entitle(figure, findings.recall(rates))
    return figure
