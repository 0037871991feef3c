"""One colour and marker for a variant wherever it is drawn.

The colours can be distinguished under the common colour-vision deficiencies (Okabe and Ito 2008; Wong, Nature Methods
2011; wine and olive of Tol's palette for further methods). Hue shows the crop policy, shade and marker the source
of the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.transforms import ScaledTranslation

from oac.report.results import REFERENCE_METHODS, Variant
from oac.report.style import GRAY, PERCENT, draw_interval, plot_at
from oac.studies import PRETRAINED, RANDOM_INIT

MAX_CURVES = 8  # of a method; more cannot be distinguished in one figure
READING = "Large: mean, bar: 95 % t-interval (n ≥ 3), small: seeds"  # how `draw_variant` is read
FACES = (None, "white", "#C8C8C8", "#000000")  # of a marker: its own colour, then open, gray, black

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


def draw_variant(
    axes: Axes, variant: Variant, at: float, key: str = "map", upright: bool = True, face: str | None = None
) -> None:
    """Draw a variant at a place on the other axis: its mean, its 95 % t-interval and, a little aside, its seeds.

    face: colour inside of its marker, of `faces`; None fills it with the variant's own.
    """
    estimate, values, shade, shape = variant.estimate(key), variant.values(key), colour(variant), marker(variant)
    draw_interval(axes, at, estimate, shade, 2.0, upright, PERCENT)
    rim = {"mec": "white", "mew": 0.7} if face is None else {"mfc": face, "mec": shade, "mew": 1.3}
    plot_at(axes, at, [estimate.mean], upright, color=shade, marker=shape, ms=8, gid="mean", **rim)
    if len(values) > 1:
        right, down = (6 / 72, 0.0) if upright else (0.0, 6 / 72)
        aside = axes.transData + ScaledTranslation(right, -down, axes.figure.dpi_scale_trans)
        look = {"color": shade, "marker": shape, "ms": 3, "alpha": 0.7, "mew": 0, "ls": ""}
        plot_at(axes, at, list(values.values()), upright, transform=aside, gid="seeds", **look)
        # Matplotlib leaves points that are shifted out of the limits, and the axis would cut the outermost seeds.
        axes.update_datalim([(at, value) if upright else (value, at) for value in values.values()])


def faces(variants: Sequence[Variant]) -> list[str | None]:
    """What each variant's marker is filled with, so that two of one colour and shape are told from each other."""
    looks = [(colour(variant), marker(variant)) for variant in variants]
    return [FACES[looks[:place].count(look) % len(FACES)] for place, look in enumerate(looks)]
