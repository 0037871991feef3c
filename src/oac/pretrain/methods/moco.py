"""MoCo-v2: a query against its key and a queue of older keys.

He et al., "Momentum Contrast", CVPR 2020 (algorithm 1), with the projection head, augmentation and schedule of
Chen et al., arXiv 2003.04297; two projection heads for object views as in Mishra et al., arXiv 2112.00319v1,
section 4.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.distributed import all_gather, rank, world_size
from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method, feature_std, follow_, momentum_copy
from oac.pretrain.nn import backbone, projection_head


@dataclass(frozen=True)
class MoCoOptions:
    """Options of the objective; the defaults are the published 200-epoch recipe.

    queue: keys kept (K). key_momentum: of the key encoder (m). temperature: T. dim, hidden: sizes of the head.
    heads: 1, or 2 for a head of its own for each of the policy's two views, where these differ in kind.
    head_norm: batch norm inside the head, which the paper does not have and small queues need.
    bn_splits: parts of the batch with batch norm statistics of their own, the one-device equivalent of that many
    GPUs, eight as published.
    """

    queue: int = 65536
    key_momentum: float = 0.999
    temperature: float = 0.2
    dim: int = 128
    hidden: int = 2048
    heads: int = 1
    head_norm: bool = False
    bn_splits: int = 8


class MoCo(Method):
    """Query encoder trained by gradient, key encoder following it, and a queue of keys that wraps around."""

    queue: Tensor
    pointer: Tensor

    def __init__(self, network: dict[str, Any], options: MoCoOptions):
        """Raise ValueError for other than one or two heads."""
        super().__init__()
        if options.heads not in (1, 2):
            raise ValueError(
                f"heads: {options.heads} are not one, nor one for each of the two views: set it to 1 or 2"
            )
        self.options = options
        self.encoder, features = backbone(**network, bn_splits=options.bn_splits)
        self.heads = nn.ModuleList(
            projection_head(
                features, options.hidden, options.dim, batch_norm=options.head_norm, bn_splits=options.bn_splits
            )
            for _ in range(options.heads)
        )
        self.key_encoder, self.key_heads = momentum_copy(self.encoder), momentum_copy(self.heads)
        self.register_buffer("queue", F.normalize(torch.randn(options.queue, options.dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.chance = math.log(options.queue + 1)
        self._keys: Tensor | None = None

    def copies_of_encoder(self) -> list[nn.Module]:
        """The key encoder."""
        return [self.key_encoder]

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """InfoNCE of (B, 3, S, S) views: cross-entropy of the true key among itself and the queue (equation 1)."""
        second = batch.swapped.to(query.device, non_blocking=True)
        q = F.normalize(_project(self.heads, self.encoder(query), second).float(), dim=1)
        k = self.before_parts(key, batch, 1).keys if batch.keys is None else batch.keys
        assert k is not None, "before_parts encodes them"
        with torch.autocast(query.device.type, enabled=False):
            positive = (q * k).sum(1, keepdim=True)
            logits = torch.cat([positive, q @ self.queue.T], dim=1) / self.options.temperature
            loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))
        return loss, {"feature_std": feature_std(q), "positive": positive.detach().mean()}

    def before_parts(self, key: Tensor, batch: Batch, parts: int) -> Batch:
        """Encode the keys of the batch, a part of the splits at a time, as a split has samples of all its parts."""
        second = batch.swapped.to(key.device, non_blocking=True)
        self._keys = self._encode_keys(all_gather(key), all_gather(~second), parts)
        return replace(batch, keys=self._keys.chunk(world_size())[rank()])

    @torch.no_grad()
    def _encode_keys(self, key: Tensor, second: Tensor, parts: int = 1) -> Tensor:
        """Encode keys in other splits than the queries, so that no pair shares its batch statistics.

        Takes the views of all processes, of which this one encodes its share of the new order, and returns all keys.
        """
        order = _interleave(len(key), self.options.bn_splits, key.device)
        own = order.chunk(world_size())[rank()].chunk(parts)
        keys = torch.cat([_project(self.key_heads, self.key_encoder(key[rows]), second[rows]) for rows in own])
        return all_gather(F.normalize(keys.float(), dim=1))[order.argsort()]

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the key encoder towards the query encoder (equation 2) and put the newest keys into the queue."""
        follow_(self.key_encoder, self.encoder, self.options.key_momentum)
        follow_(self.key_heads, self.heads, self.options.key_momentum)
        assert self._keys is not None, "after_step follows loss"
        # Places are taken modulo the length, so a batch need not divide the queue.
        place = (self.pointer + torch.arange(len(self._keys), device=self.queue.device)) % len(self.queue)
        self.queue[place] = self._keys
        self.pointer.copy_((self.pointer + len(self._keys)) % len(self.queue))
        self._keys = None


def _project(heads: nn.ModuleList, features: Tensor, second: Tensor) -> Tensor:
    """Send first views through the first head and second views (second: (B,) bool) through the last."""
    if len(heads) == 1:
        projected: Tensor = heads[0](features)
        return projected
    return torch.where(second[:, None], heads[1](features), heads[0](features))


def _interleave(count: int, splits: int, device: torch.device) -> Tensor:
    """Order that deals samples out to the splits in turn: sample i goes to split i modulo `splits`."""
    return torch.arange(count, device=device).view(-1, splits).T.reshape(-1)
