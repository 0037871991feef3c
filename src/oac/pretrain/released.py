"""Where the code that the paper's authors released cuts otherwise than the paper says, as pure geometry.

Each function is one option of a crop variant and is off by default (docs/audit.md has the list). Written from a
description of shlokk/object-cropping-ssl at 066a788, `datasets/openimages_dataset_bing.py`; line numbers are of that
file. Boxes are (n, 4) pixels, xmin, ymin, xmax, ymax, and may leave the photo: what is beside it is black.
"""

from __future__ import annotations

import numpy as np

SMALL_SIDE = 224 / 1024  # of the longer side of a photo; Open Images' are 1,024 px long


def dilate_coordinate(box: np.ndarray, delta: float) -> np.ndarray:
    """Move each edge outwards by `delta` times its own coordinate, and clip nothing (lines 166 to 170).

    An edge near the origin stays where it is and a far one moves by up to `delta` of the photo, past its border.
    """
    return np.concatenate([box[:, :2] * (1 - delta), box[:, 2:] * (1 + delta)], axis=1)


def grow_small(box: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Enlarge what is shorter than 224 px of 1,024, along an axis; by them, not to them (lines 171 to 200).

    The side counts in photos as Open Images has them: here it is SMALL_SIDE of the photo's longer side, however large
    the photo is stored. The low edge moves down by half of it, or, if that would not stay above 0, the interval
    becomes 0 to the side. Then the high edge moves up by half, or, if that would not stay below the photo's end, the
    low edge becomes the high one less the side. So a short box near the origin becomes the same whether it was
    dilated or not, a low edge can be negative, and a photo shorter than the side is left on the far side. size:
    (n, 2) width and height. The code rounds corners down to whole pixels first; here they are not rounded.
    """
    side = SMALL_SIDE * size.max(axis=1, keepdims=True)
    low, high = box[:, :2], box[:, 2:]
    short = high - low < side
    at_origin = low - side / 2 <= 0
    below, reached = np.where(at_origin, 0.0, low - side / 2), np.where(at_origin, side, high)
    at_border = reached + side / 2 >= size
    below, above = np.where(at_border, reached - side, below), np.where(at_border, reached, reached + side / 2)
    return np.concatenate([np.where(short, below, low), np.where(short, above, high)], axis=1)
