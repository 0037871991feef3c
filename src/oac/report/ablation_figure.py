"""The mAP for each value of an option of the paper's ablations, as a figure."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oac.crop_options import ABLATIONS
from oac.report.ablations import finding, reference, shown_value, sweep, value_of
from oac.report.formats import interval_text
from oac.report.results import Results, Variant
from oac.report.style import NEUTRAL, SMALL, entitle, legend_below, one_panel, styled
from oac.report.variant_style import POLICY_COLOURS, READING, colour, draw_variant
from oac.studies import RANDOM_INIT, UNCROPPED

# Of the distance between two values: how far one without a place on their scale stands from them, as s_min does,
# which is another share for the boxes of every study.
APART = 0.5
SPAN = 10.0  # points; differences of seeds fill a lower axis


@styled()
def ablation_figure(results: Results, option: str) -> Figure:
    """mAP by the values of an option: means, seeds, 95 % t-intervals from three seeds on; the reference is named.

    The untrained network stands behind what lies within SPAN points of it, and the axis is SPAN points high at least:
    what is at its level is so seen to be there.
    """
    variants = sweep(results, option)
    base = reference(variants, option)
    figure, axes = one_panel(3.2)
    apart = [option == "scale_lower" and value_of(variant, option) is None for variant in variants]
    places = [place + APART * own for place, own in enumerate(apart)]
    points = pd.DataFrame({"x": places, "y": [variant.estimate().mean for variant in variants]})
    # What has no order, and a default that is no number of the scale, is not joined.
    joined = points[[not own and option != "boxes" for own in apart]]
    axes.plot(joined.x, joined.y, color=POLICY_COLOURS.get(variants[0].policy or "", NEUTRAL), gid="curve")
    for place, variant in zip(places, variants, strict=True):
        draw_variant(axes, variant, place)
    labels = [shown_value(variant, option) + "\nreference" * (variant is base) for variant in variants]
    axes.set_xticks(places, labels)
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.margins(y=0.2)
    untrained = results.variant(RANDOM_INIT, UNCROPPED)
    if untrained:
        _draw_untrained(figure, axes, untrained)
    low, high = axes.get_ylim()
    if high - low < SPAN:
        axes.set_ylim((low + high - SPAN) / 2, (low + high + SPAN) / 2)
    axes.set_xlabel(f"{ABLATIONS[option].label}.  {READING}", fontsize=SMALL)
    axes.set_ylabel("mAP (%)")
    entitle(figure, finding(results, option))
    return figure


def _draw_untrained(figure: Figure, axes: Axes, untrained: Variant) -> None:
    """The level of the untrained network with its interval and their name, or the name alone where it is far away."""
    level, shade = untrained.estimate(), colour(untrained)
    name = f"{untrained.name}: {interval_text(level)} %"
    low, high = axes.get_ylim()
    if not low - SPAN <= level.mean <= high + SPAN:
        legend_below(figure, {f"{name}, not on this axis": {"ls": ""}}, 1, handlelength=0)
        return
    axes.axhline(level.mean, color=shade, lw=1.2, zorder=0.6, gid="untrained")
    if level.half_width is not None:
        axes.axhspan(level.low, level.high, color=shade, alpha=0.15, lw=0, zorder=0.5)
    axes.update_datalim([(0, level.mean)])
    axes.autoscale_view(scalex=False)
    legend_below(figure, {name: {"color": shade, "lw": 1.2}}, 1)
