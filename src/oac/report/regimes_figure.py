"""The gain of object crops over scene crops against the size of objects, a curve for each number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from oac.report import style
from oac.report.regimes import BOXES, OHMS_OBJECTS, PLACES, Regime, finding
from oac.report.results import boxes_of

TICKS = (10, 20, 30, 40, 60, 80)
ASIDE = 1.03  # factor between curves, so that intervals at one side do not hide each other


@style.styled()
def regimes_figure(regimes: Sequence[Regime]) -> Figure:
    """A panel for each source of boxes; large markers are means, bars 95 % t-intervals, small markers seeds."""
    numbers = sorted({_number(regime) for regime in regimes})
    colours = matplotlib.colormaps["viridis"]
    shades = {n: to_hex(colours(0.85 * place / max(1, len(numbers) - 1))) for place, n in enumerate(numbers)}
    figure = Figure(figsize=(style.WIDTH, 4.2))
    panels = figure.subplots(1, len(BOXES), sharey=True)
    for axes, boxes in zip(panels, BOXES, strict=True):
        _draw_panel(axes, boxes, regimes, shades)
    panels[0].set_ylabel("mAP of object-dilate less\nthat of scene-scene (points)")
    panels[len(panels) // 2].set_xlabel(
        "side of an object (% of the photo's, logarithmic); dotted: data sets, with their objects a photo"
    )
    style.entitle(figure, finding(regimes))
    looks: dict[str, dict[str, Any]] = {
        f"{n} object{'s' if n > 1 else ''} a photo" + (" (as OHMS)" if n == OHMS_OBJECTS else ""): {
            "color": shade,
            "marker": "o",
            "ms": 6,
        }
        for n, shade in shades.items()
    }
    style.legend_below(figure, looks, min(4, len(looks)))
    return figure


def _number(regime: Regime) -> int:
    """Objects of a photo, rounded, to join the studies of one number."""
    return round(regime.statistics.objects)


def _draw_panel(axes: Axes, boxes: str, regimes: Sequence[Regime], shades: Mapping[int, str]) -> None:
    axes.axhline(0, color=style.GRAY, lw=0.8)
    for place in PLACES:
        axes.axvline(100 * place.statistics.side, color=style.GRAY, lw=0.8, ls=":", gid=f"place {place.name}")
        # Over the panel, where there is no curve; the second line is the number of objects of a photo.
        axes.text(
            100 * place.statistics.side,
            1.01,
            f"{place.name}\n({place.statistics.objects:g})",
            transform=axes.get_xaxis_transform(),
            ha="right",
            va="bottom",
            fontsize=style.SMALL,
            color=style.NEUTRAL,
        )
    for order, (number, shade) in enumerate(shades.items()):
        curve = []
        aside = ASIDE ** (order - (len(shades) - 1) / 2)
        for regime in sorted(regimes, key=lambda regime: regime.statistics.side):
            variant = regime.around(boxes)
            if _number(regime) != number or variant is None:
                continue
            gain, side = variant.difference_to(regime.scene), 100 * regime.statistics.side * aside
            style.draw_interval(axes, side, gain, shade, 1.4)
            seeds = variant.values().keys() & regime.scene.values().keys()
            changes = [variant.values()[seed] - regime.scene.values()[seed] for seed in seeds]
            axes.plot([side] * len(changes), changes, "o", ms=2.5, color=shade, alpha=0.6, gid="seed")
            curve.append((side, gain.mean))
        sides, gains = zip(*curve, strict=True) if curve else ((), ())
        axes.plot(sides, gains, "o-", ms=5, lw=1.3, color=shade, gid=f"curve {number}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid()
    axes.set_title(boxes_of(boxes), fontsize=9, pad=26)
