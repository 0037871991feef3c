"""The mAP for each value of an option of the paper's ablations, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from oac.crop_options import ABLATIONS
from oac.report.ablations import reference, shown_value, sweep, value_of
from oac.report.results import Results, Variant
from oac.report.statistics import difference
from oac.report.style import NEUTRAL, POLICY_COLOURS, WIDTH, draw_interval, entitle, styled

APART = 0.5  # of the distance between two values: how far a value without a place on their scale stands from them


@styled
def ablation_figure(results: Results, option: str) -> Figure:
    """mAP by the values of an option: means, seeds, 95 % t-intervals from three seeds on; the reference ringed."""
    variants = sweep(results, option)
    base = reference(variants, option)
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.add_subplot()
    colour = POLICY_COLOURS.get(variants[0].policy or "", NEUTRAL)
    places = [place + APART * _is_apart(variant, option) for place, variant in enumerate(variants)]
    means = [variant.estimate().mean for variant in variants]
    for place, variant in zip(places, variants, strict=True):
        draw_interval(axes, place, variant.estimate(), colour, 2.0)
        if variant.n > 1:
            axes.plot([place + 0.08] * variant.n, list(variant.values().values()), ".", color=colour, alpha=0.6)
    # What has no order, and a default that is no number of the scale, is not joined.
    joined = [] if option == "boxes" else [k for k, variant in enumerate(variants) if not _is_apart(variant, option)]
    axes.plot([places[k] for k in joined], [means[k] for k in joined], color=colour, gid="curve")
    axes.plot(places, means, "o", color=colour, ms=7, gid="mean")
    at = variants.index(base)
    axes.plot(places[at], means[at], "o", ms=13, mfc="none", mec="black", mew=1.0, gid="reference")
    axes.set_xticks(
        places, [shown_value(variant, option) + "\nreference" * (variant is base) for variant in variants]
    )
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.margins(y=0.2)
    axes.set_xlabel(ABLATIONS[option].label)
    axes.set_ylabel("mAP (%)")
    entitle(figure, _finding(variants, option))
    return figure


def _is_apart(variant: Variant, option: str) -> bool:
    """Whether a value has no place among the others: s_min is another share for every study's boxes."""
    return option == "scale_lower" and value_of(variant, option) is None


def _finding(variants: Sequence[Variant], option: str) -> str:
    """Which value has the highest mean mAP, and which others show no significant difference to it."""
    best, *others = sorted(variants, key=lambda variant: -variant.estimate().mean)
    title = f"{ABLATIONS[option].label.partition(' (')[0]}: highest mAP at {shown_value(best, option)}"
    counts = sorted({variant.n for variant in variants})
    n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    changes = {shown_value(other, option): difference(best.values(), other.values()) for other in others}
    lead = next(iter(changes.values()))  # over the second highest
    if lead.half_width is None:
        return f"{title} ({n}; {lead.verdict})"
    close = [value for value, change in changes.items() if change.half_width is not None and not change.significant]
    values = " and ".join(filter(None, [", ".join(close[:-1]), *close[-1:]]))
    return title + (f", no significant difference to {values} ({n})" if close else f" ({n})")
