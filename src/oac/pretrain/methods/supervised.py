"""The supervised reference: classification of single views.

On OHMS the paper trains its supervised row with a logistic loss per class (section 4.1); ImageNet's photos, of one
label each, take a softmax. The crops are the policy's, both views of a photo being two training samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.loader import Batch
from oac.pretrain.methods import Method, feature_std
from oac.pretrain.nn import backbone


class Supervised(Method):
    """A backbone with a linear classifier over the photo's classes."""

    def __init__(self, network: dict[str, Any], labels: np.ndarray, objective: str = "multi_label"):
        """Take the labels (N, C) in {0, 1} of the training photos; objective: multi_label or single_label.

        Raises ValueError where photos of a single-label set have none or several.
        """
        super().__init__()
        self.encoder, features = backbone(**network)
        self.single = objective == "single_label"
        if self.single and (other := int((labels.sum(axis=1) != 1).sum())):
            raise ValueError(
                f"{other} of {len(labels)} training photos do not have exactly one label: leave out `objective:"
                " single_label` of methods.supervised, or filter the subset"
            )
        self.classifier = nn.Linear(features, labels.shape[1])
        p = np.clip(labels.mean(axis=0), 1e-6, 1 - 1e-6)
        # What a classifier loses that knows how common each class is and nothing else.
        of_class = -p * np.log(p)
        self.chance = float(of_class.sum() if self.single else (of_class - (1 - p) * np.log1p(-p)).mean())

    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Binary cross-entropy per class, or cross-entropy of the one class; mean over photos and both views."""
        labels = batch.labels.to(query.device, non_blocking=True)
        features = self.encoder(torch.cat([query, key]))
        with torch.autocast(query.device.type, enabled=False):
            logits = self.classifier(features.float())
            objective = F.cross_entropy if self.single else F.binary_cross_entropy_with_logits
            loss = objective(logits, labels.repeat(2, 1))
        return loss, {"feature_std": feature_std(F.normalize(features.detach().float(), dim=1))}
