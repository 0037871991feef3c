"""The mAP for each value of an option of the paper's ablations, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from oac.crop_options import ABLATIONS
from oac.report.ablations import reference, shown_value, sweep, value_of
from oac.report.results import Results, Variant
from oac.report.statistics import difference
from oac.report.style import NEUTRAL, POLICY_COLOURS, draw_variant, entitle, one_panel, styled

# Of the distance between two values: how far one without a place on their scale stands from them, as s_min does,
# which is another share for the boxes of every study.
APART = 0.5


@styled()
def ablation_figure(results: Results, option: str) -> Figure:
    """mAP by the values of an option: means, seeds, 95 % t-intervals from three seeds on; the reference ringed."""
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
    ringed = points.iloc[variants.index(base)]
    axes.plot(ringed.x, ringed.y, "o", ms=13, mfc="none", mec="black", mew=1.0, gid="reference")
    labels = [shown_value(variant, option) + "\nreference" * (variant is base) for variant in variants]
    axes.set_xticks(places, labels)
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.margins(y=0.2)
    axes.set_xlabel(ABLATIONS[option].label)
    axes.set_ylabel("mAP (%)")
    entitle(figure, _finding(variants, option))
    return figure


def _finding(variants: Sequence[Variant], option: str) -> str:
    """Which value has the highest mean mAP, and the difference of which others to it has an interval with 0."""
    best, *others = sorted(variants, key=lambda variant: -variant.estimate().mean)
    title = f"{ABLATIONS[option].label.partition(' (')[0]}: highest mAP at {shown_value(best, option)}"
    counts = sorted({variant.n for variant in variants})
    n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    changes = {shown_value(other, option): difference(best.values(), other.values()) for other in others}
    lead = next(iter(changes.values()))  # over the second highest
    if lead.half_width is None:
        return f"{title} ({n}; {lead.verdict})"
    close = [value for value, change in changes.items() if change.half_width is not None and not change.excludes_zero]
    values = " and ".join(filter(None, [", ".join(close[:-1]), *close[-1:]]))
    return title + (f"; the interval of the difference to {values} includes 0 ({n})" if close else f" ({n})")
