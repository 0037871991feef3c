"""Where the code that the paper's authors released cuts otherwise than the paper says, as pure geometry.

Each function is one option of a crop variant and is off by default (docs/audit.md has the list). Written from a
description of shlokk/object-cropping-ssl at 066a788, `datasets/openimages_dataset_bing.py`; line numbers are of that
file. Boxes are (n, 4) pixels, xmin, ymin, xmax, ymax, and may leave the photo: what is beside it is black.
"""

from __future__ import annotations

import numpy as np

# The code counts in pixels of Open Images' photos, which are 1,024 px long. Here photos are stored at any size, so a
# pixel is a 1,024th of the longer side.
LONG_SIDE = 1024
SMALL_SIDE = 224


def dilate_coordinate(box: np.ndarray, delta: float, size: np.ndarray) -> np.ndarray:
    """Move each edge outwards by `delta` times its own coordinate, and clip nothing (lines 161 to 170).

    An edge near the origin stays where it is and a far one moves by up to `delta` of the photo, past its border.
    Edges and what they move by are rounded down to whole pixels. size: (n, 2) width and height.
    """
    pixel = _pixel(size)
    edges = _whole(box / pixel)
    moved = np.floor(edges * delta)
    low, high = edges[:, :2] - moved[:, :2], edges[:, 2:] + moved[:, 2:]
    # A box within one pixel ends the released code; here it is one pixel.
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1) * pixel


def grow_small(box: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Enlarge what is shorter than 224 px of 1,024, along an axis; by them, not to them (lines 171 to 200).

    Edges are rounded down to whole pixels first. The low edge moves down by half the side of 224 px, or, if that
    would not stay above 0, the interval becomes 0 to the side. Then the high edge moves up by half, or, if that would
    not stay below the photo's end, the low edge becomes the high one less the side. So a short box near the origin
    becomes the same whether it was dilated or not, a low edge can be negative, and a photo shorter than the side is
    left on the far side. size: (n, 2) width and height.
    """
    pixel, side = _pixel(size), SMALL_SIDE
    edges = _whole(box / pixel)
    low, high = edges[:, :2], edges[:, 2:]
    short = high - low < side
    at_origin = low - side / 2 <= 0
    below, reached = np.where(at_origin, 0.0, low - side / 2), np.where(at_origin, side, high)
    at_border = reached + side / 2 >= _whole(size / pixel)
    below, above = np.where(at_border, reached - side, below), np.where(at_border, reached, reached + side / 2)
    return np.concatenate([np.where(short, below, low), np.where(short, above, high)], axis=1) * pixel


def _pixel(size: np.ndarray) -> np.ndarray:
    """A pixel of Open Images in those of the stored photos, (n, 1)."""
    return size.max(axis=1, keepdims=True) / LONG_SIDE


def _whole(pixels: np.ndarray) -> np.ndarray:
    """Round down to whole pixels what may be a rounding error below one."""
    return np.floor(pixels + 1e-6)
