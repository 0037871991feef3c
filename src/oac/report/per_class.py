"""AP of each class against a baseline: a row per class where they can be named, else a scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.report import findings
from oac.report.results import Variant
from oac.report.statistics import t_interval
from oac.report.style import GRAY, PERCENT, SMALL, WIDTH, entitle, ink, name_rows, one_panel, spread, styled
from oac.report.variant_style import colour, faces, marker

NAMED_CLASSES = 40  # more rows than this cannot be read on one page
EXTREMES = 3  # classes named at either end of a scatter
MAX_WITH_INTERVALS = 3  # variants beside the baseline up to which a row can show an interval for each
OFFSET = 0.2  # of a row, between two variants with intervals
COLUMNS = 3
MARGIN = 0.5  # inches of a panel that its labels take, about


@styled()
def ap_per_class(variants: Sequence[Variant], tables: findings.Tables) -> Figure:
    """AP of each class beside that of the baseline, means over seeds.

    Up to 40 classes: a row each, sorted by the mean gain over the baseline, largest on top; with up to three variants
    beside the baseline also the 95 % t-intervals, from 3 seeds on. More classes: a scatter per variant with the
    diagonal. The baseline is MoCo-v2's first scene-scene variant; it is compared with all MoCo-v2 variants with
    object-dilate crops, or where there are none with all that are no reference, that saw as many images. tables:
    ap.csv of the runs. Raises ValueError where the baseline, or what to compare it with, has no runs.
    """
    shown = _baseline_and_others(variants)
    ap = {
        number: 100 * tables[variant.key].dropna(subset="ap").set_index("label").ap
        for number, variant in enumerate(shown)
    }
    table = pd.DataFrame({number: values.groupby("label").mean() for number, values in ap.items()}).dropna()
    widths = pd.DataFrame({number: values.groupby("label").agg(_half_width) for number, values in ap.items()})
    if table.empty:
        others = ", ".join(variant.name for variant in shown[1:])
        raise ValueError(f"no class has an AP with {shown[0].name} and with {others}")
    widths = widths.reindex(table.index)
    table.index = widths.index = tables[shown[0].key].drop_duplicates("label").set_index("label").name[table.index]
    return _rows(table, widths, shown) if len(table) <= NAMED_CLASSES else _scatter(table, shown)


def _baseline_and_others(variants: Sequence[Variant]) -> list[Variant]:
    """The variant that the others are compared with, and these."""
    there = ", ".join(variant.key for variant in variants)
    scenes = [variant for variant in variants if variant.method == "moco_v2" and variant.policy == "scene-scene"]
    if not scenes:
        raise ValueError(f"no runs of the baseline moco_v2 with scene-scene crops; there are runs of {there}")
    baseline = scenes[0]
    others = [
        variant
        for variant in variants
        if not variant.is_reference and variant is not baseline and variant.images_seen == baseline.images_seen
    ]
    dilate = [variant for variant in others if variant.method == "moco_v2" and variant.policy == "object-dilate"]
    if not others:
        raise ValueError(f"no runs of any variant to compare with {baseline.name}; there are runs of {there}")
    return [baseline, *(dilate or others)]


def _half_width(ap: pd.Series) -> float:
    """Half width of the t-interval over seeds; NaN where there is none."""
    width = t_interval(ap).half_width
    return float("nan") if width is None else width


def _rows(table: pd.DataFrame, widths: pd.DataFrame, variants: Sequence[Variant]) -> Figure:
    """A row per class: a point per variant, joined to the baseline's, with its interval where these are few.

    table, widths: means and half widths of intervals; column 0 is the baseline, column k of variants[k].
    """
    gain = table.drop(columns=0).mean(axis=1) - table[0]
    order = np.argsort(-gain.to_numpy(), kind="stable")
    table, widths = table.iloc[order], widths.iloc[order]
    figure, axes = one_panel(1.1 + 0.21 * len(table))
    rows = np.arange(len(table))
    axes.hlines(rows, table.min(axis=1), table.max(axis=1), color="#D0D0D0", lw=1.5, zorder=1)
    known = len(variants) <= MAX_WITH_INTERVALS + 1 and bool(widths.notna().any(axis=None))
    for number, (variant, face) in enumerate(zip(variants, faces(variants), strict=True)):
        label = variant.name + (" (baseline)" if number == 0 else "")
        # One below the other, so that an interval does not hide another.
        beside = rows + known * OFFSET * (number - (len(variants) - 1) / 2)
        mean, half = table[number].to_numpy(), widths[number].to_numpy()
        if known and (has := ~np.isnan(half)).any():
            ends = np.clip((mean - half)[has], *PERCENT), np.clip((mean + half)[has], *PERCENT)
            axes.hlines(beside[has], *ends, color=colour(variant), lw=1.0, zorder=1.5, gid="interval")
        shade = colour(variant)
        look: dict[str, Any] = (
            {"mec": "white", "mew": 0.6} if face is None else {"mfc": face, "mec": shade, "mew": 1.3}
        )
        axes.plot(mean, beside, marker(variant), color=shade, ms=6, label=label, **look)
    name_rows(axes, list(table.index))
    shown = "mean over seeds, bar: 95 % t-interval (n ≥ 3)" if known else "mean over seeds"
    axes.set_xlabel(f"AP (%), {shown}; classes sorted by mean gain over the baseline", fontsize=SMALL)
    entitle(figure, findings.over_baseline(table, variants))
    inks = [ink(colour(variant)) for variant in variants]
    figure.legend(loc="outside lower left", ncols=2, labelcolor=inks, handletextpad=0.3, columnspacing=1.5)
    return figure


def _scatter(table: pd.DataFrame, variants: Sequence[Variant]) -> Figure:
    """A panel per variant: its AP over the baseline's, with the diagonal of equal AP."""
    others = variants[1:]
    columns = min(len(others), COLUMNS)
    rows = -(-len(others) // columns)
    side = min(WIDTH / columns, 4.6)
    figure = Figure(figsize=(side * columns, 0.4 + (side + 0.1) * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    top = 1.04 * float(table.max().max())
    for place, (axes, variant) in enumerate(zip(grid.flat, others, strict=False)):
        axes.set(xlim=(0, top), ylim=(0, top), box_aspect=1)
        _panel(axes, table[0], table[place + 1], variant, 72 * (side - MARGIN))
    for axes in grid.flat[len(others) :]:
        axes.set_visible(False)
    figure.supxlabel(f"AP (%) with {variants[0].name} (baseline), mean over seeds", fontsize=9)
    figure.supylabel("AP (%)", fontsize=9)
    return figure


def _panel(axes: Axes, baseline: pd.Series, ap: pd.Series, variant: Variant, extent: float) -> None:
    """One scatter of about `extent` points each way, the classes with the largest gains and losses named."""
    axes.axline((0, 0), slope=1, color=GRAY, lw=0.8)
    axes.plot(baseline, ap, marker(variant), color=colour(variant), ms=3.5, alpha=0.6, mew=0)
    gain = (ap - baseline).to_numpy()
    title = f"{variant.name}\nabove the baseline in {int((gain > 0).sum())} of {len(gain)} classes"
    axes.set_title(title, fontsize=SMALL, color=ink(colour(variant)))
    order, top = gain.argsort(kind="stable"), axes.get_ylim()[1]
    # On the free side of the diagonal: losses at the right edge, gains at the left.
    for chosen, edge, align in ((order[:EXTREMES], 0.99, "right"), (order[-EXTREMES:], 0.01, "left")):
        chosen = chosen[ap.to_numpy()[chosen].argsort(kind="stable")]
        heights = spread(ap.to_numpy()[chosen] / top, 1.25 * SMALL / extent)
        for place, height in zip(chosen, heights, strict=True):
            axes.annotate(
                ap.index[place],
                (baseline.iloc[place], ap.iloc[place]),
                xytext=(edge, height),
                textcoords="axes fraction",
                ha=align,
                va="center",
                fontsize=SMALL,
                arrowprops={"arrowstyle": "-", "color": GRAY, "lw": 0.6, "shrinkA": 0, "shrinkB": 2},
            )
