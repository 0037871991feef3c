"""The supervised reference: multi-label classification of single views with a logistic loss per class.

The paper trains its supervised row this way on OHMS (section 4.1); its crops are the policy's, both views of a
photo being two training samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method
from oac.pretrain.nn import backbone


class Supervised(Method):
    """A backbone with a linear classifier over the photo's classes."""

    def __init__(self, network: dict[str, Any], prevalence: np.ndarray):
        """`prevalence` (C,) is the share of training photos that show each class."""
        super().__init__()
        self.encoder, features = backbone(**network)
        self.classifier = nn.Linear(features, len(prevalence))
        p = np.clip(prevalence, 1e-6, 1 - 1e-6)
        # What a classifier loses that knows how common each class is and nothing else.
        self.chance = float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Binary cross-entropy, mean over classes and over both views."""
        labels = batch.labels.to(query.device, non_blocking=True)
        features = self.encoder(torch.cat([query, key]))
        with torch.autocast(query.device.type, enabled=False):
            logits = self.classifier(features.float())
            loss = F.binary_cross_entropy_with_logits(logits, labels.repeat(2, 1))
        return loss, {
            "feature_std": F.normalize(features.detach().float(), dim=1).std(0).mean() * features.shape[1] ** 0.5
        }
