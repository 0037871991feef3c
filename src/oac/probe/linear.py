"""The linear probe: a linear classifier on frozen features, for multi-label or single-label photos.

For many labels both solvers minimise the criterion of the released code, the binary cross-entropy averaged over
images and classes, plus weight_decay / 2 * ||W||^2 (the bias is not decayed). For one label a photo it is the softmax
cross-entropy averaged over images, as in MoCo's linear protocol on ImageNet, whose schedule is the same. Solvers:

- "sgd" is the paper's recipe: SGD with momentum, learning rate 30 divided by 10 at epochs 60 and 80 of 100;
- "lbfgs" finds the minimum of the same convex problem. It has no learning rate to choose and no randomness.

Training photos may have several augmented views each (`oac.probe.features.train_views`): epoch e
of SGD sees view e mod V, which with a view for each epoch is the published recipe; L-BFGS takes all views as images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oac.probe.metrics import check_one_label, mean_average_precision, top_k_accuracy
from oac.probe.solvers import SGD, identity, lbfgs, moments, sgd

TASKS = ("multi_label", "single_label")


@dataclass(frozen=True)
class LinearProbe:
    """logits = ((features - mean) / scale) @ weight.T + bias; all float32."""

    weight: Tensor
    """(C, D)"""
    bias: Tensor
    """(C,)"""
    mean: Tensor
    """(D,), zeros without standardisation"""
    scale: Tensor
    """(D,), ones without standardisation"""

    def scores(self, features: Tensor) -> Tensor:
        """Logits (N, C) of features (N, D), on the probe's device."""
        weight = self.weight / self.scale
        return features.to(weight) @ weight.T + (self.bias - weight @ self.mean)


@dataclass(frozen=True)
class Choice:
    """Result of `choose`."""

    probe: LinearProbe
    weight_decay: float
    validation: dict[float, float]
    """Validation mAP, or top-1 accuracy of photos with one label each, of every candidate weight decay; in [0, 1]."""


def fit(
    features: Tensor,
    targets: Tensor,
    *,
    task: str = "multi_label",
    solver: str = "sgd",
    weight_decay: float = 0.0,
    standardize: bool = False,
    device: torch.device | str = "cpu",
    before_epoch: Callable[[Tensor, Tensor], None] | None = None,
    **sgd_options: Any,
) -> LinearProbe:
    """Train the linear classifier; the defaults are the recipe of the released main_lincls.py.

    Args:
        features: (N, D), or (V, N, D) with V views of every image, any float dtype; moved to `device` whole.
        targets: (N, C) in {0, 1}.
        task: "multi_label", or "single_label" for photos of exactly one class each.
        solver: "sgd" or "lbfgs".
        weight_decay: see the module's text. The minimum is that of scikit-learn's `LogisticRegression` with
            C = 1 / (weight_decay * N * classes), class by class, or for single labels C = 1 / (weight_decay * N).
        standardize: first shift and scale each feature to mean 0 and deviation 1 over the given images.
        before_epoch: "sgd" calls it with weight and bias as they stand before each epoch.
        sgd_options: fields of `oac.probe.solvers.SGD`; they concern "sgd" only.

    Returns:
        The probe, on `device`.

    Raises:
        ValueError: inputs that do not fit, an unknown solver or task, or a training that diverged.
    """
    _check(features, targets, task)
    single = task == "single_label"
    # A byte a class is enough to take a softmax's residual, and a quarter of the memory of ImageNet's labels.
    features, targets = features.to(device), targets.to(device, torch.uint8 if single else torch.float32)
    data = (features, targets, *(moments(features) if standardize else identity(features)))
    options = SGD(**sgd_options)
    if solver == "sgd":
        weight, bias = sgd(*data, options, weight_decay, single, before_epoch)
    elif solver == "lbfgs":
        weight, bias = lbfgs(*data, weight_decay, single)
    else:
        raise ValueError(f'solver must be "sgd" or "lbfgs", not "{solver}"')
    if not bool(weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError(
            f"the linear probe diverged (solver {solver}, lr {options.lr}): use a smaller lr or standardize"
        )
    return LinearProbe(weight.float(), bias.float(), *data[2:])


def choose(
    features_train: Tensor,
    targets_train: Tensor,
    features_validation: Tensor,
    targets_validation: Tensor,
    *,
    weight_decays: Sequence[float],
    refit: tuple[Tensor, Tensor] | None = None,
    **options: Any,
) -> Choice:
    """Train one probe per weight decay and keep the one with the highest mAP, or top-1, on the validation images.

    The test images have no part in it. Of equal candidates the strongest decay wins.

    Args:
        weight_decays: the candidates, at least one.
        refit: features and targets to train on again with the chosen decay; for studies whose validation images
            were held out of the training split (`hold_out`).
        options: passed on to `fit`.
    """
    if not weight_decays:
        raise ValueError("weight_decays is empty: give at least one candidate")
    probes, quality = {}, {}
    for decay in sorted(set(weight_decays), reverse=True):
        probes[decay] = fit(features_train, targets_train, weight_decay=decay, **options)
        scores = probes[decay].scores(features_validation).cpu()
        quality[decay] = _quality(scores, targets_validation, options.get("task", "multi_label"))
    best = max(quality, key=lambda decay: quality[decay])
    if refit:
        return Choice(fit(*refit, weight_decay=best, **options), best, quality)
    return Choice(probes[best], best, quality)


def _quality(scores: Tensor, targets: Tensor, task: str) -> float:
    """What a weight decay is chosen by: the mAP, or the top-1 accuracy of photos with one label each.

    0 for all candidates, of which none is better then, where all images show the same classes: few photos can.
    """
    if task == "single_label":
        return top_k_accuracy(scores, targets, 1)
    return mean_average_precision(scores, targets) if (targets != targets[:1]).any() else 0.0


def hold_out(n: int, seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Split range(n) into (kept, held out) by chance; `share` of it, rounded, at least one each, is held out.

    Both parts are sorted int64 arrays. For studies without a validation split.
    """
    if n < 2 or not 0 < share < 1:
        raise ValueError(f"cannot hold out a share of {share} of {n} images")
    order = np.random.default_rng(seed).permutation(n)
    held = min(max(round(n * share), 1), n - 1)
    return np.sort(order[held:]), np.sort(order[:held])


def _check(features: Tensor, targets: Tensor, task: str) -> None:
    """Refuse features (V, N, D) and targets (N, C) that do not fit the task or each other, or are not numbers."""
    if task not in TASKS:
        raise ValueError(f'task must be "multi_label" or "single_label", not "{task}"')
    if features.ndim not in (2, 3) or targets.ndim != 2 or features.shape[-2] != len(targets) or len(targets) == 0:
        raise ValueError(
            "features and targets must be (images, dimensions), or (views, images, dimensions), and "
            f"(images, classes) with the same images, not {tuple(features.shape)} and {tuple(targets.shape)}"
        )
    finite = features.isfinite().all(-1).view(-1, len(targets)).all(0)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise ValueError(f"{int((~finite).sum())} rows of the features are not finite, the first is row {row}")
    if task == "single_label":
        check_one_label(targets)
