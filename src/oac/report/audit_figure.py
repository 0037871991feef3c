"""The audit as a figure: what each option is worth, in the mAP over the test set and in the mean over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oac.report.audit import BATCH, NAMES, Step, every_step, lines_of, paired
from oac.report.formats import half_width, points
from oac.report.statistics import Interval
from oac.report.style import SMALL, WIDTH, entitle, styled

# Filled, open and grey, so that none hides another.
LOOKS: dict[str, dict[str, Any]] = {
    "published": {"marker": "o", "color": "#0072B2", "mfc": "#0072B2"},
    "released": {"marker": "s", "color": "#D55E00", "mfc": "white"},
    "scene": {"marker": "D", "color": "#767676", "mfc": "#767676"},
}
NAMES_OF_LOOKS = {
    "published": "other options mostly as published",
    "released": "mostly as released",
    "scene": "scene crops",
}
ASIDE = 0.44  # of a row, over which its markers are spread


@styled
def audit_figure(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the differences of the audit's table with their 95 % t-intervals, paired by seed.

    metrics: contents of metrics.json files of one study. Raises ValueError where it has nothing to compare.
    """
    groups: dict[str, list[Step]] = {}
    steps = every_step(lines_of(metrics))
    for step in steps:
        groups.setdefault(_label(step), []).append(step)
    figure = Figure(figsize=(WIDTH, 1.8 + 0.42 * len(groups)))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, batch in zip(
        panels, ("mAP over the test set", f"mean over batches of {BATCH}"), (0, 1), strict=True
    ):
        for row, members in enumerate(groups.values()):
            _draw_row(axes, row, members, bool(batch))
        axes.axvline(0, color="#767676", lw=0.8, zorder=0)
        axes.grid(axis="x", color="#E6E6E6", lw=0.7)
        axes.set_axisbelow(True)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("change (points), 95 % t-interval")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(groups)), list(groups), fontsize=SMALL)
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    title = f"What each step from the paper to its released code is worth on {metrics[0]['study']}"
    entitle(figure, f"{title}\n{finding(steps)}")
    handles = [Line2D([], [], ls="", mec=look["color"], ms=5, **look) for look in LOOKS.values()]
    figure.legend(handles, NAMES_OF_LOOKS.values(), loc="outside lower left", ncols=3, fontsize=SMALL)
    return figure


def finding(steps: Sequence[Step]) -> str:
    """What object crops are worth at equal steps, the most there were, and what the steps alone are worth.

    Empty where the study has no such comparison.
    """
    equal = [
        step for step in steps if step.kind == "comparison" and step.before.images_seen == step.after.images_seen
    ]
    most = max((step.after.images_seen for step in equal), default=0)
    parts = [f"{_change(step)} {step.option.partition(',')[0]}" for step in equal if step.after.images_seen == most]
    if not parts:
        return ""
    sentence = f"Object crops over scene crops, {most:,} photos seen by each: {', '.join(parts)}"
    alone = [step for step in steps if step.option == "budget" and step.after.scene]
    return sentence + "".join(f"; more steps for scene crops alone: {_change(step)}" for step in alone)


def _change(step: Step) -> str:
    """The change of the mAP in points, with its interval where there is one."""
    change = paired(*step.numbers(step.keys))
    width = "" if change.half_width is None else f" {half_width(change.half_width)}"
    return points(change.mean, signed=True) + width


def _label(step: Step) -> str:
    """The option and its two values; a comparison by what is compared."""
    if step.kind == "comparison":
        kind = step.option.partition(",")[0]
        steps = " against ".join(f"{line.images_seen / 1000:,.0f}k" for line in (step.after, step.before))
        return f"Object crops ({kind})\nover scene crops, {steps} photos"
    if step.kind == "readout":
        return f"{NAMES[step.option]}:\n{step.values[1]}"
    if step.option == "budget":
        return f"Steps:\n{step.after.images_seen / step.before.images_seen:.3g} times as many"
    return f"{NAMES[step.option]}: {step.values[0]}\n→ {step.values[1]}"


def _look(step: Step, number: int) -> str:
    """Which look a difference has: an option's two rows are in the order of the table, others go by their line."""
    if step.kind == "option" and step.option != "budget":
        return ("published", "released")[min(number, 1)]
    if step.after.scene:
        return "scene"
    return "released" if step.after.complete else "published"


def _draw_row(axes: Axes, row: int, members: Sequence[Step], batch: bool) -> None:
    for number, step in enumerate(members):
        if batch and step.batch_keys is None:
            continue
        change = paired(*step.numbers(step.batch_keys if batch and step.batch_keys else step.keys))
        height = row + ASIDE * (number / max(len(members) - 1, 1) - 0.5) * (len(members) > 1)
        _draw_change(axes, change, height, LOOKS[_look(step, number)])


def _draw_change(axes: Axes, change: Interval, height: float, look: Mapping[str, Any]) -> None:
    if change.half_width is not None:
        axes.plot([change.low, change.high], [height, height], color=look["color"], lw=1.6, gid="interval")
    axes.plot(change.mean, height, ms=5.5, mec=look["color"], gid="mean", **look)
