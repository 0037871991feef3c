"""mAP against the overlap of the two crops, as in figure 7 left of the paper's supplement, for all crop variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oac.report import style
from oac.report.overlap_table import curves, finding, joined
from oac.report.results import BOX_NAMES, Results, Variant

LABELS = {
    "iou": "mean IoU of the two\ncrops (%)",
    "smaller_inside": "share of the smaller crop\nin the other (%)",
    "same_object": "pairs with one object in\nboth crops (%)",
}
NAMED = 8  # as many variants have their own entry in the legend; of more it has policies and boxes


@style.styled()
def overlap_figure(results: Results, overlap: pd.DataFrame) -> Figure:
    """mAP of every variant of MoCo-v2 against two measures of overlap and against how often both show one object.

    Large markers are means, bars 95 % t-intervals from three seeds on, small markers seeds. Variants that differ in
    the scale of their scene crops only are joined. overlap: as in `overlap_table.joined`, which says what is refused.
    """
    frame, joins, variants = joined(results, overlap), curves(results), results.of("moco_v2")
    title = finding(frame, joins)
    figure = Figure(figsize=(style.WIDTH, 3.6 + 0.15 * len(title)))
    panels = figure.subplots(1, len(LABELS), sharey=True)
    for axes, measure in zip(panels, LABELS, strict=True):
        _draw_panel(axes, measure, frame, variants, joins)
    panels[0].set_ylabel("mAP (%) of a linear probe")
    style.entitle(figure, "\n".join(title))
    style.legend_below(figure, _legend(variants), 3 if len(variants) <= NAMED else 5)
    return figure


def _draw_panel(
    axes: Axes, measure: str, frame: pd.DataFrame, variants: Sequence[Variant], joins: Mapping[str, Sequence[str]]
) -> None:
    """All variants at one measure. joins: by policy the crop variants to join."""
    rows = frame.set_index("crops")
    x, means = rows[f"{measure}_percent"], rows.map_percent
    for policy, names in joins.items():
        ordered = sorted(names, key=x.__getitem__)
        shade = style.POLICY_COLOURS[policy]
        axes.plot(x[ordered], means[ordered], color=shade, lw=1.0, zorder=1, gid=f"curve {policy}")
    for variant in variants:
        style.draw_variant(axes, variant, x[variant.crops])
    axes.margins(x=0.08, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid()
    axes.set_xlabel(LABELS[measure], fontsize=style.SMALL + 0.5)


def _legend(variants: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """An entry for each variant where they are few, else one for each policy and each source of boxes."""
    if len(variants) <= NAMED:
        looks = {variant.name: (style.colour(variant), style.marker(variant)) for variant in variants}
    else:
        looks = {
            variant.policy: (style.POLICY_COLOURS[variant.policy], "o") for variant in variants if variant.policy
        }
        boxes = dict.fromkeys(variant.boxes for variant in variants if variant.boxes)
        looks |= {f"boxes: {BOX_NAMES[source]}": (style.NEUTRAL, style.BOX_LOOKS[source].marker) for source in boxes}
    return {name: {"ls": "", "color": shade, "marker": shape, "ms": 6} for name, (shade, shape) in looks.items()}
