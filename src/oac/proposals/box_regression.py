"""Bounding-box regression for BING: moves the edges of a window towards the object inside it.

BING's windows have sides of a few quantised lengths and positions on a grid of an eighth of them. That is near enough
for an IoU of 0.5 and seldom for 0.7. The 8 x 8 normed gradients of a window say where in it an object lies, and the
photo's border says where an object ends. One ridge regression for all sizes predicts the four changes of Girshick et
al. (CVPR 2014, appendix C): of the centre in units of the window, of width and height as logarithms.
"""

from __future__ import annotations

import numpy as np

BORDER_FEATURES = 8
"""Features of the photo's border: the distance to each edge in windows, up to 1, and whether it is 0."""

MAX_SHIFT = 0.5
"""Largest change of the centre, in windows; the true ones are smaller from IoU 0.5 on."""

MAX_LOG_SCALE = 1.0
"""Largest change of the logarithm of a side; the true ones are smaller from IoU 0.5 on."""

RIDGE = 10.0
"""L2 penalty of the regression."""


def regression_inputs(cells: np.ndarray, boxes: np.ndarray, size: np.ndarray, sizes: int) -> np.ndarray:
    """Inputs of the regression for n windows: (n, 64 + BORDER_FEATURES + sizes), float32.

    cells: (n, 64) normed gradients of 0 to 255; boxes: (n, 4) windows in [0, 1]; size: (n,) which of the `sizes`.
    """
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    distance = np.concatenate([boxes[:, :2], 1.0 - boxes[:, 2:]], axis=1)
    near = np.minimum(distance / sides, 1.0)
    one_hot = np.zeros((len(boxes), sizes), dtype=np.float32)
    one_hot[np.arange(len(boxes)), size] = 1.0
    return np.concatenate([cells / np.float32(255), near, distance <= 1e-6, one_hot], axis=1, dtype=np.float32)


def fit_regression(inputs: np.ndarray, boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights (inputs, 4) from windows and the ground-truth box of each, both (n, 4) in [0, 1]."""
    sides, true_sides = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + truth[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / sides
    targets = np.concatenate([shift, np.log(true_sides / sides)], axis=1)
    inputs = inputs.astype(np.float64)
    return np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ targets)


def apply_regression(
    boxes: np.ndarray, inputs: np.ndarray, weights: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Boxes (n, 4) in [0, 1] after the regression; inside the photo and at least a pixel wide and high.

    width, height: of the photo in pixels.
    """
    change = inputs @ weights
    sides = (boxes[:, 2:] - boxes[:, :2]) * np.exp(np.clip(change[:, 2:], -MAX_LOG_SCALE, MAX_LOG_SCALE))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    centre = centre + np.clip(change[:, :2], -MAX_SHIFT, MAX_SHIFT) * (boxes[:, 2:] - boxes[:, :2])
    pixel = 1.0 / np.array([width, height])
    low = np.clip(centre - sides / 2, 0.0, 1.0 - pixel)
    high = np.clip(np.maximum(centre + sides / 2, low + pixel), 0.0, 1.0)
    return np.concatenate([low, high], axis=1)
