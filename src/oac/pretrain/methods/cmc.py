"""CMC: tell from the colours of a photo which lightness belongs to them, and the other way round.

Tian et al., "Contrastive Multiview Coding", ECCV 2020, arXiv 1906.05849, with the noise-contrastive loss of Wu et
al., CVPR 2018, over a memory bank of all photos. Negatives are drawn once for a step and shared by its photos: for
each of them the same expectation as draws of its own, without a copy of their entries for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.distributed import all_gather, all_gather_with_gradient, all_reduce_sum, rank, world_size
from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method, feature_std
from oac.pretrain.nn import TwoStream
from oac.pretrain.rng import uniform

_EPSILON = 1e-7  # keeps a logarithm from 0, as in the authors' code


@dataclass(frozen=True)
class CMCOptions:
    """Options of the objective; the defaults are the published recipe (its code's, where the README differs).

    negatives: negative photos of a pair (m). temperature: tau. memory_momentum: share of a photo's entry in the
    memory bank that stays when it is seen. dim: length of a projection. views: `same` takes lightness and colours of
    one crop, the query, as published; `crossed` takes the colours of the key. Either is contrasted with the memory
    bank, whose entries are of crops of earlier epochs. objective: nce; softmax over the same; or in_batch, a softmax
    over in-batch negatives (equation 3 with the batch for its sample set), which needs no memory bank and suits runs
    of few epochs.
    """

    negatives: int = 16384
    temperature: float = 0.07
    memory_momentum: float = 0.5
    dim: int = 128
    views: str = "same"
    objective: str = "nce"


class CMC(Method):
    """Two half-width encoders, a linear projection of each, and a memory bank of each over all photos."""

    encoder: TwoStream
    memory_bank: Tensor
    constants: Tensor

    def __init__(self, network: dict[str, Any], photos: int, seed: int, options: CMCOptions):
        """`photos` is the number of training photos, `seed` that of the run: it draws the negatives."""
        super().__init__()
        self.options, self.seed, self.step = options, seed, 0
        self.encoder = TwoStream(**network)
        self.heads = nn.ModuleList(nn.Linear(self.encoder.features, options.dim) for _ in range(2))
        entries = 0 if options.objective == "in_batch" else photos
        self.register_buffer("memory_bank", F.normalize(torch.randn(2, entries, options.dim), dim=2))
        self.register_buffer("constants", torch.zeros(2))  # Z of both directions, 0 until the first step sets them
        m = options.negatives
        # What a photo's two terms cost a network that tells nothing.
        self.chance = 2 * math.log(1 + m) + (2 * m * math.log1p(1 / m) if options.objective == "nce" else 0.0)
        self._seen: tuple[Tensor, Tensor] | None = None

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Lightness against the colours of photos plus colours against their lightness (equation 11)."""
        coloured = key if self.options.views == "crossed" else query
        lightness = self.heads[0](self.encoder.of_lightness(query))
        colours = self.heads[1](self.encoder.of_colour(coloured))
        z = F.normalize(torch.stack([lightness, colours]).float(), dim=2)
        with torch.autocast(query.device.type, enabled=False):
            if self.options.objective == "in_batch":
                loss, positive = self._in_batch(z)
            else:
                image = torch.from_numpy(np.asarray(batch.image)).to(query.device, non_blocking=True)
                loss, positive = self._with_memory_bank(z, image)
        return loss, {"feature_std": feature_std(z[0]), "positive": positive.detach()}

    def _with_memory_bank(self, z: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Contrast each of z (2, B, dim) with entries of other photos; the loss, and the mean positive score."""
        negatives = self._negatives().to(z.device, non_blocking=True)
        objective = self._nce if self.options.objective == "nce" else _softmax
        losses, positives = [], []
        for direction, bank in enumerate(self.memory_bank.flip(0)):
            positive = (z[direction] * bank[image]).sum(1, keepdim=True)
            scores = torch.cat([positive, z[direction] @ bank[negatives].T], dim=1) / self.options.temperature
            losses.append(objective(scores, direction))
            positives.append(positive.mean())
        self._seen = all_gather(z.detach().transpose(0, 1)).transpose(0, 1), all_gather(image)
        return losses[0] + losses[1], torch.stack(positives).mean()

    def _in_batch(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Contrast each of z (2, B, dim) with in-batch negatives of all processes; loss and mean positive score."""
        everyone = all_gather_with_gradient(z).transpose(0, 1).flatten(1, 2)
        own = torch.arange(z.shape[1], device=z.device) + rank() * z.shape[1]
        scores = [z[direction] @ everyone[1 - direction].T / self.options.temperature for direction in (0, 1)]
        return F.cross_entropy(scores[0], own) + F.cross_entropy(scores[1], own), (z[0] * z[1]).sum(1).mean()

    def _negatives(self) -> Tensor:
        """Numbers of this step's negative photos: (m,), the same in every process."""
        u = uniform(self.seed, np.array([self.step]), np.array([0]), self.options.negatives, "cmc")
        return torch.from_numpy((u[0] * self.memory_bank.shape[1]).astype(np.int64))

    def _nce(self, scores: Tensor, direction: int) -> Tensor:
        """Tell the positive (first column) from noise: scores (B, 1 + m), photos drawn with probability 1 / n."""
        photos, m = self.memory_bank.shape[1], self.options.negatives
        weights = torch.exp(scores)
        with torch.no_grad():
            first = all_reduce_sum(weights.detach().mean()) / world_size() * photos
            self.constants[direction] = torch.where(self.constants[direction] > 0, self.constants[direction], first)
        p = weights / self.constants[direction].clone()
        noise = m / photos
        positive = torch.log(p[:, 0] / (p[:, 0] + noise + _EPSILON))
        negative = torch.log(noise / (p[:, 1:] + noise + _EPSILON))
        return -(positive + negative.sum(1)).mean()

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the entries of the photos seen towards their projections, and count the step."""
        if self.options.objective == "in_batch":
            return
        assert self._seen is not None, "after_step follows loss"
        z, image = self._seen
        kept = self.options.memory_momentum
        # A photo can be twice in a batch where two epochs meet: every copy writes what the last one says, so that
        # the order in which a device writes them does not matter.
        copies = image[:, None] == image
        last = (copies * torch.arange(len(image), device=image.device)).amax(1)
        self.memory_bank[:, image] = F.normalize(kept * self.memory_bank[:, image] + (1 - kept) * z[:, last], dim=2)
        self.step, self._seen = self.step + 1, None

    def get_extra_state(self) -> Tensor:
        """The number of the step, which draws the negatives."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` gave."""
        self.step = int(state)


def _softmax(scores: Tensor, direction: int) -> Tensor:
    """Cross-entropy of the positive (first column) among all: scores (B, 1 + m)."""
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))
