"""The numbers of many runs as figures: mAP, AP per class, AP by object size and by frequency.

Every function takes tables and returns a matplotlib figure; `save` writes it. Nothing here reads a file.

An AP table is long: the rows of all runs one below the other, each with the run it belongs to in the columns
method, crops, seed, policy and boxes; `stack` makes one. Fractions in, percent on the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oac.report import findings
from oac.report.formats import half_width, points
from oac.report.headline import headline
from oac.report.per_class import ap_per_class
from oac.report.statistics import Interval, t_interval
from oac.report.style import SMALL, WIDTH, Arm, arms_of, count_axis, entitle, label_ends, save, spread, styled
from oac.report.tables import collect, percent

__all__ = ["ap_by_frequency", "ap_by_size", "ap_per_class", "map_by_policy", "save", "stack"]

CLASSES_PER_GROUP, GROUPS = 4, 6
SPREAD = 0.3  # of the way to the next point, over which the points of all arms may lie beside each other
STEP, LOG_STEP = 0.06, 0.015  # and as far apart as this where there is room: in bins, in logarithms of a count
REFERENCE_GAP = 0.34  # between the names of two references, in widths of the axes
RUN_COLUMNS = ["method", "crops", "seed", "policy", "boxes", "images_seen"]


def stack(metrics: Sequence[Mapping[str, Any]], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the tables of runs below one another, in the order given.

    metrics: contents of metrics.json files. tables: of the same runs in the same order, pd.read_csv of their
    ap.csv, or of their ap_by_size.csv. Returns their columns and those of RUN_COLUMNS. Raises
    ValueError where the two differ in number, and as `collect` does.
    """
    runs = collect(metrics)
    if len(runs) != len(tables):
        raise ValueError(f"{len(runs)} runs and {len(tables)} tables: pass one table per run, in the same order")
    keys = runs[RUN_COLUMNS].to_dict("records")
    # Assigned as lists of objects, or pandas would turn a None into NaN.
    parts = [
        table.assign(
            **{key: pd.Series([value] * len(table), index=table.index, dtype=object) for key, value in run.items()}
        )
        for run, table in zip(keys, tables, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


@styled
def map_by_policy(runs: pd.DataFrame) -> Figure:
    """Every crop line's mAP, or top-1 of single labels: mean, seeds as small points, 95 % t-interval from 3 seeds on.

    Supervised and random initialisation are vertical lines, their intervals bands. runs:
    `oac.report.tables.collect(...)`; lines go from top to bottom in the order of their first row, so pass the
    metrics in the order of the study file. Raises ValueError without runs, or with runs of several studies.
    """
    arms = arms_of(runs)
    if runs.study.nunique() > 1:
        raise ValueError(f"mAP of several studies in one figure: {', '.join(runs.study.unique())}; draw one each")
    lines = [arm for arm in arms if arm.trained]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * max(len(lines), 1)))
    axes = figure.add_subplot()
    for row, arm in enumerate(lines):
        _draw_line(axes, arm, row)
    _draw_references(axes, [arm for arm in arms if not arm.trained])
    axes.set_ylim(max(len(lines), 1) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [arm.name for arm in lines], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#E6E6E6", lw=0.7)
    axes.set_axisbelow(True)
    legend = "Large: mean, bar: 95 % t-interval (n ≥ 3), small: seeds"
    axes.set_xlabel(f"{headline(runs).header} of a linear probe.  {legend}", fontsize=SMALL)
    entitle(figure, findings.highest(arms, runs.study.iloc[0]))
    return figure


def _draw_line(axes: Axes, arm: Arm, row: int) -> None:
    """One line of the dot plot, its numbers at the right."""
    values = percent(arm.rows)
    estimate = t_interval(values)
    if estimate.half_width is not None:
        axes.plot([estimate.low, estimate.high], [row, row], color=arm.colour, lw=2.4, solid_capstyle="butt")
    axes.plot(estimate.mean, row, arm.marker, color=arm.colour, ms=8, mec="white", mew=0.8, gid="mean")
    if len(values) > 1:
        axes.plot(values, [row + 0.24] * len(values), arm.marker, color=arm.colour, ms=3, alpha=0.7, mew=0)
    axes.text(
        1.02,
        row,
        f"{_in_words(estimate)}  (n = {len(values)})",
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=SMALL,
    )


def _draw_references(axes: Axes, arms: list[Arm]) -> None:
    """A vertical line over all crop lines for each arm, seeds as ticks at its top, named above the axes."""
    arms = sorted(arms, key=lambda arm: t_interval(percent(arm.rows)).mean)
    estimates = [t_interval(percent(arm.rows)) for arm in arms]
    for arm, estimate in zip(arms, estimates, strict=True):
        if estimate.half_width is not None:
            axes.axvspan(estimate.low, estimate.high, color=arm.colour, alpha=0.12, lw=0, zorder=0.5)
        axes.axvline(estimate.mean, color=arm.colour, lw=1.2, zorder=1, gid="reference")
        if len(values := percent(arm.rows)) > 1:
            top = axes.get_xaxis_transform()
            axes.plot(values, [0.985] * len(values), "D", color=arm.colour, ms=3, alpha=0.7, mew=0, transform=top)
    axes.set_xlim(axes.get_xlim())
    low, high = axes.get_xlim()
    at = [(estimate.mean - low) / (high - low) for estimate in estimates]
    places = zip(arms, estimates, at, spread(at, REFERENCE_GAP) if at else (), strict=True)
    for arm, estimate, start, stop in places:
        axes.plot([start, stop], [1.0, 1.035], color=arm.colour, lw=0.8, transform=axes.transAxes, clip_on=False)
        words = f"{arm.name}\n{_in_words(estimate)}  (n = {len(arm.rows)})"
        axes.text(
            stop, 1.04, words, transform=axes.transAxes, ha="center", va="bottom", fontsize=SMALL, color=arm.colour
        )


def _in_words(estimate: Interval) -> str:
    return points(estimate.mean) + ("" if estimate.half_width is None else f" {half_width(estimate.half_width)}")


@styled
def ap_by_size(sizes: pd.DataFrame, arms: Sequence[tuple[str, str]] | None = None) -> Figure:
    """Mean AP by the area of the largest object of a class in the photo (figure 3, left, of the paper).

    sizes: `stack(metrics, ap_by_size.csv tables)`, with the columns low, high (area as a share of the photo),
    ap and positives. arms: (method, crops) pairs; default the scene-scene and object-dilate lines of MoCo-v2,
    supervised and random initialisation. Bins without a positive are left out.
    """
    chosen = choose_arms(sizes, arms)
    bins = sizes.dropna(subset="ap").drop_duplicates("low").sort_values("low")
    if bins.empty:
        raise ValueError("no size bin has an AP: the test split has no positive label with a box")
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.add_subplot()
    ends = []
    for number, arm in enumerate(chosen):
        ap = arm.rows.pivot_table(index="seed", columns="low", values="ap").reindex(columns=bins.low)
        ends.append(_draw_curve(axes, arm, _beside(np.arange(len(bins)), number, len(chosen), STEP), ap))
    ticks = [f"{100 * row.low:.3g}–{100 * row.high:.3g}\n({row.positives:,})" for row in bins.itertuples(index=False)]
    axes.set_xticks(range(len(bins)), ticks)
    axes.set_xlabel("area of the largest object of the class, % of the photo (positive labels)")
    _finish_ap_axes(axes, ends)
    entitle(figure, findings.by_size(chosen, list(bins.low)))
    return figure


@styled
def ap_by_frequency(ap: pd.DataFrame, arms: Sequence[tuple[str, str]] | None = None) -> Figure:
    """AP by the number of training photos of a class (figure 3, right, of the paper).

    Small points are classes (mean over seeds); the curve joins means over groups of equally many classes, or the
    classes themselves where there are fewer than eight. ap: `stack(metrics, ap.csv tables)`; arms: as in
    `ap_by_size`.
    """
    chosen = choose_arms(ap, arms)
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    ends = []
    for number, arm in enumerate(chosen):
        classes = arm.rows.groupby("label").agg(ap=("ap", "mean"), train_images=("train_images", "first"))
        classes = classes.dropna().sort_values("train_images", kind="stable")
        axes.plot(
            classes.train_images,
            100 * classes.ap,
            arm.marker,
            color=arm.colour,
            ms=3,
            alpha=0.3,
            mew=0,
            gid="classes",
        )
        count = (
            len(classes) if len(classes) < 2 * CLASSES_PER_GROUP else min(len(classes) // CLASSES_PER_GROUP, GROUPS)
        )
        group = pd.Series(np.arange(len(classes)) * count // max(len(classes), 1), index=classes.index)
        images = np.log(classes.train_images).groupby(group).mean().to_numpy()
        per_seed = arm.rows.assign(group=arm.rows.label.map(group)).pivot_table(
            index="seed", columns="group", values="ap"
        )
        ends.append(_draw_curve(axes, arm, np.exp(_beside(images, number, len(chosen), LOG_STEP)), per_seed))
    count_axis(axes.xaxis, ap.train_images)
    axes.set_xlabel("training photos with the class")
    _finish_ap_axes(axes, ends)
    entitle(figure, findings.by_frequency(chosen))
    return figure


def choose_arms(table: pd.DataFrame, keys: Sequence[tuple[str, str]] | None) -> list[Arm]:
    """The arms with these (method, crops) keys, in this order; by default those of figure 3 of the paper.

    Raises ValueError, naming what there is, where one is missing or none is left.
    """
    found = {(arm.method, arm.crops): arm for arm in arms_of(table)}
    there = ", ".join("/".join(key) for key in found)
    if keys is None:
        shown = ("scene-scene", "object-dilate")
        keys = [
            key for key, arm in found.items() if not arm.trained or (arm.method == "moco_v2" and arm.policy in shown)
        ]
        # A study of other crop lines, or of one, shows what it has.
        keys = keys if any(found[key].trained for key in keys) else list(found)
    missing = ["/".join(key) for key in keys if key not in found]
    if missing or not keys:
        raise ValueError(f"no runs of {', '.join(missing) or 'the arms shown by default'}; there are runs of {there}")
    return [found[key] for key in keys]


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


def _draw_curve(axes: Axes, arm: Arm, x: np.ndarray, ap: pd.DataFrame) -> tuple[float, str, str]:
    """Means over seeds with their intervals; ap: one row per seed, one column per x. Return the label of its end."""
    estimates = [t_interval(list(100 * ap[column].dropna())) if ap[column].notna().any() else None for column in ap]
    known = [(at, estimate) for at, estimate in zip(x, estimates, strict=True) if estimate is not None]
    for at, estimate in known:
        if estimate.half_width is not None:
            axes.plot([at, at], [estimate.low, estimate.high], color=arm.colour, lw=1.0)
    means = [estimate.mean for _, estimate in known]
    axes.plot([at for at, _ in known], means, marker=arm.marker, color=arm.colour, ls=arm.line, gid="mean")
    return means[-1] if means else float("nan"), f"{arm.curve_name} (n = {arm.rows.seed.nunique()})", arm.colour


def _finish_ap_axes(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    axes.set_ylabel("AP (%), mean over classes")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    label_ends(axes, ends)
