"""Moves the edges of BING's windows towards the object inside: a linear regression from what the filter sees.

BING's windows have sides of a few quantised lengths and positions on a grid of an eighth of them, which is near
enough for an overlap of 0.5 and seldom for 0.7. The 8 x 8 normed gradients of a window say where in it an object
lies, and the photo's border where an object ends. One ridge regression for all sizes predicts the four changes of
Girshick et al. (CVPR 2014, appendix C): of the centre in units of the window, of width and height as logarithms.
"""

from __future__ import annotations

import numpy as np

BORDERS = 8
"""Features of the photo's border: the distance to each edge in windows, up to 1, and whether it is 0."""

LARGEST = (0.5, 1.0)
"""Largest change of the centre in windows, and of the logarithm of a side; the true ones are smaller from IoU 0.5."""

RIDGE = 10.0


def features(cells: np.ndarray, boxes: np.ndarray, size: np.ndarray, sizes: int) -> np.ndarray:
    """What the regression sees of n windows: (n, 64 + BORDERS + sizes), float32.

    cells: (n, 64) normed gradients of 0 to 255; boxes: (n, 4) windows in [0, 1]; size: (n,) which of the `sizes`.
    """
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    distance = np.concatenate([boxes[:, :2], 1.0 - boxes[:, 2:]], axis=1)
    near = np.minimum(distance / sides, 1.0)
    one_hot = np.zeros((len(boxes), sizes), dtype=np.float32)
    one_hot[np.arange(len(boxes)), size] = 1.0
    return np.concatenate([cells / np.float32(255), near, distance <= 1e-6, one_hot], axis=1, dtype=np.float32)


def fit(inputs: np.ndarray, boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Learn the regression (features, 4) from windows and the true box of each, both (n, 4) in [0, 1]."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + truth[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / sides
    targets = np.concatenate([shift, np.log(wanted / sides)], axis=1)
    inputs = inputs.astype(np.float64)
    return np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ targets)


def move(boxes: np.ndarray, inputs: np.ndarray, weights: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes (n, 4) in [0, 1] with their edges moved; inside the photo and a pixel wide and high at least."""
    change = inputs @ weights
    sides = (boxes[:, 2:] - boxes[:, :2]) * np.exp(np.clip(change[:, 2:], -LARGEST[1], LARGEST[1]))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    centre = centre + np.clip(change[:, :2], -LARGEST[0], LARGEST[0]) * (boxes[:, 2:] - boxes[:, :2])
    pixel = 1.0 / np.array([width, height])
    low = np.clip(centre - sides / 2, 0.0, 1.0 - pixel)
    high = np.clip(np.maximum(centre + sides / 2, low + pixel), 0.0, 1.0)
    return np.concatenate([low, high], axis=1)
