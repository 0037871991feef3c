"""CMC: tell from the colours of a photo which lightness belongs to them, and the other way round.

Tian et al., "Contrastive Multiview Coding", ECCV 2020, arXiv 1906.05849, with the noise-contrastive loss of Wu et
al., CVPR 2018, over memories of all photos. Other photos are drawn once for a step and shared by its photos: for each
of them the same expectation as draws of its own, without a copy of the memories for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.addressed import uniform
from oac.pretrain.distributed import gathered, gathered_with_gradient, rank, summed, world
from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method
from oac.pretrain.nn import TwoStream

_EPSILON = 1e-7  # keeps a logarithm from 0, as in the authors' code


@dataclass(frozen=True)
class Options:
    """Options of the objective; the defaults are the published recipe (its code's, where the README differs).

    negatives: other photos that a pair is told from (m). temperature: tau. memory_momentum: share of a memory that
    stays when its photo is seen. dim: length of a projection. views: `same` takes lightness and colours of one crop,
    the query, as published; `crossed` takes the colours of the key. Either is told from memories, which are of crops
    of earlier epochs. objective: nce; softmax over the same; or batch, a softmax over the other photos of the step
    (equation 3 with the batch for its sample set), which needs no memories and suits runs of few epochs.
    """

    negatives: int = 16384
    temperature: float = 0.07
    memory_momentum: float = 0.5
    dim: int = 128
    views: str = "same"
    objective: str = "nce"


class CMC(Method):
    """Two half-width encoders, a linear projection of each, and a memory of each for every photo."""

    encoder: TwoStream
    memory: Tensor
    constants: Tensor

    def __init__(self, network: dict[str, Any], photos: int, seed: int, options: Options):
        """`photos` is the number of training photos, `seed` that of the run: it draws the negatives."""
        super().__init__()
        self.options, self.seed, self.step = options, seed, 0
        self.encoder = TwoStream(**network)
        self.heads = nn.ModuleList(nn.Linear(self.encoder.features, options.dim) for _ in range(2))
        remembered = 0 if options.objective == "batch" else photos
        self.register_buffer("memory", F.normalize(torch.randn(2, remembered, options.dim), dim=2))
        self.register_buffer("constants", torch.zeros(2))  # Z of both directions, 0 until the first step sets them
        m = options.negatives
        # What a photo's two terms cost a network that tells nothing.
        self.chance = 2 * math.log(1 + m) + (2 * m * math.log1p(1 / m) if options.objective == "nce" else 0.0)
        self._seen: tuple[Tensor, Tensor] | None = None

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Lightness against the memory of colours plus colours against that of lightness (equation 11)."""
        coloured = key if self.options.views == "crossed" else query
        lightness = self.heads[0](self.encoder.of_lightness(query))
        colours = self.heads[1](self.encoder.of_colour(coloured))
        z = F.normalize(torch.stack([lightness, colours]).float(), dim=2)
        with torch.autocast(query.device.type, enabled=False):
            if self.options.objective == "batch":
                loss, positive = self._in_batch(z)
            else:
                image = torch.from_numpy(np.asarray(batch.image)).to(query.device, non_blocking=True)
                loss, positive = self._in_memories(z, image)
        # 1 when the features fill the sphere evenly, 0 when they have collapsed to a point.
        spread = z[0].detach().std(0).mean() * math.sqrt(self.options.dim)
        return loss, {"feature_std": spread, "positive": positive.detach()}

    def _in_memories(self, z: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Tell each of z (2, B, dim) from the memories of other photos; the loss, and the mean true score."""
        others = self._others().to(z.device, non_blocking=True)
        objective = self._nce if self.options.objective == "nce" else self._softmax
        losses, positives = [], []
        for direction, memory in enumerate(self.memory.flip(0)):
            positive = (z[direction] * memory[image]).sum(1, keepdim=True)
            scores = torch.cat([positive, z[direction] @ memory[others].T], dim=1) / self.options.temperature
            losses.append(objective(scores, direction))
            positives.append(positive.mean())
        self._seen = gathered(z.detach().transpose(0, 1)).transpose(0, 1), gathered(image)
        return losses[0] + losses[1], torch.stack(positives).mean()

    def _in_batch(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Tell each of z (2, B, dim) from the step's other photos, over all processes; loss and mean true score."""
        everyone = gathered_with_gradient(z).transpose(0, 1).flatten(1, 2)
        own = torch.arange(z.shape[1], device=z.device) + rank() * z.shape[1]
        scores = [z[direction] @ everyone[1 - direction].T / self.options.temperature for direction in (0, 1)]
        return F.cross_entropy(scores[0], own) + F.cross_entropy(scores[1], own), (z[0] * z[1]).sum(1).mean()

    def _others(self) -> Tensor:
        """Numbers of the photos that this step's are told from: (m,), the same in every process."""
        u = uniform(self.seed, np.array([self.step]), np.array([0]), self.options.negatives, "cmc")
        return torch.from_numpy((u[0] * self.memory.shape[1]).astype(np.int64))

    def _nce(self, scores: Tensor, direction: int) -> Tensor:
        """Tell the true one (first column) from noise: scores (B, 1 + m), photos drawn with probability 1 / n."""
        photos, m = self.memory.shape[1], self.options.negatives
        weights = torch.exp(scores)
        with torch.no_grad():
            first = summed(weights.detach().mean()) / world() * photos
            self.constants[direction] = torch.where(self.constants[direction] > 0, self.constants[direction], first)
        p = weights / self.constants[direction].clone()
        noise = m / photos
        true = torch.log(p[:, 0] / (p[:, 0] + noise + _EPSILON))
        false = torch.log(noise / (p[:, 1:] + noise + _EPSILON))
        return -(true + false.sum(1)).mean()

    def _softmax(self, scores: Tensor, direction: int) -> Tensor:
        """Cross-entropy of the true one among all: scores (B, 1 + m)."""
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the memories of the photos seen towards their projections, and count the step."""
        if self.options.objective == "batch":
            return
        assert self._seen is not None, "after_step follows loss"
        z, image = self._seen
        kept = self.options.memory_momentum
        # A photo can be twice in a batch where two epochs meet: every copy writes what the last one says, so that
        # the order in which a device writes them does not matter.
        copies = image[:, None] == image
        last = (copies * torch.arange(len(image), device=image.device)).amax(1)
        self.memory[:, image] = F.normalize(kept * self.memory[:, image] + (1 - kept) * z[:, last], dim=2)
        self.step, self._seen = self.step + 1, None

    def get_extra_state(self) -> Tensor:
        """The number of the step, which draws the negatives."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` gave."""
        self.step = int(state)
