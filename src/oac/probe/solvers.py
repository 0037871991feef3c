"""The two solvers of the linear probe, SGD and L-BFGS; `oac.probe.linear` says what they minimise.

Tensors: features (N, D), or (V, N, D) of V views of every photo, targets (N, C) in {0, 1} as float32 (uint8 for
single_label, with one 1 in each row), mean and scale (D,). single_label: softmax cross-entropy in place of a logistic
loss per class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import softplus

log = logging.getLogger(__name__)

_LBFGS_ITERATIONS = 2000
_LBFGS_GRADIENT = 1e-6  # largest entry of the gradient, in the search's coordinates, of a minimum
_LBFGS_WARN = 1e-4  # above this, the result is no minimum for any practical purpose


def identity(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and scale 1 (D,) of each feature."""
    width = features.shape[-1]
    return torch.zeros(width, device=features.device), torch.ones(width, device=features.device)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (D,) of each feature over all views; a constant feature has scale 1."""
    spread, mean = torch.std_mean(features.flatten(0, -2).float(), dim=0, correction=0)
    # Rounding leaves a constant feature a spread of about 1e-7 of its mean, which must not become 1.
    constant = spread <= 1e-6 * mean.abs()
    return mean, torch.where(constant, 1.0, spread)


@dataclass(frozen=True)
class SGD:
    """Options of SGD; the defaults are the recipe of the released main_lincls.py.

    milestones: epochs, counted from 0, from which on the learning rate is ten times smaller.
    """

    lr: float = 30.0
    epochs: int = 100
    milestones: Sequence[int] = (60, 80)
    batch_size: int = 256
    momentum: float = 0.9
    seed: int = 0


def sgd(
    features: Tensor,
    targets: Tensor,
    mean: Tensor,
    scale: Tensor,
    options: SGD,
    weight_decay: float,
    single_label: bool = False,
    before_epoch: Callable[[Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) after SGD on (features - mean) / scale, all on one device.

    Epoch e sees view e mod V of every photo, so that with as many views as epochs no view is seen twice.
    before_epoch: shown the weight and the bias as they stand before each epoch.

    The same steps as `torch.optim.SGD` on the same loss; the gradient of a linear classifier is two
    lines, and saves autograd and the optimiser's seconds of start-up, which are most of a small probe's time.
    """
    views, classes = features.view(-1, *features.shape[-2:]), targets.shape[1]
    terms = 1 if single_label else classes  # of a photo's loss, which is their mean
    # Everything random is drawn on the CPU, so that the device does not change the draw.
    generator = torch.Generator().manual_seed(options.seed)
    weight = torch.randn(classes, features.shape[-1], generator=generator).mul_(0.01).to(features.device)
    bias = torch.zeros(classes, device=features.device)
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for epoch in range(options.epochs):
        if before_epoch:
            before_epoch(weight, bias)
        rate = options.lr * 0.1 ** sum(epoch >= milestone for milestone in options.milestones)
        order = torch.randperm(len(targets), generator=generator).to(features.device)
        for batch in order.split(options.batch_size):
            inputs = (views[epoch % len(views)][batch].float() - mean) / scale
            logits = torch.addmm(bias, inputs, weight.T)
            probs = logits.softmax(1) if single_label else logits.sigmoid()
            residual = (probs - targets[batch]) / (len(batch) * terms)
            gradient = torch.addmm(weight, residual.T, inputs, beta=weight_decay)
            weight_velocity.mul_(options.momentum).add_(gradient)
            bias_velocity.mul_(options.momentum).add_(residual.sum(0))
            weight.sub_(weight_velocity, alpha=rate)
            bias.sub_(bias_velocity, alpha=rate)
    return weight, bias


def lbfgs(
    features: Tensor,
    targets: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight_decay: float,
    single_label: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) at the minimum of the objective on (features - mean) / scale, in float64.

    L-BFGS searches in coordinates in which the curvature is nearly the same in all directions: those of a Cholesky
    factor of the Hessian that one weight for all photos and classes would give. The minimum is the same, and is found
    in fewer iterations.
    """
    center, spread = (moment.double() for moment in moments(features))
    # Every view is an image of its own. Features of mean 0 and deviation 1, with the decay counted on the weights of
    # the problem as posed, and a column of ones for the bias, which is not decayed.
    inputs = (features.flatten(0, -2).double() - center).div_(spread)
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
    targets = targets.double().repeat(len(inputs) // len(targets), 1)
    images, classes = targets.shape
    stretch = scale.double() / spread
    penalty = torch.zeros_like(inputs[0])
    penalty[:-1] = weight_decay * (1 if single_label else classes) * stretch.square()

    share = targets.mean(0)
    weight_of_all = (share * (1 - share)).mean().clamp(min=1 / images)
    whitening = _inverse_cholesky(weight_of_all * (inputs.T @ inputs) / images, penalty)

    def weights(flat: np.ndarray) -> Tensor:
        return torch.from_numpy(flat).to(inputs).view(classes, -1) @ whitening

    def whitened(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = _objective(weights(flat), inputs, targets, penalty, single_label)
        return float(loss), (gradient @ whitening.T).reshape(-1).cpu().numpy()

    # ftol 0: stop by the gradient, not because one step gained little.
    limits = {"maxiter": _LBFGS_ITERATIONS, "maxfun": 2 * _LBFGS_ITERATIONS, "maxcor": 20, "ftol": 0.0}
    start = np.zeros(classes * len(penalty))
    result = minimize(whitened, start, jac=True, method="L-BFGS-B", options={**limits, "gtol": _LBFGS_GRADIENT})
    both = weights(result.x)
    steepest = float(_objective(both, inputs, targets, penalty, single_label)[1].abs().max())
    if not steepest <= _LBFGS_WARN:
        log.warning(
            "L-BFGS stopped before the minimum (gradient %.1e after %d iterations, weight decay %g): "
            "a stronger weight decay makes the problem easier",
            *(steepest, result.nit, weight_decay),
        )
    weight = both[:, :-1] * stretch
    return weight, both[:, -1] + weight @ ((mean.double() - center) / scale.double())


def _objective(
    both: Tensor, inputs: Tensor, targets: Tensor, penalty: Tensor, single_label: bool
) -> tuple[Tensor, Tensor]:
    """The loss at weights and biases (C, D + 1), and its gradient; inputs (N, D + 1) end with a column of ones.

    Where it is a mean over classes it is taken times their number, so that the classes are independent problems.
    """
    logits = inputs @ both.T
    probs = logits.softmax(1) if single_label else logits.sigmoid()
    nll = (logits.logsumexp(1) if single_label else softplus(logits).sum(1)) - (targets * logits).sum(1)
    loss = nll.sum() / len(inputs) + 0.5 * (penalty * both.square()).sum()
    return loss, (probs - targets).T @ inputs / len(inputs) + penalty * both


def _inverse_cholesky(curvature: Tensor, penalty: Tensor) -> Tensor:
    """The inverse of the lower Cholesky factor of curvature (D, D) plus the diagonal of penalties (D,)."""
    # More features than photos and no decay leave directions without any curvature.
    least = 1e-9 * curvature.diagonal().mean()
    factor = torch.linalg.cholesky(curvature + torch.diag(penalty + least))
    eye = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, eye, upper=False)
