"""How figures look: one name, colour and marker for an arm wherever it is drawn, labels beside curves, files.

The colours are told apart under the common colour-vision deficiencies (Okabe and Ito 2008; Wong, Nature Methods
2011; wine and olive of Tol's palette for further methods). Hue tells the crop policy, shade and marker the source
of the boxes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy.optimize import isotonic_regression

from oac.atomic import writing
from oac.report.paper import UNBOXED_POLICIES, UNCROPPED_METHODS
from oac.report.tables import METHOD_NAMES, line_name

P = ParamSpec("P")

WIDTH = 7.4  # inches; at DPI about as wide as a README is shown
DPI = 150
SMALL = 8  # points; nothing is set smaller
TITLE_LENGTH = 88  # characters of a line over a whole figure
MOST_LINES = 8  # curves of a method that can be told apart in one figure
NEUTRAL = "#4D5566"
GREY = "#767676"

POLICY_COLOURS = {
    "scene-scene": "#0072B2",
    "object-scene": "#56B4E9",
    "object-object": "#CC79A7",
    "object-shift": "#E69F00",
    "object-dilate": "#D55E00",
}
METHOD_COLOURS = {"supervised": "#000000", "random": GREY, "byol": "#009E73", "swav": "#882255", "cmc": "#999933"}
OTHER_COLOUR = "#8C564B"  # a method or policy without a colour of its own
# How much black (negative) or white (positive) the source of the boxes mixes into the colour.
BOX_SHADES = {"bing": 0.0, "ground_truth": -0.4, "random": 0.4, "edge_boxes": -0.2, "selective_search": 0.2}
INK = 0.18  # relative luminance of text, about: a contrast of 4 to 1 on white or more
BOX_MARKERS = {
    "bing": "o",
    "ground_truth": "s",
    "random": "^",
    "edge_boxes": "v",
    "selective_search": "P",
    "opencv_bing": "X",
    "csv": "d",
}
DASH_DOT = (0, (5.0, 2.0, 1.0, 2.0))  # in widths of the line; a level of chance is dashed

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
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


@dataclass(frozen=True)
class Arm:
    """The runs that differ in the seed only, and how they are shown; rows: their part of the table."""

    method: str
    crops: str
    policy: str | None
    boxes: str | None
    name: str
    rows: pd.DataFrame

    @property
    def trained(self) -> bool:
        """Whether it is an arm of the comparison, not one of its references."""
        return self.method not in UNCROPPED_METHODS

    @property
    def colour(self) -> str:
        """Hue of the policy (of the method, for others than MoCo-v2), shade of the source of boxes."""
        if self.method == "moco_v2":
            base = POLICY_COLOURS.get(self.policy or "", OTHER_COLOUR)
        else:
            base = METHOD_COLOURS.get(self.method, OTHER_COLOUR)
        shade = BOX_SHADES.get(self.boxes or "", 0.0) if self.trained else 0.0
        end = 1.0 if shade > 0 else 0.0
        return _hex((1 - abs(shade)) * np.array(to_rgb(base)) + abs(shade) * end)

    @property
    def marker(self) -> str:
        """Shape that tells the source of the boxes."""
        return BOX_MARKERS.get(self.boxes or "", "o") if self.trained else "D"

    @property
    def line(self) -> str | tuple[int, tuple[float, ...]]:
        """How a curve is drawn: solid, but scene crops dash-dotted where all crops of the method have one colour."""
        scene = self.trained and self.method != "moco_v2" and self.policy == "scene-scene"
        return DASH_DOT if scene else "-"

    @property
    def curve_name(self) -> str:
        """The name beside a curve, which shows how the curve is drawn where that is not solid."""
        return self.name if self.line == "-" else f"{self.name} – · –"


def arms_of(table: pd.DataFrame) -> list[Arm]:
    """Split a table with the columns method, crops, policy and boxes into its arms, in order of appearance.

    Names are those of the tables. Raises ValueError where the table has no row.
    """
    if table.empty:
        raise ValueError("there are no runs to draw: the table is empty")
    found = []
    for (method, crops), rows in table.groupby(["method", "crops"], sort=False):
        policy, boxes = (None if pd.isna(rows[key].iloc[0]) else rows[key].iloc[0] for key in ("policy", "boxes"))
        boxes = None if policy in UNBOXED_POLICIES else boxes
        shown = rows.assign(boxes=pd.Series([boxes] * len(rows), index=rows.index, dtype=object))
        name = _name(method, shown)
        if method in UNCROPPED_METHODS and table.crops[table.method == method].nunique() > 1:
            name += f", {crops}"
        found.append(Arm(method, crops, policy, boxes, name, rows))
    return found


def readable(table: pd.DataFrame, lines: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of so many crop lines as a figure with a curve for each can show; of the references all.

    lines: names of crop lines, those a study wants shown; None takes the first MOST_LINES of each method. A method's
    first scene-scene line, which others are compared with, is always among them.
    """
    kept = table.method.isin(UNCROPPED_METHODS)
    for _, rows in table[~kept].groupby("method", sort=False):
        wanted = list(rows.crops.unique()[:MOST_LINES]) if lines is None else list(lines)
        wanted += list(rows.crops[rows.policy == "scene-scene"].unique()[:1])
        kept |= (table.method == rows.method.iloc[0]) & table.crops.isin(wanted)
    return table[kept]


