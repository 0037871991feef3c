"""Curves of pretraining: loss and spread of the features of every run, as a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from oac.report import findings
from oac.report.figures import tables_by_variant
from oac.report.results import METHOD_NAMES, Names, Variant, called
from oac.report.style import GRAY, WIDTH, End, label_ends, require, styled
from oac.report.variant_style import colour, curve_name, line_style

SAME_BUDGET = 1.05  # a run that is shorter by its last interval ends at the edge all the same
COLUMNS = {"images_seen", "loss", "chance", "feature_std"}


def histories(
    runs: Mapping[str, Iterable[Mapping[str, Any]]], names: Names | None = None
) -> tuple[list[Variant], dict[str, pd.DataFrame]]:
    """Gather the histories of runs: their variants, and by a variant's key a table with a row per interval.

    runs: by run, method/crops/seed0, the parsed lines of its history.jsonl, the first of which holds the recipe. A
    last interval that is shorter than half of the one before is left out: a mean over a few steps is mostly noise.
    Raises ValueError, naming the run, where the recipe, every interval or a column of COLUMNS is missing.
    """
    variants: dict[str, Variant] = {}
    tables = {}
    for run, lines in runs.items():
        recipe, tables[run] = _history(lines, run)
        method, crops, _ = run.split("/")
        options = recipe.get("crops", {})
        variant = Variant.named(method, crops, options.get("policy"), options.get("boxes"))
        variants.setdefault(variant.key, variant)
    return called(list(variants.values()), names.labels if names else {}), tables_by_variant(tables)


def _history(lines: Iterable[Mapping[str, Any]], run: str) -> tuple[Mapping[str, Any], pd.DataFrame]:
    """The recipe of a run and its intervals."""
    lines = list(lines)
    recipes = [line["recipe"] for line in lines if "recipe" in line]
    table = pd.DataFrame([line for line in lines if "recipe" not in line])
    if not recipes or table.empty:
        raise ValueError(f"the history of {run} has no {'interval' if recipes else 'recipe'}: train it again")
    if missing := COLUMNS - set(table.columns):
        raise ValueError(f"the history of {run} has no column {', '.join(sorted(missing))}: train it again")
    lengths = table.images_seen.diff()
    cut_off = len(lengths) > 2 and lengths.iloc[-1] < lengths.iloc[-2] / 2
    return recipes[-1], table.iloc[:-1] if cut_off else table


@styled()
def training_curves(variants: Sequence[Variant], tables: findings.Tables) -> Figure:
    """Loss beside its chance level (dashed), and feature std, against images seen; a thin line per seed.

    Two panels per method and budget: losses of different objectives do not compare, and labels stand where curves
    end. Where crops of a method have one colour its scene crops are dash-dotted. variants, tables: of `histories`.
    Raises ValueError without a variant.
    """
    require("runs", variants)
    groups = _alike(variants, tables)
    figure = Figure(figsize=(WIDTH, (4.4 if len(groups) <= 2 else 3.0) * len(groups)))
    grid = figure.subplots(2 * len(groups), 1, height_ratios=[1.5, 1.0] * len(groups))
    for shown, loss, feature_std in zip(groups, grid[::2], grid[1::2], strict=True):
        method = shown[0].method
        loss.sharex(feature_std)
        label_ends(loss, [*_draw_chance(loss, shown, tables), *_draw_runs(loss, shown, tables, "loss")])
        ends = _draw_runs(feature_std, shown, tables, "feature_std")
        feature_std.set_ylim(0, max(1.0, feature_std.get_ylim()[1]))
        label_ends(feature_std, ends)
        runs = [run for variant in shown for _, run in tables[variant.key].groupby("seed")]
        budgets = [group for group in groups if group[0].method == method]
        # Two digits, as the last interval of a history may be left out.
        seen = f", about {float(f'{_seen(shown[0], tables):.2g}'):,.0f} images" if len(budgets) > 1 else ""
        loss.set_title(findings.below_chance(METHOD_NAMES.get(method, method) + seen, runs))
        loss.set_ylabel("loss")
        loss.tick_params(labelbottom=False)
        feature_std.set_ylabel("feature std\n(0 collapsed,\n1 spread evenly)")
        feature_std.set_xlabel("images seen")
        feature_std.xaxis.set_major_formatter(EngFormatter(sep=" "))
    return figure


def _alike(variants: Sequence[Variant], tables: findings.Tables) -> list[list[Variant]]:
    """Variants of one method and about one budget together: methods in their order, shorter budgets first."""
    groups: list[list[Variant]] = []
    methods = [variant.method for variant in variants]
    for variant in sorted(variants, key=lambda other: (methods.index(other.method), _seen(other, tables))):
        last = groups[-1][0] if groups else None
        if last and last.method == variant.method and _seen(variant, tables) <= SAME_BUDGET * _seen(last, tables):
            groups[-1].append(variant)
        else:
            groups.append([variant])
    return [sorted(group, key=variants.index) for group in groups]


def _seen(variant: Variant, tables: findings.Tables) -> float:
    """How many images the longest history of a variant is of."""
    return float(tables[variant.key].images_seen.max())


def _draw_chance(axes: Axes, variants: Sequence[Variant], tables: findings.Tables) -> list[End]:
    """The loss of a method that has learnt nothing: one line, or one per variant where it differs between them."""
    levels = {float(tables[variant.key].chance.iloc[-1]): colour(variant) for variant in variants}
    ends = []
    for level, own in levels.items():
        shade = GRAY if len(levels) == 1 else own
        axes.axhline(level, color=shade, lw=1.1, ls="--", gid="chance")
        ends.append((level, f"chance {level:.2f}", shade))
    return ends


def _draw_runs(axes: Axes, variants: Sequence[Variant], tables: findings.Tables, column: str) -> list[End]:
    """One column of the history of every run; the labels of the variants' ends, at the mean of their last values."""
    ends = []
    for variant in variants:
        last = []
        for _, run in tables[variant.key].dropna(subset=column).groupby("seed"):
            look: dict[str, Any] = {"color": colour(variant), "ls": line_style(variant), "lw": 1.0, "alpha": 0.85}
            axes.plot(run.images_seen, run[column], gid="run", **look)
            last.append(run[column].iloc[-1])
        ends.append((float(np.mean(last)) if last else float("nan"), curve_name(variant), colour(variant)))
    axes.margins(x=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return ends
