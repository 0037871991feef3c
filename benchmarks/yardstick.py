"""MoCo-v2 as it is commonly written, to measure the project's training against.

Photos are decoded whole and augmented one by one with PIL and torchvision's transforms in worker processes; the
network runs in float32 and NCHW, the key encoder is moved parameter by parameter, the queue is cloned for every loss,
and two numbers are fetched from the device at every step. So work the loops of MoCo and of the paper's authors.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from oac.data.store import Store
from oac.pretrain.augment import MEAN, STD
from oac.pretrain.methods.moco import MoCoOptions
from oac.pretrain.nn import backbone, projection_head


class _Blur:
    """Gaussian blur of a PIL image with a sigma from MoCo-v2's range."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


class PlainPhotos(Dataset[tuple[Tensor, Tensor]]):
    """Two augmented scene crops of each photo of a split."""

    def __init__(self, folder: Path, images: pd.DataFrame, view_size: int):
        self.store, self.image_ids = Store(folder), images["image_id"].tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(view_size, scale=(0.2, 1.0)),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(p=0.2),
                transforms.RandomApply([_Blur()], p=0.5),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        photo = self.store.image(self.image_ids[index])
        return self.transform(photo), self.transform(photo)


def batches(photos: PlainPhotos, batch_size: int, workers: int, pin: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random batches without end."""
    # One epoch that never ends: with as few photos as a benchmark has, its workers would idle at every epoch's end.
    endless = RandomSampler(photos, replacement=True, num_samples=10**9)
    loader = DataLoader(
        photos, batch_size, sampler=endless, num_workers=workers, pin_memory=pin, persistent_workers=workers > 0
    )
    return iter(loader)


class PlainMoCo:
    """The same objective and networks as `methods.moco`, with batch norm over the whole batch and one head."""

    def __init__(self, network: dict[str, Any], options: MoCoOptions, device: torch.device):
        self.options, self.device = options, device
        net, features = backbone(**network)
        head = projection_head(features, options.hidden, options.dim, batch_norm=options.head_norm)
        self.query = nn.Sequential(net, head).to(device)
        self.key = copy.deepcopy(self.query)
        self.queue = F.normalize(torch.randn(options.dim, options.queue), dim=0).to(device)
        self.pointer = 0
        self.optimizer = torch.optim.SGD(
            self.query.parameters(), 0.03, momentum=0.9, weight_decay=1e-4, foreach=False, fused=False
        )

    def step(self, first: Tensor, second: Tensor) -> tuple[float, float]:
        """Train on two views (B, 3, S, S) of B photos; return the loss and the top-1 accuracy."""
        first, second = (view.to(self.device, non_blocking=True) for view in (first, second))
        q = F.normalize(self.query(first), dim=1)
        with torch.no_grad():
            momentum = self.options.key_momentum
            for key, query in zip(self.key.parameters(), self.query.parameters(), strict=True):
                key.data = key.data * momentum + query.data * (1 - momentum)
            k = F.normalize(self.key(second), dim=1)
        positive = torch.einsum("nc,nc->n", q, k)[:, None]
        negative = torch.einsum("nc,ck->nk", q, self.queue.clone().detach())
        logits = torch.cat([positive, negative], dim=1) / self.options.temperature
        targets = torch.zeros(len(q), dtype=torch.long, device=self.device)
        loss = F.cross_entropy(logits, targets)
        self.queue[:, self.pointer : self.pointer + len(k)] = k.T
        self.pointer = (self.pointer + len(k)) % self.options.queue
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        correct = logits.topk(5, dim=1).indices[:, 0] == targets
        return loss.item(), correct.float().mean().item()
