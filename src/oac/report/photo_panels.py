"""Photos in a figure, with boxes outlined on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, Normal, withStroke


def show_photo(axes: Axes, photo: np.ndarray, **options: Any) -> None:
    """Show a photo (H, W, 3) uint8 without ticks or frame; one unit of the axes is a pixel."""
    height, width = photo.shape[:2]
    axes.imshow(photo, extent=(0, width, height, 0), **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def dark_rim(width: float, rim: float) -> list[AbstractPathEffect]:
    """Path effects that put a black rim of `rim` points around a line of `width` points."""
    return [withStroke(linewidth=width + 2 * rim, foreground="black"), Normal()] if rim else []


def outline(axes: Axes, box: np.ndarray, colour: str, width: float, dashes: Any = "-", rim: float = 0.0) -> None:
    """Outline a box (4,) in pixels: xmin, ymin, xmax, ymax. dashes: a line style; width, rim: points."""
    left, top, right, bottom = box.tolist()
    style: dict[str, Any] = {"fill": False, "ec": colour, "lw": width, "ls": dashes, "clip_on": False}
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, path_effects=dark_rim(width, rim), **style))
