"""The audit as a figure: what each option is worth, in the mAP over the test set and in the mean over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oac.report.audit import BATCH, NAMES, Step, every_step, lines_of, paired
from oac.report.statistics import Interval
from oac.report.style import SMALL, WIDTH, styled

# First and second time that an option is met on the walk: filled and open, so that neither hides the other.
LOOKS = (
    {"marker": "o", "color": "#0072B2", "mfc": "#0072B2"},
    {"marker": "s", "color": "#D55E00", "mfc": "white"},
)
CONTEXTS = ("first context of the table (others mostly as published)", "second (others mostly as released)")
ASIDE = 0.16  # rows between the two


@styled
def audit_figure(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the differences of the audit's table with their 95 % t-intervals, paired by seed.

    metrics: contents of metrics.json files of one study. Raises ValueError where it has nothing to compare.
    """
    groups: dict[str, list[Step]] = {}
    for step in every_step(lines_of(metrics)):
        groups.setdefault(_label(step), []).append(step)
    figure = Figure(figsize=(WIDTH, 1.5 + 0.42 * len(groups)))
    panels = figure.subplots(1, 2, sharey=True)
    titles = "mAP over the test set", f"mean over batches of {BATCH} (released code)"
    for axes, title, batch in zip(panels, titles, (False, True), strict=True):
        for row, members in enumerate(groups.values()):
            _draw_row(axes, row, members, batch)
        axes.axvline(0, color="#767676", lw=0.8, zorder=0)
        axes.grid(axis="x", color="#E6E6E6", lw=0.7)
        axes.set_axisbelow(True)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("change (points)")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(groups)), list(groups), fontsize=SMALL)
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    figure.suptitle("What each step from the paper to its released code is worth", x=0.01, ha="left", fontsize=10)
    handles = [
        Line2D([], [], ls="", mec=look["color"], ms=5, **look) for look in LOOKS[: max(map(len, groups.values()))]
    ]
    figure.legend(handles, CONTEXTS[: len(handles)], loc="outside lower left", ncols=2, fontsize=SMALL)
    return figure


def _label(step: Step) -> str:
    """The option and its two values; a comparison by what is compared."""
    if step.kind == "comparison":
        return f"Object crops over scene crops,\n{step.option}"
    if step.option in ("metric", "picked"):
        return f"{NAMES[step.option]}: {step.values[1]}\n({step.before.name})"
    if step.option == "budget":
        return f"Steps: {step.after.images_seen / step.before.images_seen:.3g} times as many\n({step.before.name})"
    return f"{NAMES[step.option]}: {step.values[0]}\n→ {step.values[1]}"


def _draw_row(axes: Axes, row: int, members: Sequence[Step], batch: bool) -> None:
    for number, step in enumerate(members):
        if batch and step.batch_keys is None:
            continue
        change = paired(*step.numbers(step.batch_keys if batch and step.batch_keys else step.keys))
        look = LOOKS[min(number, len(LOOKS) - 1)]
        height = row + (ASIDE * (2 * number - 1) if len(members) > 1 else 0.0)
        _draw_change(axes, change, height, look)


def _draw_change(axes: Axes, change: Interval, height: float, look: Mapping[str, str]) -> None:
    if change.half_width is not None:
        axes.plot([change.low, change.high], [height, height], color=look["color"], lw=1.6, gid="interval")
    axes.plot(change.mean, height, ms=5.5, mec=look["color"], gid="mean", **look)
