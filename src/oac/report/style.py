"""How figures look, whatever they show: fonts and sizes, titles, axes, labels beside curves, files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from oac.atomic import writing
from oac.report.fonts import families
from oac.report.statistics import Interval

End = tuple[float, str, str]
"""Label of a curve's end: its height in the units of the axis, the text, and the curve's colour."""

WIDTH = 7.4  # inches; at DPI about as wide as a README is shown
DPI = 150
SMALL = 8  # points; nothing is set smaller
TITLE_LENGTH = 88  # characters of a line over a whole figure
NEUTRAL = "#4D5566"
GRAY = "#767676"
PERCENT = (0.0, 100.0)  # what an mAP, an AP or an accuracy can be
NOTHING = "nothing to show"  # the comment in the file of a figure that `nothing` made

INK = 0.18  # relative luminance of text, about: a contrast of 4 to 1 on white or more
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
    "text.parse_math": False,  # a class may be named "$100$ bill"
    # Letters stay letters in the PDF, so that it can be searched and edited.
    "pdf.fonttype": 42,
}


def wrapped(text: str, length: int) -> str:
    """Break lines that are longer than so many characters, between words and before brackets rather than in them."""
    kept = text.replace(" boxes)", "\N{NO-BREAK SPACE}boxes)")
    return textwrap.fill(kept, length, break_on_hyphens=False).replace("\N{NO-BREAK SPACE}", " ")


def entitle(figure: Figure, title: str) -> None:
    """Write the title over the whole figure, at its left; long lines are broken, but neither names nor intervals."""
    joined = (
        title.replace(" %", "\N{NO-BREAK SPACE}%")
        .replace(" ±", "\N{NO-BREAK SPACE}±")
        .replace("± ", "±\N{NO-BREAK SPACE}")
    )
    lines = [textwrap.fill(line, TITLE_LENGTH, break_on_hyphens=False) for line in joined.splitlines()]
    figure.suptitle("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), x=0.01, ha="left", fontsize=10)


@contextmanager
def styled() -> Iterator[None]:
    """RC over matplotlib's defaults, also as a decorator: a user's matplotlibrc does not change a figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        matplotlib.rcParams["font.family"] = families()
        yield


def save(figure: Figure, stem: str | Path) -> None:
    """Write stem.png (150 dpi) and stem.pdf, each in one step; the same figure gives the same bytes.

    For a page that shows the figure both have its titles in one line as their Title, and its label, which says how it
    is read, as Comment (PNG) or Subject (PDF).
    """
    undated = {"png": ("Software",), "pdf": ("Creator", "Producer", "CreationDate")}
    titles = [figure.get_suptitle(), *(axes.get_title(loc="left") for axes in figure.axes)]
    title = ". ".join(" ".join(text.split()) for text in titles[: 1 if titles[0] else None] if text)
    for suffix, fields in undated.items():
        said = {
            "Title": title or None,
            ("Comment" if suffix == "png" else "Subject"): str(figure.get_label()) or None,
        }
        with styled(), writing(Path(f"{stem}.{suffix}")) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=said | dict.fromkeys(fields))


def require(what: str, rows: Sized) -> None:
    """Raise ValueError where a figure would be empty; what: its subject, in the plural."""
    if not len(rows):
        raise ValueError(f"there are no {what} to draw")


def nothing(reason: str) -> Figure:
    """What stands in the place of a figure that would show nothing: the reason, in one sentence."""
    figure = Figure(figsize=(WIDTH, 0.6))
    entitle(figure, reason)
    figure.set_label(NOTHING)
    return figure


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


def draw_interval(
    axes: Axes,
    at: float,
    estimate: Interval,
    colour: str,
    width: float,
    upright: bool = True,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draw the interval of an estimate, where it has one, at a place on the other axis.

    width: points; limits: what the estimate can be, where the interval is cut: t knows of no bounds.
    """
    if estimate.half_width is not None:
        ends = np.clip([estimate.low, estimate.high], *limits).tolist()
        plot_at(axes, at, ends, upright, color=colour, lw=width, solid_capstyle="butt", gid="interval")


def plot_at(axes: Axes, at: float, values: Sequence[float], upright: bool, **look: Any) -> None:
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
