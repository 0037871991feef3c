"""How figures look: one colour and marker for a variant wherever it is drawn, labels beside curves, files.

The colours can be distinguished under the common colour-vision deficiencies (Okabe and Ito 2008; Wong, Nature Methods
2011; wine and olive of Tol's palette for further methods). Hue shows the crop policy, shade and marker the source
of the boxes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression

from oac.atomic import writing
from oac.report.results import REFERENCE_METHODS, Variant
from oac.report.statistics import Interval
from oac.studies import PRETRAINED, RANDOM_INIT

End = tuple[float, str, str]
"""Label of a curve's end: its height in the units of the axis, the text, and the curve's colour."""

WIDTH = 7.4  # inches; at DPI about as wide as a README is shown
DPI = 150
SMALL = 8  # points; nothing is set smaller
TITLE_LENGTH = 88  # characters of a line over a whole figure
MAX_CURVES = 8  # of a method; more cannot be distinguished in one figure
NEUTRAL = "#4D5566"
GRAY = "#767676"

POLICY_COLOURS = {
    "scene-scene": "#0072B2",
    "object-scene": "#56B4E9",
    "object-object": "#CC79A7",
    "object-shift": "#E69F00",
    "object-dilate": "#D55E00",
}
METHOD_COLOURS = {
    "supervised": "#000000",
    RANDOM_INIT: GRAY,
    PRETRAINED: "#0072B2",
    "byol": "#009E73",
    "swav": "#882255",
    "cmc": "#999933",
}
OTHER_COLOUR = "#8C564B"  # a method or policy without a colour of its own
INK = 0.18  # relative luminance of text, about: a contrast of 4 to 1 on white or more
DASH_DOT = (0, (5.0, 2.0, 1.0, 2.0))  # in widths of the line; a level of chance is dashed


class BoxLook(NamedTuple):
    """How a source of boxes is drawn.

    marker: of a variant. shade: how much black (negative) or white (positive) is mixed into a variant's colour.
    colour: of the source itself, where sources are compared.
    """

    marker: str
    shade: float
    colour: str


BOX_LOOKS = {
    "bing": BoxLook("o", 0.0, "#D55E00"),
    "ground_truth": BoxLook("s", -0.4, "#000000"),
    "random": BoxLook("^", 0.4, GRAY),
    "edge_boxes": BoxLook("v", -0.2, "#009E73"),
    "selective_search": BoxLook("P", 0.2, "#CC79A7"),
    "opencv_bing": BoxLook("X", 0.0, "#0072B2"),
    "csv": BoxLook("d", 0.0, "#882255"),
}
OTHER_BOXES = BoxLook("o", 0.0, OTHER_COLOUR)

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    # Letters stay letters in the PDF, so that it can be searched and edited.
    "pdf.fonttype": 42,
}


def colour(variant: Variant) -> str:
    """Hue of the policy (of the method, for others than MoCo-v2), shade of the source of boxes."""
    if variant.method == "moco_v2":
        base = POLICY_COLOURS.get(variant.policy or "", OTHER_COLOUR)
    else:
        base = METHOD_COLOURS.get(variant.method, OTHER_COLOUR)
    shade = 0.0 if variant.is_reference else BOX_LOOKS.get(variant.boxes or "", OTHER_BOXES).shade
    end = 1.0 if shade > 0 else 0.0
    rgb = (1 - abs(shade)) * np.array(to_rgb(base)) + abs(shade) * end
    return to_hex(rgb.tolist())


def marker(variant: Variant) -> str:
    """Shape that tells the source of the boxes."""
    return "D" if variant.is_reference else BOX_LOOKS.get(variant.boxes or "", OTHER_BOXES).marker


def line_style(variant: Variant) -> str | tuple[int, tuple[float, ...]]:
    """How a curve is drawn: solid, but scene crops dash-dotted where all crops of the method have one colour."""
    one_colour = not variant.is_reference and variant.method != "moco_v2"
    return DASH_DOT if one_colour and variant.policy == "scene-scene" else "-"


def curve_name(variant: Variant) -> str:
    """The name beside a curve, which shows how the curve is drawn where that is not solid."""
    return variant.name if line_style(variant) == "-" else f"{variant.name} – · –"


def readable(variants: Sequence[Variant], names: Sequence[str] | None = None) -> list[Variant]:
    """So many variants as a figure with a curve for each can show; of the references all.

    names: crop variants that a study wants shown; None takes the first MAX_CURVES of each method. A method's first
    scene-scene variant, which others are compared with, is always among them.
    """
    shown = {variant.key for variant in variants if variant.is_reference}
    for method in {variant.method for variant in variants} - set(REFERENCE_METHODS):
        own = [variant for variant in variants if variant.method == method]
        chosen = own[:MAX_CURVES] if names is None else [variant for variant in own if variant.crops in names]
        scenes = [variant for variant in own if variant.policy == "scene-scene"]
        shown |= {variant.key for variant in [*chosen, *scenes[:1]]}
    return [variant for variant in variants if variant.key in shown]


def entitle(figure: Figure, title: str) -> None:
    """Write the title over the whole figure, at its left; long lines are broken, but neither names nor intervals."""
    joined = title.replace(" ±", "\N{NO-BREAK SPACE}±").replace("± ", "±\N{NO-BREAK SPACE}")
    lines = [textwrap.fill(line, TITLE_LENGTH, break_on_hyphens=False) for line in joined.splitlines()]
    figure.suptitle("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), x=0.01, ha="left", fontsize=10)


@contextmanager
def styled() -> Iterator[None]:
    """RC over matplotlib's defaults, also as a decorator: a user's matplotlibrc does not change a figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def save(figure: Figure, stem: str | Path) -> None:
    """Write stem.png (150 dpi) and stem.pdf, each in one step; the same figure gives the same bytes."""
    undated = {"png": ("Software",), "pdf": ("Creator", "Producer", "CreationDate")}
    for suffix, fields in undated.items():
        with styled(), writing(Path(f"{stem}.{suffix}")) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=dict.fromkeys(fields))


