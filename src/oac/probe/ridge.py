"""Ridge path: least squares on frozen features, with the penalty of the least leave-one-out error.

A check of the linear probe with nothing to tune: no learning rate, no schedule, no validation images. Each penalty of
the path is judged by its leave-one-out error, which least squares gives in closed form (Allen's PRESS; Golub, Heath
and Wahba, Technometrics 1979, section 2), and all penalties share one decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oac.probe.linear import LinearProbe
from oac.probe.solvers import moments

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-10, 7))  # of features with mean 0 and deviation 1


@dataclass(frozen=True)
class RidgePath:
    """Result of `ridge_path`."""

    probe: LinearProbe
    penalty: float
    errors: dict[float, float]
    """Leave-one-out mean squared error over images and classes of every penalty."""


def ridge_path(features: Tensor, targets: Tensor, penalties: tuple[float, ...] = PENALTIES) -> RidgePath:
    """Fit targets in {0, 1} by least squares for every penalty and keep the one with the least leave-one-out error.

    Minimised is the mean over images of the squared error, summed over classes, plus penalty * ||W||^2, on features
    of mean 0 and deviation 1; the intercept is not penalised. One penalty serves all classes.

    Args:
        features: (N, D), one view of every image: of several, leaving one out would leave the others in.
        targets: (N, C) in {0, 1}.
        penalties: positive.

    Raises:
        ValueError: a penalty is not positive, or there are no two images.
    """
    if len(features) < 2 or not penalties or min(penalties) <= 0:
        raise ValueError(f"a ridge path needs two images and positive penalties, not {len(features)} and {penalties}")
    images = len(features)
    mean, scale = (moment.double() for moment in moments(features))
    inputs, targets = (features.double() - mean) / scale, targets.double()
    centre = targets.mean(0)
    eigenvalues, basis = torch.linalg.eigh(inputs.T @ inputs / images)
    rotated = inputs @ basis
    moment = rotated.T @ (targets - centre) / images
    squared = rotated.square()
    errors = {}
    for penalty in penalties:
        shrunk = 1 / (eigenvalues.clamp(min=0) + penalty)
        residual = targets - centre - rotated @ (shrunk[:, None] * moment)
        # The share of an image in its own prediction; 1 / N of it through the intercept.
        leverage = squared @ shrunk / images + 1 / images
        errors[penalty] = float((residual / (1 - leverage)[:, None]).square().mean())
    best = min(errors, key=lambda penalty: errors[penalty])
    weight = (basis @ (moment / (eigenvalues.clamp(min=0) + best)[:, None])).T
    probe = LinearProbe(weight.float(), centre.float(), mean.float(), scale.float())
    return RidgePath(probe, best, errors)
