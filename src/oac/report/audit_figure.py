"""The audit as a figure: the effect of each option on the mAP over the test set and on the batch-averaged mAP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.report.audit import NAMES, Step, every_step, is_released
from oac.report.formats import change
from oac.report.results import BATCH, Results
from oac.report.style import WIDTH, draw_interval, entitle, legend_below, name_rows, styled

# What the legend calls a marker, and how it looks: filled, open and grey, so that none hides another.
PUBLISHED, RELEASED, SCENE = "other options mostly as published", "mostly as released", "scene crops"
LOOKS: dict[str, dict[str, Any]] = {
    PUBLISHED: {"marker": "o", "color": "#0072B2", "mfc": "#0072B2", "mec": "#0072B2"},
    RELEASED: {"marker": "s", "color": "#D55E00", "mfc": "white", "mec": "#D55E00"},
    SCENE: {"marker": "D", "color": "#767676", "mfc": "#767676", "mec": "#767676"},
}
OFFSET = 0.44  # of a row, over which its markers are spread


@styled()
def audit_figure(results: Results) -> Figure:
    """Draw the differences of the audit's table with their 95 % t-intervals.

    Raises ValueError where the study has nothing to compare.
    """
    steps = every_step(results)
    rows: dict[str, list[Step]] = {}
    for step in steps:
        rows.setdefault(_label(step), []).append(step)
    figure = Figure(figsize=(WIDTH, 1.8 + 0.42 * len(rows)))
    panels = figure.subplots(1, 2, sharey=True)
    titles = "mAP over the test set", f"batch-averaged mAP ({BATCH})"
    for axes, title, batch in zip(panels, titles, (False, True), strict=True):
        for row, members in enumerate(rows.values()):
            _draw_row(axes, row, members, batch)
        axes.axvline(0, color="#767676", lw=0.8, zorder=0)
        name_rows(axes, list(rows))
        axes.spines["left"].set_visible(True)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("change (points), 95 % t-interval")
    title = f"Effect of each difference between the paper and its released code on {results.study}"
    entitle(figure, f"{title}\n{finding(steps)}")
    legend_below(figure, {name: {"ls": "", "ms": 5} | look for name, look in LOOKS.items()}, 3)
    return figure


def finding(steps: Sequence[Step]) -> str:
    """The effect of object crops at equal steps, the most there were, and that of more steps alone.

    Empty where the study has no such comparison.
    """
    equal = [
        step for step in steps if step.kind == "comparison" and step.before.images_seen == step.after.images_seen
    ]
    most = max((step.after.images_seen for step in equal), default=0)
    parts = [_in_words(step, step.option.partition(",")[0]) for step in equal if step.after.images_seen == most]
    if not parts:
        return ""
    alone = [step for step in steps if step.option == "budget" and step.after.policy == "scene-scene"]
    longer = [f"; more steps for scene crops alone: {_in_words(step)}" for step in alone]
    return f"Object crops over scene crops, {most:,} photos seen by each: {', '.join(parts)}" + "".join(longer)


def _in_words(step: Step, what: str = "") -> str:
    """The change of the mAP in points, with its interval or what is to be said in its place."""
    verdict = "" if step.change.excludes_zero else f" ({step.change.verdict})"
    return " ".join(filter(None, [change(step.change), what])) + verdict


def _label(step: Step) -> str:
    """The option and its two values; a comparison by what is compared."""
    if step.kind == "comparison":
        kind = step.option.partition(",")[0]
        steps = " against ".join(f"{variant.images_seen / 1000:,.0f}k" for variant in (step.after, step.before))
        return f"Object crops ({kind})\nover scene crops, {steps} photos"
    if step.kind == "readout":
        return f"{NAMES[step.option]}:\n{step.values[1]}"
    if step.option == "budget":
        return f"Steps:\n{step.after.images_seen / step.before.images_seen:.3g} times as many"
    return f"{NAMES[step.option]}: {step.values[0]}\n→ {step.values[1]}"


def _look(step: Step, number: int) -> str:
    """Which look a difference has: an option's two rows are in the order of the table, others go by their variant."""
    if step.kind == "option" and step.option != "budget":
        return (PUBLISHED, RELEASED)[min(number, 1)]
    if step.after.policy == "scene-scene":
        return SCENE
    return RELEASED if is_released(step.after) else PUBLISHED


def _draw_row(axes: Axes, row: int, members: Sequence[Step], batch: bool) -> None:
    """The differences of one row, spread over its height."""
    for number, step in enumerate(members):
        effect = step.batch_change if batch else step.change
        if effect is None:
            continue
        height = row + OFFSET * (number / max(len(members) - 1, 1) - 0.5) * (len(members) > 1)
        look = LOOKS[_look(step, number)]
        draw_interval(axes, height, effect, look["color"], 1.6, upright=False)
        axes.plot(effect.mean, height, ms=5.5, gid="mean", **look)
