"""AP of each class against a baseline: a row per class where they can be named, else a scatter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.report import findings
from oac.report.statistics import t_interval
from oac.report.style import GREY, SMALL, WIDTH, Arm, arms_of, entitle, ink, spread, styled

NAMED_CLASSES = 40  # more rows than this cannot be read on one page
EXTREMES = 3  # classes named at either end of a scatter
MOST_INTERVALS = 3  # arms beside the baseline up to which a row can show an interval for each
ASIDE = 0.2  # of a row, between two arms with intervals
COLUMNS = 3
MARGIN = 0.5  # inches of a panel that its labels take, about


@styled
def ap_per_class(
    ap: pd.DataFrame, arms: Sequence[tuple[str, str]] | None = None, baseline: tuple[str, str] | None = None
) -> Figure:
    """AP of each class beside that of the baseline, means over seeds.

    Up to 40 classes: a row each, sorted by the mean gain over the baseline, largest on top; with up to three arms
    beside the baseline also the 95 % t-intervals, from 3 seeds on. More classes: a scatter per arm with the diagonal.
    ap: `oac.report.figures.stack(metrics, ap.csv tables)`. arms, baseline: (method, crops);
    default of arms: all MoCo-v2 lines with object-dilate crops, or where there are none all other trained lines, that
    saw as many images as the baseline;
    of baseline: the first MoCo-v2 line with scene-scene crops. Raises ValueError where one of them has no runs.
    """
    found = {(arm.method, arm.crops): arm for arm in arms_of(ap)}
    reference = _baseline(found, baseline)
    chosen = _arms(found, arms, reference)
    shown = [reference, *chosen]
    table = pd.DataFrame({number: 100 * arm.rows.groupby("label").ap.mean() for number, arm in enumerate(shown)})
    widths = pd.DataFrame({number: _half_widths(arm) for number, arm in enumerate(shown)}).reindex(table.index)
    table.index = pd.Index(ap.drop_duplicates("label").set_index("label").name.reindex(table.index))
    widths.index = table.index
    table = table.dropna()
    if table.empty:
        raise ValueError(f"no class has an AP with {reference.name} and with {', '.join(arm.name for arm in chosen)}")
    return _rows(table, widths, shown) if len(table) <= NAMED_CLASSES else _scatter(table, shown)


def _baseline(found: dict[tuple[str, str], Arm], key: tuple[str, str] | None) -> Arm:
    """Return the arm the others are compared with."""
    if key is None:
        key = next((k for k, arm in found.items() if arm.method == "moco_v2" and arm.policy == "scene-scene"), None)
    if key not in found:
        wanted = "/".join(key) if key else "moco_v2 with scene-scene crops"
        raise ValueError(f"no runs of the baseline {wanted}; there are runs of {', '.join(map('/'.join, found))}")
    return found[key]


def _arms(found: dict[tuple[str, str], Arm], keys: Sequence[tuple[str, str]] | None, baseline: Arm) -> list[Arm]:
    """Return the arms that are compared with the baseline."""
    if keys is None:
        others = {key: arm for key, arm in found.items() if arm.trained and arm is not baseline}
        others = {key: arm for key, arm in others.items() if _budget(arm) == _budget(baseline)}
        dilate = [key for key, arm in others.items() if arm.method == "moco_v2" and arm.policy == "object-dilate"]
        keys = dilate or list(others)
    missing = ["/".join(key) for key in keys if key not in found]
    if missing or not keys:
        raise ValueError(
            f"no runs of {', '.join(missing) or 'any arm'} to compare with {baseline.name}; "
            f"there are runs of {', '.join(map('/'.join, found))}"
        )
    return [found[key] for key in keys]


def _budget(arm: Arm) -> int:
    return int(arm.rows.images_seen.max())


def _half_widths(arm: Arm) -> pd.Series:
    """Half width of the t-interval of each class's AP over seeds, in percent; NaN where there is none."""
    found = {
        label: t_interval(list(100 * ap)).half_width for label, ap in arm.rows.dropna(subset="ap").groupby("label").ap
    }
    return pd.Series(found, dtype=float)


