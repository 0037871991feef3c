"""Curves of training and of proposals, and what a subset holds, as figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, MultipleLocator, StrMethodFormatter

from oac.report import findings
from oac.report.per_class import NAMED_CLASSES
from oac.report.style import (
    BOX_MARKERS,
    GREY,
    NEUTRAL,
    SMALL,
    WIDTH,
    Arm,
    arms_of,
    count_axis,
    entitle,
    label_ends,
    styled,
)
from oac.report.tables import BOX_NAMES, METHOD_NAMES

TAIL = 0.99  # quantile of objects per photo from which on the histogram pools

Ends = list[tuple[float, str, str]]


def history(lines: Iterable[Mapping[str, Any]], *, method: str, crops: str, seed: int) -> pd.DataFrame:
    """Turn one run's history into a table: a row per interval, with method, crops, seed, policy and boxes added.

    lines: the parsed lines of its history.jsonl, the first of which holds the recipe. method, crops, seed: the
    wildcards of its path. A last interval that is shorter than half of the one before is left out: a mean over a few
    steps is mostly noise. Concatenate (pd.concat) the tables of several runs. Raises ValueError, naming the run,
    where the recipe or every interval is missing.
    """
    rows, recipe = [], None
    for line in lines:
        if "recipe" in line:
            recipe = line["recipe"]
        else:
            rows.append(dict(line))
    run = f"{method}/{crops}/seed{seed}"
    if recipe is None or not rows:
        raise ValueError(f"the history of {run} has no {'recipe' if recipe is None else 'interval'}: train it again")
    policy = recipe.get("crops", {})
    keys = {
        "method": method,
        "crops": crops,
        "seed": seed,
        "policy": policy.get("policy"),
        "boxes": policy.get("boxes"),
    }
    table = pd.DataFrame(rows)
    lengths = table.images_seen.diff() if "images_seen" in table else pd.Series(dtype=float)
    if len(lengths) > 2 and lengths.iloc[-1] < lengths.iloc[-2] / 2:
        table, rows = table.iloc[:-1], rows[:-1]
    return table.assign(**{key: pd.Series([value] * len(rows), dtype=object) for key, value in keys.items()})


@styled
def training_curves(histories: pd.DataFrame) -> Figure:
    """Loss beside its chance level (dashed), and feature std, against images seen; a thin line per seed.

    Two panels per method, since neither losses nor budgets of different objectives compare. Where crops of a method
    have one colour its scene crops are dash-dotted. histories: pd.concat of `history(...)` of the runs to show, with
    the columns images_seen, loss, chance and feature_std.
    Raises ValueError where one of them or every run is missing.
    """
    arms = arms_of(histories)
    missing = {"images_seen", "loss", "chance", "feature_std"} - set(histories.columns)
    if missing:
        raise ValueError(f"the histories have no column {', '.join(sorted(missing))}: train the runs again")
    methods = list(dict.fromkeys(arm.method for arm in arms))
    figure = Figure(figsize=(WIDTH, 4.4 * len(methods)))
    grid = figure.subplots(2 * len(methods), 1, height_ratios=[1.5, 1.0] * len(methods))
    for method, loss, feature_std in zip(methods, grid[::2], grid[1::2], strict=True):
        shown = [arm for arm in arms if arm.method == method]
        loss.sharex(feature_std)
        _draw_monitor(loss, shown, "loss", _draw_chance(loss, shown))
        _draw_monitor(feature_std, shown, "feature_std", [])
        loss.set_title(findings.below_chance(METHOD_NAMES.get(method, method), shown))
        loss.set_ylabel("loss")
        loss.tick_params(labelbottom=False)
        feature_std.set_ylabel("feature std\n(0 collapsed,\n1 spread evenly)")
        feature_std.set_xlabel("images seen")
        feature_std.xaxis.set_major_formatter(EngFormatter(sep=" "))
    return figure


def _draw_chance(axes: Axes, arms: list[Arm]) -> Ends:
    """The loss of a method that has learnt nothing: one line, or one per arm where it differs between them."""
    levels = {float(arm.rows.chance.iloc[-1]): arm.colour for arm in arms}
    ends = []
    for level, colour in levels.items():
        colour = GREY if len(levels) == 1 else colour
        axes.axhline(level, color=colour, lw=1.1, ls="--", gid="chance")
        ends.append((level, f"chance {level:.2f}", colour))
    return ends


def _draw_monitor(axes: Axes, arms: list[Arm], column: str, ends: Ends) -> None:
    """One column of the history of every run, named at its end."""
    for arm in arms:
        last = []
        for _, run in arm.rows.groupby("seed"):
            run = run.dropna(subset=column)
            axes.plot(run.images_seen, run[column], color=arm.colour, ls=arm.line, lw=1.0, alpha=0.85, gid="run")
            last += run[column].tail(1).tolist()
        ends = [*ends, (float(np.mean(last)) if last else float("nan"), arm.curve_name, arm.colour)]
    if column == "feature_std":
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    axes.margins(x=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    label_ends(axes, ends)


@styled
def recall_curve(rates: Mapping[str, Mapping[Any, float]], iou: float = 0.5) -> Figure:
    """Share of the true boxes found among the first N proposals, against N, for each source.

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
        colour = GREY if source == "random" else NEUTRAL
        if curve:
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, marker=BOX_MARKERS.get(source, "o"), color=colour, gid="mean")
            ends.append((y[-1], BOX_NAMES.get(source, source) + " boxes", colour))
            counts |= set(x)
    axes.xaxis.set_major_locator(FixedLocator(_apart(sorted(counts))))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("proposals per photo")
    axes.set_ylabel(f"detection rate (%) at IoU ≥ {iou:g}")
    axes.grid(axis="y", color="#E6E6E6", lw=0.7)
    label_ends(axes, ends)
    entitle(figure, findings.found_by(rates))
    return figure


