"""MoCo-v2 as lightly's documentation trains it, a second yardstick where lightly is installed.

lightly is no requirement of the project: `pip install lightly` adds it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import MoCoV2Transform
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from oac.pretrain.methods.moco import MoCoOptions
from oac.pretrain.nn import backbone


def batches(folder: Path, view_size: int, batch_size: int, workers: int) -> Iterator[list[Tensor]]:
    """Yield both views of random batches of the JPEG files in a folder, without end."""
    photos = LightlyDataset(str(folder), transform=MoCoV2Transform(input_size=view_size))
    endless = RandomSampler(photos, replacement=True, num_samples=10**9)
    loader = DataLoader(photos, batch_size, sampler=endless, num_workers=workers, persistent_workers=workers > 0)
    return (views for views, _, _ in loader)


class LightlyMoCo:
    """lightly's modules and loss around the project's backbone."""

    def __init__(self, network: dict[str, Any], options: MoCoOptions, device: torch.device):
        self.options, self.device = options, device
        net, features = backbone(**network)
        head = MoCoProjectionHead(features, options.hidden, options.dim)
        self.query = nn.Sequential(net, head).to(device)
        self.key = copy.deepcopy(self.query)
        deactivate_requires_grad(self.key)
        self.criterion = NTXentLoss(options.temperature, memory_bank_size=(options.queue, options.dim)).to(device)
        self.optimizer = torch.optim.SGD(self.query.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)

    def step(self, first: Tensor, second: Tensor) -> float:
        """Train on two views (B, 3, S, S) of B photos; return the loss."""
        update_momentum(self.query, self.key, m=self.options.key_momentum)
        query = self.query(first.to(self.device, non_blocking=True))
        with torch.no_grad():
            key = self.key(second.to(self.device, non_blocking=True)).detach()
        loss = self.criterion(query, key)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())