def entitle(figure: Figure, title: str) -> None:
    """Write the title over the whole figure, at its left; long lines are broken, but neither names nor intervals."""
    joined = title.replace(" ±", "\N{NO-BREAK SPACE}±").replace("± ", "±\N{NO-BREAK SPACE}")
    lines = [textwrap.fill(line, TITLE_LENGTH, break_on_hyphens=False) for line in joined.splitlines()]
    figure.suptitle("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), x=0.01, ha="left", fontsize=10)


def _name(method: str, rows: pd.DataFrame) -> str:
    """MoCo-v2's lines are known by their crops, as in the verdicts; the references by their method."""
    if method == "moco_v2":
        return line_name(rows)
    name = METHOD_NAMES.get(method, method)
    return name if method in UNCROPPED_METHODS else f"{name}, {line_name(rows)}"


@contextmanager
def _settings() -> Iterator[None]:
    """RC over matplotlib's defaults: a user's matplotlibrc does not change a figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw the figure under RC, whatever the caller's settings are."""

    @wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _settings():
            figure = function(*args, **kwargs)
            FigureCanvasAgg(figure)
            return figure

    return draw


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write stem.png (150 dpi) and stem.pdf, each in one step; the same figure gives the same bytes."""
    undated: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    }
    paths = []
    for suffix, metadata in undated.items():
        path = Path(f"{stem}.{suffix}")
        with _settings(), writing(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata)
        paths.append(path)
    return paths


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) to the right of the axes at the heights y, moved apart where they would overlap.

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
    return _hex(rgb * min(1.0, INK / max(luminance, INK)) ** (1 / 2.4))


def _hex(rgb: np.ndarray) -> str:
    red, green, blue = rgb.tolist()
    return to_hex((red, green, blue))


def count_axis(axis: Axis, values: Sequence[float] | pd.Series) -> None:
    """Label a log axis of counts with whole numbers, at 1, 2 and 5 where it spans few decades."""
    few = len(values) == 0 or max(values) <= 1000 * min(values)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def spread(heights: Sequence[float], gap: float) -> np.ndarray:
    """Move heights, shares of the axes, as little as least squares allows until they are `gap` apart in this order.

    They stay in [0, 1] where there is room for all of them.
    """
    steps = gap * np.arange(len(heights))
    moved = isotonic_regression(np.asarray(heights, float) - steps).x
    return np.clip(moved, 0.0, max(0.0, 1.0 - steps[-1])) + steps
