"""mAP against the overlap of the two crops, as in figure 7 left of the paper's supplement, for all crop lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from oac.report.overlap_table import correlation, curves, finding, joined
from oac.report.statistics import t_interval
from oac.report.style import BOX_MARKERS, NEUTRAL, POLICY_COLOURS, SMALL, WIDTH, Arm, arms_of, entitle, styled
from oac.report.tables import BOX_NAMES, collect

LABELS = {
    "iou": "mean IoU of the two\ncrops (%)",
    "smaller_inside": "share of the smaller crop\nin the other (%)",
    "same_object": "pairs with one object in\nboth crops (%)",
}
NAMED = 8  # as many lines have their own entry in the legend; of more it has policies and boxes


@styled
def overlap_figure(metrics: Sequence[Mapping[str, Any]], overlap: pd.DataFrame) -> Figure:
    """mAP of every crop line of MoCo-v2 against two measures of overlap and against how often both show one object.

    Large markers are means, bars 95 % t-intervals from three seeds on, small markers seeds. Lines that differ in the
    scale of their scene crops only are joined. metrics: contents of metrics.json files; overlap: as in
    `overlap_table.joined`, which says what is refused.
    """
    frame, lines = joined(metrics, overlap), curves(metrics)
    runs = collect(metrics)
    arms = {arm.crops: arm for arm in arms_of(runs[runs.method == "moco_v2"])}
    title = finding(frame, lines)
    figure = Figure(figsize=(WIDTH, 3.6 + 0.15 * len(title)))
    panels = figure.subplots(1, len(LABELS), sharey=True)
    for axes, measure in zip(panels, LABELS, strict=True):
        _draw_panel(axes, measure, frame, arms, lines)
    panels[0].set_ylabel("mAP (%) of a linear probe")
    entitle(figure, "\n".join(title))
    handles, names = _legend(list(arms.values()))
    figure.legend(handles, names, loc="outside lower left", ncols=3 if len(arms) <= NAMED else 5, fontsize=SMALL)
    return figure


def _draw_panel(
    axes: Axes, measure: str, frame: pd.DataFrame, arms: Mapping[str, Arm], lines: Mapping[str, Sequence[str]]
) -> None:
    """All lines at one measure; its rank correlation stands above."""
    x = frame.set_index("crops")[f"{measure}_percent"]
    means = frame.set_index("crops").map_percent
    aside = axes.transData + ScaledTranslation(5 / 72, 0, axes.figure.dpi_scale_trans)  # 5 points to the right
    for policy, names in lines.items():
        ordered = sorted(names, key=x.__getitem__)
        axes.plot(x[ordered], means[ordered], color=POLICY_COLOURS[policy], lw=1.0, zorder=1, gid=f"curve {policy}")
    for name, arm in arms.items():
        values = [100 * value for value in arm.rows["map"]]
        estimate = t_interval(values)
        if estimate.half_width is not None:
            axes.plot([x[name]] * 2, [estimate.low, estimate.high], color=arm.colour, lw=1.8, gid="interval")
        if len(values) > 1:
            seeds: dict[str, Any] = {"color": arm.colour, "ms": 3, "alpha": 0.7, "mew": 0, "transform": aside}
            axes.plot([x[name]] * len(values), values, arm.marker, **seeds)
        axes.plot(x[name], estimate.mean, arm.marker, color=arm.colour, ms=7, mec="white", mew=0.7, gid="mean")
    axes.margins(x=0.08, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color="#E6E6E6", lw=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(LABELS[measure], fontsize=SMALL + 0.5)
    rho = correlation(frame, measure)
    if not isnan(rho):
        axes.set_title(f"rank correlation {rho:+.2f}".replace("-", "−"), fontsize=SMALL)


def _legend(arms: Sequence[Arm]) -> tuple[list[Line2D], list[str]]:
    """An entry for each line where they are few, else one for each policy and each source of boxes."""
    if len(arms) <= NAMED:
        looks = [(arm.name, arm.colour, arm.marker) for arm in arms]
    else:
        policies = dict.fromkeys(arm.policy for arm in arms if arm.policy)
        looks = [(policy, POLICY_COLOURS[policy], "o") for policy in policies]
        boxes = dict.fromkeys(arm.boxes for arm in arms if arm.boxes)
        looks += [(f"boxes: {BOX_NAMES[source]}", NEUTRAL, BOX_MARKERS[source]) for source in boxes]
    handles = [Line2D([], [], ls="", color=colour, marker=marker, ms=6) for _, colour, marker in looks]
    return handles, [name for name, _, _ in looks]
