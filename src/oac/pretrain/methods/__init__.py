"""Objectives, a file each, behind one small protocol.

A method is a module that owns its networks and offers what the training loop needs: `loss`, `before_step`,
`after_step`, the `encoder` that a probe will read and the `chance` level of its loss. The loop knows no method by
name. A new method is a file here, its branch in `build` and its options in the study schema.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from oac.crop_options import ASYMMETRIC_POLICIES
from oac.pretrain.loader import Batch

M = TypeVar("M", bound=nn.Module)


class Method(nn.Module, ABC):
    """An objective over two views of a photo."""

    encoder: nn.Module  # the backbone that is kept: photos (B, 3, H, W) to features (B, D)
    chance: float  # the loss of a method that has learnt nothing, drawn beside the curve

    @abstractmethod
    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of augmented views (B, 3, S, S) and scalars to watch; nothing is synchronised.

        Every parameter that requires a gradient must have a part in it, for DistributedDataParallel waits for each.
        """

    def copies_of_encoder(self) -> list[nn.Module]:
        """Networks that start as copies of the encoder and follow it."""
        return []

    def before_parts(self, key: Tensor, batch: Batch, parts: int) -> Batch:
        """Do what needs the whole batch, where its loss is computed in `parts` parts (`accumulation`)."""
        return batch

    def forward(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return `loss`: what DistributedDataParallel calls."""
        return self.loss(query, key, batch)

    def before_step(self, progress: float) -> None:
        """Do what precedes the optimiser's step: take the gradients of parameters that are to rest."""

    def after_step(self, progress: float) -> None:
        """Do what follows the optimiser's step: momentum encoders, queues.

        `progress` in [0, 1) is the number of the step, from 0, as a share of the run's steps, before it as after it.
        """


def build(recipe: dict[str, Any], labels: np.ndarray) -> Method:
    """Build the untrained method that a recipe names; labels (N, C) in {0, 1} are for those that learn from them.

    Raises ValueError for an unknown method. Initial weights depend on torch's seed, which the caller sets.
    """
    from oac.pretrain.methods import byol, cmc, moco, supervised, swav

    method, network, options = recipe["method"], recipe["backbone"], recipe["options"]
    if method == "moco_v2":
        # Views of one kind share a head (section 4.1 of the paper).
        heads = {} if recipe["crops"]["policy"] in ASYMMETRIC_POLICIES else {"heads": 1}
        return moco.MoCo(network, _own(moco.MoCoOptions, options | heads))
    if method == "byol":
        return byol.BYOL(network, _own(byol.BYOLOptions, options))
    if method == "swav":
        return swav.SwAV(network, _own(swav.SwAVOptions, options))
    if method == "cmc":
        in_batch = {"negatives": options["batch_size"] - 1} if options.get("objective") == "in_batch" else {}
        return cmc.CMC(network, len(labels), recipe["seed"], _own(cmc.CMCOptions, options | in_batch))
    if method == "supervised":
        return supervised.Supervised(network, labels, options.get("objective", "multi_label"))
    raise ValueError(f"unknown method {method!r}: choose moco_v2, byol, swav, cmc or supervised")


def _own(kind: Any, options: dict[str, Any]) -> Any:
    """Read the options that are the method's own; the others are the optimiser's."""
    return kind(**{key: value for key, value in options.items() if key in kind.__dataclass_fields__})


def momentum_copy(module: M) -> M:
    """Copy a network that will follow it by `follow_`; no gradient reaches the copy."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def follow_(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move the parameters of a momentum copy towards the trained ones: slow <- m slow + (1 - m) fast."""
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - momentum)


def feature_std(z: Tensor) -> Tensor:
    """Spread of unit vectors (B, D): 1 when they fill the sphere evenly, 0 when they have collapsed to a point."""
    z = z.detach()
    return z.std(0).mean() * math.sqrt(z.shape[1])
