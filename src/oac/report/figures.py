"""The numbers of many runs as figures: mAP of every variant, AP by object size and by frequency of the classes.

Tables of runs are taken as one for each variant, by its key, with the column seed; `tables_by_variant` makes them.
Fractions in, percent on the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oac.report import findings, style, variant_style
from oac.report.formats import interval_text
from oac.report.results import Results, Variant
from oac.report.statistics import t_interval

CLASSES_PER_GROUP, GROUPS = 4, 6
SPREAD = 0.3  # of the way to the next point, over which the points of all variants may lie beside each other
ROW, LOW_ROW, LINE = 0.42, 0.24, 0.14  # inches of a variant's row, of one of many, of a line of its name
MANY_ROWS = 14
NAME_LENGTH = 46  # characters of a line of a variant's name
CLOSE = 1.15  # classes of photos within this factor of each other have one frequency
STEP, LOG_STEP = 0.06, 0.015  # and as far apart as this where there is room: in bins, in logarithms of a count


def tables_by_variant(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Put the tables of a variant's runs below one another, with the column seed: a table by the variant's key.

    tables: by run, method/crops/seed0, those of its ap.csv or of its ap_by_size.csv.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for run, table in tables.items():
        key, _, seed = run.rpartition("/seed")
        parts.setdefault(key, []).append(table.assign(seed=int(seed)))
    return {key: pd.concat(part, ignore_index=True) for key, part in parts.items()}


@style.styled()
def map_by_policy(results: Results) -> Figure:
    """Every variant's mAP, or top-1 of single labels: mean, seeds as small points, 95 % t-interval from 3 seeds on.

    Supervised and random initialisation stand below, and are also vertical lines, their intervals bands. Variants go
    from top to bottom in the order of their first run, so load the metrics in the order of the study file.
    """
    variants = sorted(results.variants, key=lambda variant: variant.is_reference)
    names = [style.wrapped(variant.name, NAME_LENGTH) for variant in variants]
    lines = max(name.count("\n") for name in names) + 1
    height = ROW if len(variants) <= MANY_ROWS else max(LOW_ROW, LINE * lines)
    figure, axes = style.one_panel(1.3 + height * len(variants))
    key = results.metric.key
    for row, variant in enumerate(variants):
        estimate, shade = variant.estimate(key), variant_style.colour(variant)
        variant_style.draw_variant(axes, variant, row, key, upright=False)
        numbers = f"{interval_text(estimate)}  (n = {variant.n})"
        axes.text(1.02, row, numbers, transform=axes.get_yaxis_transform(), va="center", fontsize=style.SMALL)
        if variant.is_reference:
            axes.axvline(estimate.mean, color=shade, lw=1.2, zorder=1, gid="reference")
            if estimate.half_width is not None:
                low, high = np.clip([estimate.low, estimate.high], *style.PERCENT)
                axes.axvspan(low, high, color=shade, alpha=0.12, lw=0, zorder=0.5)
    style.name_rows(axes, names, fontsize=9 if len(variants) <= MANY_ROWS else style.SMALL)
    axes.set_xlabel(f"{results.metric.header} of a linear probe.  {variant_style.READING}", fontsize=style.SMALL)
    style.entitle(figure, findings.highest(results))
    return figure


@style.styled()
def ap_by_size(variants: Sequence[Variant], tables: findings.Tables) -> Figure:
    """Mean AP by the area of the largest object of a class in the photo (figure 3, left, of the paper).

    Of the variants those are shown that `in_figure_3` chooses. tables: ap_by_size.csv of their runs, with the columns
    low, high (area as a share of the photo), ap and positives. Bins without a positive are left out.
    """
    chosen = in_figure_3(variants)
    rows = pd.concat([tables[variant.key] for variant in chosen])
    bins = rows.dropna(subset="ap").drop_duplicates("low").sort_values("low")
    if bins.empty:
        raise ValueError("no size bin has an AP: the test split has no positive label with a box")
    figure, axes = style.one_panel(3.4)
    ends = []
    for number, (variant, face) in enumerate(zip(chosen, variant_style.faces(chosen), strict=True)):
        ap = tables[variant.key].pivot_table(index="seed", columns="low", values="ap").reindex(columns=bins.low)
        ends.append(_draw_curve(axes, variant, _beside(np.arange(len(bins)), number, len(chosen), STEP), ap, face))
    ticks = [f"{100 * row.low:.3g}–{100 * row.high:.3g}\n({row.positives:,})" for row in bins.itertuples(index=False)]
    axes.set_xticks(range(len(bins)), ticks)
    axes.set_xlabel("area of the largest object of the class, % of the photo (positive labels)")
    _finish_ap_axes(axes, ends)
    style.entitle(figure, findings.by_size(chosen, tables, list(bins.low)))
    return figure


@style.styled()
def ap_by_frequency(variants: Sequence[Variant], tables: findings.Tables) -> Figure:
    """AP by the number of training photos of a class (figure 3, right, of the paper).

    Small points are classes (mean over seeds); the curve joins means over groups of equally many classes, or the
    classes themselves where there are fewer than eight. tables: ap.csv of the runs; variants: as in `ap_by_size`.
    Where all classes have about as many photos there is a sentence in place of the figure.
    """
    chosen = in_figure_3(variants)
    photos = pd.concat([tables[variant.key].dropna(subset="ap").train_images for variant in chosen])
    if not photos.empty and photos.max() <= CLOSE * photos.min():
        few, many = int(photos.min()), int(photos.max())
        return style.nothing(
            f"AP by photos of a class is not drawn: classes have {few:,} to {many:,} training photos, within"
            f" {100 * (CLOSE - 1):.0f} % of each other"
        )
    figure, axes = style.one_panel(3.4)
    axes.set_xscale("log")
    ends = []
    for number, (variant, face) in enumerate(zip(chosen, variant_style.faces(chosen), strict=True)):
        rows = tables[variant.key]
        classes = rows.groupby("label").agg(ap=("ap", "mean"), train_images=("train_images", "first"))
        classes = classes.dropna().sort_values("train_images", kind="stable")
        look: dict[str, Any] = {"color": variant_style.colour(variant), "ms": 3, "alpha": 0.3, "mew": 0}
        axes.plot(classes.train_images, 100 * classes.ap, variant_style.marker(variant), gid="classes", **look)
        few = len(classes) < 2 * CLASSES_PER_GROUP
        count = len(classes) if few else min(len(classes) // CLASSES_PER_GROUP, GROUPS)
        group = pd.Series(np.arange(len(classes)) * count // max(len(classes), 1), index=classes.index)
        images = np.log(classes.train_images).groupby(group).mean().to_numpy()
        per_seed = rows.assign(group=rows.label.map(group)).pivot_table(index="seed", columns="group", values="ap")
        beside = np.exp(_beside(images, number, len(chosen), LOG_STEP))
        ends.append(_draw_curve(axes, variant, beside, per_seed, face))
    style.count_axis(axes.xaxis, pd.concat([tables[variant.key].train_images for variant in chosen]))
    axes.set_xlabel("training photos with the class")
    _finish_ap_axes(axes, ends)
    style.entitle(figure, findings.by_frequency(chosen, tables))
    return figure


def in_figure_3(variants: Sequence[Variant]) -> list[Variant]:
    """MoCo-v2 with scene-scene and object-dilate crops and the references, as in figure 3 of the paper.

    A study of other crop variants shows all that it has. Raises ValueError without a variant.
    """
    style.require("runs", variants)
    shown = ("scene-scene", "object-dilate")
    own = {variant.key for variant in variants if variant.method == "moco_v2" and variant.policy in shown}
    return [variant for variant in variants if not own or variant.is_reference or variant.key in own]


def _beside(x: np.ndarray, number: int, count: int, step: float) -> np.ndarray:
    """Move the points of curve `number` of `count` sideways, so that their intervals do not hide each other.

    x: rising positions in the units of the axis, logarithms on a log one. The curves are `step` apart, or closer:
    all of them lie within SPREAD of the distance from a point to the next, which is so never mistaken for it.
    """
    places = np.unique(x)
    gaps = np.diff(places, prepend=-np.inf, append=np.inf)
    room = np.minimum(gaps[:-1], gaps[1:])[np.searchsorted(places, x)]
    width = np.minimum(SPREAD * room, step * (count - 1))
    return np.asarray(x + width * (number / max(count - 1, 1) - 0.5))


def _draw_curve(axes: Axes, variant: Variant, x: np.ndarray, ap: pd.DataFrame, face: str | None) -> style.End:
    """Means over seeds with their intervals; ap: one row per seed, one column per x. Return the label of its end.

    face: what its markers are filled with, None for its colour.
    """
    known = [place for place, column in enumerate(ap) if ap[column].notna().any()]
    estimates = [t_interval(100 * ap.iloc[:, place].dropna()) for place in known]
    shade = variant_style.colour(variant)
    for at, estimate in zip(x[known], estimates, strict=True):
        style.draw_interval(axes, at, estimate, shade, 1.0, limits=style.PERCENT)
    means = [estimate.mean for estimate in estimates]
    axes.plot(
        x[known],
        means,
        marker=variant_style.marker(variant),
        color=shade,
        mfc=face or shade,
        ls=variant_style.line_style(variant),
        gid="mean",
    )
    return means[-1] if means else float("nan"), f"{variant_style.curve_name(variant)} (n = {len(ap)})", shade


def _finish_ap_axes(axes: Axes, ends: Sequence[style.End]) -> None:
    axes.set_ylabel("AP (%), mean over classes")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    style.label_ends(axes, ends)