def _apart(counts: list[int], factor: float = 1.25) -> list[int]:
    """The counts of a log axis that leave room for their numbers."""
    kept: list[int] = []
    for count in counts:
        if not kept or count >= factor * kept[-1]:
            kept.append(count)
    return kept


@styled
def images_per_class(classes: pd.DataFrame) -> Figure:
    """Training photos of each class, most frequent first: named bars up to 40 classes, else a curve on a log axis.

    classes: classes.csv (label, name, train_images, train_boxes). Raises ValueError where it has no row.
    """
    if classes.empty:
        raise ValueError("there are no classes to draw: classes.csv is empty")
    ranked = classes.sort_values("train_images", ascending=False, kind="stable", ignore_index=True)
    named = len(ranked) <= NAMED_CLASSES
    figure = Figure(figsize=(WIDTH, 0.8 + 0.2 * len(ranked) if named else 3.4))
    axes = figure.add_subplot()
    entitle(figure, findings.class_sizes(ranked.train_images))
    if not named:
        _rank_curve(axes, ranked)
        return figure
    bars = axes.barh(range(len(ranked)), ranked.train_images, color=NEUTRAL, height=0.7)
    axes.bar_label(bars, [f"{count:,}" for count in ranked.train_images], padding=3, fontsize=SMALL)
    axes.set_yticks(range(len(ranked)), ranked.name)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("training photos")
    return figure


def _rank_curve(axes: Axes, ranked: pd.DataFrame) -> None:
    """Photos over rank, with the most frequent, the middle and the rarest class named."""
    axes.plot(ranked.index + 1, ranked.train_images, color=NEUTRAL)
    axes.set_yscale("log")
    for place in (0, len(ranked) // 2, len(ranked) - 1):
        row, last = ranked.iloc[place], place == len(ranked) - 1
        axes.plot(place + 1, row.train_images, "o", color=NEUTRAL, ms=4)
        axes.annotate(
            f"{row['name']}: {row.train_images:,}",
            (place + 1, row.train_images),
            xytext=(-6, -4) if last else (6, 4),
            textcoords="offset points",
            ha="right" if last else "left",
            va="top" if last else "bottom",
            fontsize=SMALL,
        )
    axes.margins(y=0.12)
    count_axis(axes.yaxis, ranked.train_images)
    axes.set_xlabel(f"rank of the class (of {len(ranked)})")
    axes.set_ylabel("training photos")


@styled
def objects_per_image(boxes: pd.DataFrame, image_ids: Sequence[str] | None = None) -> Figure:
    """Share of the photos with so many boxes; the last bar pools the hundredth with the most.

    boxes: boxes.parquet. image_ids: the photos to count, for example those of the training split, also those
    without a box; None: every photo in boxes. Raises ValueError where there is none.
    """
    counts = boxes.image_id.value_counts(sort=False)
    counts = counts if image_ids is None else counts.reindex(image_ids, fill_value=0)
    if counts.empty:
        raise ValueError("there are no photos to count objects of")
    last = max(int(np.ceil(counts.quantile(TAIL))), 1)
    share = np.bincount(np.minimum(counts, last), minlength=last + 1) / len(counts)
    first = int(np.flatnonzero(share)[0])
    figure = Figure(figsize=(WIDTH, 2.8))
    axes = figure.add_subplot()
    axes.bar(np.arange(first, last + 1), 100 * share[first:], color=NEUTRAL, width=0.8)
    axes.axvline(counts.mean(), color="black", lw=1.0, ls="--")
    axes.annotate(
        f"mean {counts.mean():.1f}",
        (counts.mean(), 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, 4),
        textcoords="offset points",
        va="bottom",
        fontsize=SMALL,
    )
    axes.xaxis.set_major_locator(MultipleLocator(1) if last - first <= 20 else MaxNLocator(12, integer=True))
    pooled = f"; the last bar is {last} and more" if counts.max() > last else ""
    axes.set_xlabel(f"objects in a photo ({len(counts):,} photos{pooled})")
    axes.set_ylabel("photos (%)")
    entitle(figure, findings.objects_a_photo(counts))
    return figure
