"""SwAV: predict from each view of a photo how the other one was assigned to clusters, and learn the clusters.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020, arXiv
2006.09882. The crop policy's two views are the full-size ones, which give the codes; the small ones (multi-crop) only
predict them. All batch norms have their statistics over the whole batch, as published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.distributed import all_gather, rank, world_size
from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method, feature_std
from oac.pretrain.nn import backbone, projection_head


@dataclass(frozen=True)
class SwAVOptions:
    """Options of the objective; the defaults are the published 200-epoch recipe for batches of 256.

    prototypes: clusters (K). temperature: of the prediction (tau). epsilon: how soft the codes are. sinkhorn: rounds
    of normalisation. dim, hidden: sizes of the projector. queue: older features that codes of small batches are
    computed among, for each full-size view. queue_from: share of the run after which features are kept (epoch 15).
    freeze: share of the run in which the prototypes stay as they are (5,005 steps).
    """

    prototypes: int = 3000
    temperature: float = 0.1
    epsilon: float = 0.05
    sinkhorn: int = 3
    dim: int = 128
    hidden: int = 2048
    queue: int = 3840
    queue_from: float = 0.075
    freeze: float = 0.005


class SwAV(Method):
    """An encoder, a projector and prototypes of unit length, all trained by gradient."""

    queue: Tensor

    def __init__(self, network: dict[str, Any], options: SwAVOptions):
        super().__init__()
        self.options = options
        self.encoder, features = backbone(**network)
        self.projector = projection_head(features, options.hidden, options.dim, batch_norm=True)
        self.prototypes = nn.Linear(options.dim, options.prototypes, bias=False)
        self._normalise_prototypes()
        self.register_buffer("queue", torch.zeros(2, options.queue, options.dim))
        self.queued = 0  # features in the queue, counted beyond its length
        self.chance = math.log(options.prototypes)
        self._features: Tensor | None = None

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Swapped prediction (equations 1, 2 and 6): cross-entropy of each view and the codes of the others.

        query, key: (B, 3, S, S); batch.small: (n * B, 3, s, s) or None. The mean is over photos, both codes and the
        views that predict each.
        """
        # Views of one size share a pass, and all views the projector's batch norm.
        features = [self.encoder(torch.cat([query, key]))]
        if batch.small is not None:
            features.append(self.encoder(batch.small))
        z = F.normalize(self.projector(torch.cat(features)).float(), dim=1)
        with torch.autocast(query.device.type, enabled=False):
            scores = z @ self.prototypes.weight.T
            views = scores.split(len(query))
            codes = self._codes(z.detach().split(len(query))[:2])
            logs = [F.log_softmax(view / self.options.temperature, dim=1) for view in views]
            losses = [
                -(code * log).sum(1).mean()
                for assigned, code in enumerate(codes)
                for view, log in enumerate(logs)
                if view != assigned
            ]
            loss = torch.stack(losses).mean()
        # The share of the prototypes that would be in use if all used ones were used alike.
        usage = codes[0].mean(0)
        used = torch.exp(-torch.special.xlogy(usage, usage).sum()) / self.options.prototypes
        return loss, {"feature_std": feature_std(z[: len(query)]), "prototypes_used": used}

    @torch.no_grad()
    def _codes(self, full: tuple[Tensor, ...]) -> list[Tensor]:
        """Assign the full-size views' features (B, dim), two of them, to the prototypes: (B, K) each."""
        everyone = torch.stack([all_gather(part) for part in full])
        self._features = everyone
        if self.queued >= self.options.queue > 0:
            everyone = torch.cat([self.queue, everyone], dim=1)
        assigned = [sinkhorn(z @ self.prototypes.weight.T, self.options) for z in everyone]
        newest = [codes[-len(full[0]) * world_size() :] for codes in assigned]
        return [codes.chunk(world_size())[rank()] for codes in newest]

    def before_step(self, progress: float) -> None:
        """Take the prototypes' gradient while they are frozen: without one no optimiser moves them."""
        if progress < self.options.freeze:
            self.prototypes.weight.grad = None

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Bring the prototypes back to unit length and put the newest features into the queue."""
        self._normalise_prototypes()
        assert self._features is not None, "after_step follows loss"
        if progress >= self.options.queue_from and self.options.queue:
            newest = self._features[:, -self.options.queue :]
            self.queue = torch.cat([self.queue[:, newest.shape[1] :], newest], dim=1)
            self.queued += newest.shape[1]
        self._features = None

    @torch.no_grad()
    def _normalise_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def get_extra_state(self) -> Tensor:
        """Length of the queue; on the host, where it decides without waiting for the device."""
        return torch.tensor(self.queued)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` gave."""
        self.queued = int(state)


def sinkhorn(scores: Tensor, options: SwAVOptions) -> Tensor:
    """Soft codes of n features that use all prototypes alike (section 3.1): (n, K), rows sum to 1.

    scores: (n, K) products of features and prototypes. Columns and rows of exp(scores / epsilon) are normalised in
    turn (Cuturi, NIPS 2013), rows last.
    """
    # The largest score is taken off lest the exponential overflows; a common factor changes nothing.
    codes = torch.exp((scores - scores.max()) / options.epsilon)
    for _ in range(options.sinkhorn):
        codes = codes / codes.sum(0, keepdim=True).clamp(min=torch.finfo(codes.dtype).tiny)
        codes = codes / codes.sum(1, keepdim=True)
    return codes
