"""BYOL: predict how a slowly moving copy of the network sees the other view; there are no negatives.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv 2006.07733. One projector and one predictor serve both
views, whatever the crop policy: two heads, as MoCo-v2 has them for object views, would also ask which predictor
answers which head, and nothing published says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method, feature_std, follow_, momentum_copy
from oac.pretrain.nn import backbone, projection_head


@dataclass(frozen=True)
class BYOLOptions:
    """Options of the objective; the defaults are the published 200-epoch recipe (mmselfsup's).

    target_momentum: of the target network at the start (tau_base). dim, hidden: sizes of projector and predictor.
    bn_splits: parts of the batch with batch norm statistics of their own, the one-device equivalent of that many GPUs
    without synchronised statistics.
    """

    target_momentum: float = 0.99
    dim: int = 256
    hidden: int = 4096
    bn_splits: int = 1


class BYOL(Method):
    """Online encoder, projector and predictor trained by gradient; target encoder and projector following them.

    The published recipes synchronise batch norm over all GPUs, which is `bn_splits` = 1: each view is normalised by
    its whole batch. With more splits, predictions and targets are split alike. MoCo shuffles its keys lest shared
    statistics give the true key away; here is no wrong key to tell it from, so nothing is shuffled.
    """

    # Unrelated unit vectors have a mean cosine of 0, so that each direction loses 2. A network that maps all photos
    # to one point loses less, 0 at best: whether it learns is seen from the loss and `feature_std` together.
    chance = 4.0

    def __init__(self, network: dict[str, Any], options: BYOLOptions):
        super().__init__()
        self.options = options
        self.encoder, features = backbone(**network, bn_splits=options.bn_splits)
        self.projector, self.predictor = (
            projection_head(length, options.hidden, options.dim, batch_norm=True, bn_splits=options.bn_splits)
            for length in (features, options.dim)
        )
        self.target_encoder, self.target_projector = momentum_copy(self.encoder), momentum_copy(self.projector)

    def copies_of_encoder(self) -> list[nn.Module]:
        """The target network's encoder."""
        return [self.target_encoder]

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """2 - 2 cos of prediction and target (equation 2) of views (B, 3, S, S), summed over both directions."""
        views = (query, key)
        predictions = [self._predict(view) for view in views]
        targets = [self._target(view) for view in reversed(views)]
        with torch.autocast(query.device.type, enabled=False):
            cosines = torch.stack([(p * z).sum(1) for p, z in zip(predictions, targets, strict=True)])
            loss = (2 - 2 * cosines).sum(0).mean()
        return loss, {"feature_std": feature_std(predictions[0]), "positive": cosines.detach().mean()}

    def _predict(self, view: Tensor) -> Tensor:
        """q(z) of the online network, of unit length: (B, dim)."""
        return F.normalize(self.predictor(self.projector(self.encoder(view))).float(), dim=1)

    @torch.no_grad()
    def _target(self, view: Tensor) -> Tensor:
        """z' of the target network, of unit length: (B, dim)."""
        return F.normalize(self.target_projector(self.target_encoder(view)).float(), dim=1)

    def after_step(self, progress: float) -> None:
        """Move the target towards the online network that the step has made (equation 1), less and less."""
        tau = target_momentum(self.options.target_momentum, progress)
        follow_(self.target_encoder, self.encoder, tau)
        follow_(self.target_projector, self.projector, tau)


def target_momentum(base: float, progress: float) -> float:
    """tau = 1 - (1 - base) (cos(pi progress) + 1) / 2: from `base` at a run's first step towards 1, a target at rest.

    So `target_ema` of byol/utils/schedules.py of the authors' code has it, whose steps count from 0.
    """
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2
