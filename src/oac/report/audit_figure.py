"""The audit as a figure: the effect of each option on the mAP over the test set and on the batch-averaged mAP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.report.audit import NAMES, Step, every_step, is_released
from oac.report.formats import change, p_value
from oac.report.results import BATCH, Results
from oac.report.statistics import adjusted
from oac.report.style import SMALL, WIDTH, draw_interval, entitle, ink, legend_below, name_rows, styled

# What the legend calls a marker, and how it looks: filled, open and grey, so that none hides another.
PUBLISHED, RELEASED, SCENE = "other options mostly as published", "mostly as released", "scene crops"
LOOKS: dict[str, dict[str, Any]] = {
    PUBLISHED: {"marker": "o", "color": "#0072B2", "mfc": "#0072B2", "mec": "#0072B2"},
    RELEASED: {"marker": "s", "color": "#D55E00", "mfc": "white", "mec": "#D55E00"},
    SCENE: {"marker": "D", "color": "#767676", "mfc": "#767676", "mec": "#767676"},
}
OFFSET = 0.56  # of a row, over which its markers are spread


@styled()
def audit_figure(results: Results) -> Figure:
    """Draw the differences of the audit's table with their 95 % t-intervals.

    Raises ValueError where the study has nothing to compare.
    """
    steps = every_step(results)
    rows: dict[str, list[tuple[Step, str]]] = {}
    for step, tested in zip(steps, adjusted([step.change for step in steps]), strict=True):
        rows.setdefault(_label(step), []).append((step, p_value(tested.p_holm)))
    figure = Figure(figsize=(WIDTH, 2.0 + 0.46 * len(rows)))
    panels = figure.subplots(1, 2, sharey=True)
    titles = "mAP over the test set", f"batch-averaged mAP ({BATCH})"
    for axes, title, batch in zip(panels, titles, (False, True), strict=True):
        for row, members in enumerate(rows.values()):
            _draw_row(axes, row, members, batch)
        if not batch:
            axes.text(1.02, 1.0, "p (Holm)", transform=axes.transAxes, va="bottom", fontsize=SMALL)
        axes.axvline(0, color="#767676", lw=0.8, zorder=0)
        name_rows(axes, list(rows))
        axes.spines["left"].set_visible(True)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("change (points), 95 % t-interval")
    title = f"{results.title}: effect of each difference between the paper and its released code"
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


def _draw_row(axes: Axes, row: int, members: Sequence[tuple[Step, str]], batch: bool) -> None:
    """The differences of one row, spread over its height; on the left with their adjusted p."""
    beside = axes.get_yaxis_transform()
    for number, (step, p) in enumerate(members):
        effect = step.batch_change if batch else step.change
        height = row + OFFSET * (number / max(len(members) - 1, 1) - 0.5) * (len(members) > 1)
        look = LOOKS[_look(step, number)]
        if effect is None:
            if number == 0:
                axes.text(0.5, row, "is this average", transform=beside, ha="center", va="center", fontsize=SMALL)
            continue
        if not batch:
            axes.text(1.02, height, p, transform=beside, va="center", color=ink(look["color"]), fontsize=SMALL)
        draw_interval(axes, height, effect, look["color"], 1.6, upright=False)
        axes.plot(effect.mean, height, ms=5.5, gid="mean", **look)