def require(what: str, rows: Sized) -> None:
    """Raise ValueError where a figure would be empty; what: its subject, in the plural."""
    if not len(rows):
        raise ValueError(f"there are no {what} to draw")


def one_panel(height: float) -> tuple[Figure, Axes]:
    """A figure of full width and so many inches of height, and its only axes."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def name_rows(axes: Axes, names: Sequence[str], **options: Any) -> None:
    """Make the y axis a list of names, the first on top, beside a grid for the values."""
    axes.set_yticks(range(len(names)), names, **options)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def draw_variant(axes: Axes, variant: Variant, at: float, key: str = "map", upright: bool = True) -> None:
    """Draw a variant at a place on the other axis: its mean, its 95 % t-interval and, a little aside, its seeds."""
    estimate, values, shade, shape = variant.estimate(key), variant.values(key), colour(variant), marker(variant)
    draw_interval(axes, at, estimate, shade, 2.0, upright)
    _plot(axes, at, [estimate.mean], upright, color=shade, marker=shape, ms=8, mec="white", mew=0.7, gid="mean")
    if len(values) > 1:
        right, down = (6 / 72, 0.0) if upright else (0.0, 6 / 72)
        aside = axes.transData + ScaledTranslation(right, -down, axes.figure.dpi_scale_trans)
        look = {"color": shade, "marker": shape, "ms": 3, "alpha": 0.7, "mew": 0, "ls": ""}
        _plot(axes, at, list(values.values()), upright, transform=aside, gid="seeds", **look)
        # Matplotlib leaves points that are shifted out of the limits, and the axis would cut the outermost seeds.
        axes.update_datalim([(at, value) if upright else (value, at) for value in values.values()])


def draw_interval(axes: Axes, at: float, estimate: Interval, colour: str, width: float, upright: bool = True) -> None:
    """Draw the interval of an estimate, where it has one, at a place on the other axis; width: points."""
    if estimate.half_width is not None:
        ends = [estimate.low, estimate.high]
        _plot(axes, at, ends, upright, color=colour, lw=width, solid_capstyle="butt", gid="interval")


def _plot(axes: Axes, at: float, values: Sequence[float], upright: bool, **look: Any) -> None:
    """Plot values at one place, along the y axis or, not upright, along the x axis."""
    places = [at] * len(values)
    axes.plot(*((places, values) if upright else (values, places)), **look)


def legend_below(figure: Figure, looks: Mapping[str, Mapping[str, Any]], ncols: int, **options: Any) -> None:
    """Put a legend under the axes: names, and the line or marker of each as options of a Line2D."""
    lines = [Line2D([], [], **look) for look in looks.values()]
    figure.legend(lines, list(looks), loc="outside lower left", ncols=ncols, **options)


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Write labels to the right of the axes at their heights, moved apart where they would overlap.

    Fixes the limits of both axes: call it last.
    """
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    ends = sorted((end for end in ends if np.isfinite(end[0])), key=lambda end: end[0])
    if not ends:
        return
    to_share = axes.transData + axes.transAxes.inverted()
    at = [float(to_share.transform((axes.get_xlim()[0], y))[1]) for y, _, _ in ends]
    height = axes.get_position().height * axes.figure.bbox.height / axes.figure.dpi * 72
    for start, stop, (_, text, colour) in zip(at, spread(at, 1.25 * SMALL / height), ends, strict=True):
        axes.plot([1.0, 1.015], [start, stop], color=colour, lw=0.8, transform=axes.transAxes, clip_on=False)
        axes.text(1.02, stop, text, transform=axes.transAxes, color=ink(colour), fontsize=SMALL, va="center")


def ink(colour: str) -> str:
    """Darken a colour as far as text of it can be read on white."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    # The power law of the display turns a factor on light into its 1 / 2.4th power on the stored value.
    darker = rgb * min(1.0, INK / max(luminance, INK)) ** (1 / 2.4)
    return to_hex(darker.tolist())


def count_axis(axis: Axis, values: Sequence[float] | pd.Series) -> None:
    """Label a log axis of counts with whole numbers, at 1, 2 and 5 where it spans few decades."""
    few = len(values) == 0 or max(values) <= 1000 * min(values)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter("{x:,.0f}")
    axis.set_minor_formatter(NullFormatter())


def spread(heights: Sequence[float], gap: float) -> np.ndarray:
    """Move heights, shares of the axes, as little as least squares allows until they are `gap` apart in this order.

    They stay in [0, 1] where there is room for all of them.
    """
    steps = gap * np.arange(len(heights))
    moved = isotonic_regression(np.asarray(heights, float) - steps).x
    return np.clip(moved, 0.0, max(0.0, 1.0 - steps[-1])) + steps
