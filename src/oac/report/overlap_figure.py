"""mAP against the overlap of the two crops, as in figure 7 left of the paper's supplement, for all crop variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oac.report import style, variant_style
from oac.report.overlap_table import curves, finding, joined
from oac.report.results import Results, Variant

LABELS = {
    "iou": "mean IoU of the two\ncrops (%)",
    "smaller_inside": "share of the smaller crop\nin the other (%)",
    "same_object": "pairs with one object in\nboth crops (%)",
}
NAMED = 8  # as many variants are shown, each with a name
LEGEND_COLUMNS = 2


@style.styled()
def overlap_figure(results: Results, overlap: pd.DataFrame, names: Sequence[str] | None = None) -> Figure:
    """mAP of MoCo-v2's variants against two measures of overlap, and how often both crops show one object.

    Large markers are means, bars 95 % t-intervals from three seeds on, small markers seeds. Variants that differ in
    the scale of their scene crops only are joined, and have one name. Of more than NAMED variants only those are
    shown that are joined or that `variant_style.readable` takes. overlap: as in `overlap_table.joined`, which says
    what is refused; names: crop variants that a study wants shown.
    """
    frame, joins, variants = joined(results, overlap), curves(results), results.of("moco_v2")
    shown = variants
    if len(variants) > NAMED:
        swept = {crops for members in joins.values() for crops in members}
        chosen = variant_style.readable(variants, names)
        shown = [variant for variant in variants if variant in chosen or variant.crops in swept]
    title = finding(frame[frame.crops.isin([variant.crops for variant in shown])], joins)
    if len(shown) < len(variants):
        title[0] += f"; {len(variants) - len(shown)} more stand in the table"
    looks = _looks(shown, joins)
    figure = Figure(figsize=(style.WIDTH, 3.6 + 0.2 * len(title) + 0.15 * (len(looks) // LEGEND_COLUMNS)))
    panels = figure.subplots(1, len(LABELS), sharey=True)
    for axes, measure in zip(panels, LABELS, strict=True):
        _draw_panel(axes, measure, frame, shown, joins)
    panels[0].set_ylabel("mAP (%) of a linear probe")
    style.entitle(figure, "\n".join([f"{results.title}: {title[0]}", *title[1:]]))
    reading = {"title": variant_style.READING, "title_fontsize": style.SMALL, "alignment": "left"}
    style.legend_below(figure, looks, LEGEND_COLUMNS, **reading)
    return figure


def _draw_panel(
    axes: Axes, measure: str, frame: pd.DataFrame, variants: Sequence[Variant], joins: Mapping[str, Sequence[str]]
) -> None:
    """The variants at one measure. joins: by policy the crop variants to join."""
    rows = frame.set_index("crops")
    x, means = rows[f"{measure}_percent"], rows.map_percent
    for policy, names in joins.items():
        ordered = sorted(names, key=x.__getitem__)
        shade = variant_style.POLICY_COLOURS[policy]
        axes.plot(x[ordered], means[ordered], color=shade, lw=1.0, zorder=1, gid=f"curve {policy}")
    for variant, face in zip(variants, _faces(variants, joins), strict=True):
        variant_style.draw_variant(axes, variant, x[variant.crops], face=face)
    axes.margins(x=0.08, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid()
    axes.set_xlabel(LABELS[measure], fontsize=style.SMALL + 0.5)


def _faces(variants: Sequence[Variant], joins: Mapping[str, Sequence[str]]) -> list[str | None]:
    """What markers are filled with: those that are joined alike, others as `variant_style.faces` has it."""
    alone = [variant for variant in variants if variant.crops not in joins.get(variant.policy or "", ())]
    faces = dict(zip((variant.crops for variant in alone), variant_style.faces(alone), strict=True))
    return [faces.get(variant.crops) for variant in variants]


def _looks(variants: Sequence[Variant], joins: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """An entry of the legend, as it is drawn, for each variant, and one for those that are joined."""
    looks: dict[str, dict[str, Any]] = {}
    for variant, face in zip(variants, _faces(variants, joins), strict=True):
        shade = variant_style.colour(variant)
        look: dict[str, Any] = {"ls": "", "color": shade, "marker": variant_style.marker(variant), "ms": 6}
        if variant.crops in joins.get(variant.policy or "", ()):
            looks[f"{variant.policy}, several scales of scene crops"] = look | {"ls": "-", "lw": 1.0}
        else:
            looks[variant.name] = look | ({} if face is None else {"mfc": face, "mew": 1.3})
    return looks