def _rows(table: pd.DataFrame, widths: pd.DataFrame, arms: list[Arm]) -> Figure:
    """A row per class: a point per arm, joined to the baseline's, with its interval where these are few.

    table, widths: means and half widths of intervals; column 0 is the baseline, column k of arms[k].
    """
    gain = table.drop(columns=0).mean(axis=1) - table[0]
    table = table.loc[gain.sort_values(ascending=False, kind="stable").index]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.21 * len(table)))
    axes = figure.add_subplot()
    rows = np.arange(len(table))
    axes.hlines(rows, table.min(axis=1), table.max(axis=1), color="#D0D0D0", lw=1.5, zorder=1)
    known = len(arms) <= MOST_INTERVALS + 1 and bool(widths.notna().any(axis=None))
    for number, arm in enumerate(arms):
        label = arm.name + (" (baseline)" if number == 0 else "")
        # One below the other, so that an interval does not hide another.
        beside = rows + known * ASIDE * (number - (len(arms) - 1) / 2)
        half = widths.loc[table.index, number].to_numpy()
        if known and (has := ~np.isnan(half)).any():
            mean = table[number].to_numpy()
            ends = ((mean + sign * half)[has] for sign in (-1, 1))
            axes.hlines(beside[has], *ends, color=arm.colour, lw=1.0, zorder=1.5, gid="interval")
        axes.plot(table[number], beside, arm.marker, color=arm.colour, ms=6, mec="white", mew=0.6, label=label)
    axes.set_yticks(rows, table.index)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#E6E6E6", lw=0.7)
    axes.set_axisbelow(True)
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -2), min(high, 102))  # an interval can be wider than an AP can be
    shown = "mean over seeds, bar: 95 % t-interval (n ≥ 3)" if known else "mean over seeds"
    axes.set_xlabel(f"AP (%), {shown}; classes sorted by mean gain over the baseline", fontsize=SMALL)
    entitle(figure, findings.over_baseline(table, arms))
    figure.legend(
        loc="outside lower left",
        ncols=2,
        labelcolor=[ink(arm.colour) for arm in arms],
        handletextpad=0.3,
        columnspacing=1.5,
    )
    return figure


def _scatter(table: pd.DataFrame, arms: list[Arm]) -> Figure:
    """A panel per arm: its AP over the baseline's, with the diagonal of equal AP."""
    columns = min(len(arms) - 1, COLUMNS)
    rows = -(-(len(arms) - 1) // columns)
    side = min(WIDTH / columns, 4.6)
    figure = Figure(figsize=(side * columns, 0.4 + (side + 0.1) * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    top = 1.04 * float(table.max().max())
    for place, axes in enumerate(grid.flat):
        if place >= len(arms) - 1:
            axes.set_visible(False)
            continue
        axes.set(xlim=(0, top), ylim=(0, top), box_aspect=1)
        _panel(axes, table[0], table[place + 1], arms[place + 1], 72 * (side - MARGIN))
    figure.supxlabel(f"AP (%) with {arms[0].name} (baseline), mean over seeds", fontsize=9)
    figure.supylabel("AP (%)", fontsize=9)
    return figure


def _panel(axes: Axes, baseline: pd.Series, ap: pd.Series, arm: Arm, extent: float) -> None:
    """One scatter of about `extent` points each way, the classes with the largest gains and losses named."""
    axes.axline((0, 0), slope=1, color=GREY, lw=0.8)
    axes.plot(baseline, ap, arm.marker, color=arm.colour, ms=3.5, alpha=0.6, mew=0)
    gain = (ap - baseline).to_numpy()
    axes.set_title(
        f"{arm.name}\nabove the baseline in {int((gain > 0).sum())} of {len(gain)} classes",
        fontsize=SMALL,
        color=ink(arm.colour),
    )
    order = gain.argsort(kind="stable")
    for lowest in (True, False):
        chosen = order[:EXTREMES] if lowest else order[-EXTREMES:]
        names = {"name": ap.index[chosen], "x": baseline.to_numpy()[chosen], "y": ap.to_numpy()[chosen]}
        _name_points(axes, pd.DataFrame(names), lowest, extent)


def _name_points(axes: Axes, points: pd.DataFrame, lowest: bool, extent: float) -> None:
    """Name points on the free side of the diagonal: right of and below the lowest, else left of and above them.

    points: name, x, y.
    """
    top = axes.get_ylim()[1]
    gap = 1.25 * SMALL / extent
    width = points.name.str.len() * 0.62 * SMALL / extent
    # A name that would leave the panel stands at its edge, a line below or above its point.
    tight = points.x / top + 0.02 + width > 1 if lowest else points.x / top - 0.02 - width < 0
    side = 1 if lowest else -1
    points = points.assign(
        at_x=np.where(tight, 0.99 if lowest else 0.01, points.x / top + side * 0.02),
        at_y=points.y / top - side * gap * tight,
        align=np.where(tight == lowest, "right", "left"),
    ).sort_values("y", kind="stable")
    for point, height in zip(points.itertuples(), spread(points.at_y.tolist(), gap), strict=True):
        axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(point.at_x * top, height * top),
            ha=point.align,
            va="center",
            fontsize=SMALL,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 2},
        )
