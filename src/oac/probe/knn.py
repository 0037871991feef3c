"""k-nearest-neighbour classifier on frozen features: nothing is fitted; k and temperature are fixed beforehand.

Each of the k train photos nearest to a test photo, by cosine similarity, votes for its classes with the weight
exp(similarity / temperature) (Wu et al., CVPR 2018, section 3.4). Weights are divided by their sum, which leaves the
highest class of a photo as it is and lets the scores of one class be compared between photos, as an mAP does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

TEMPERATURE = 0.07  # of Wu et al. and of the libraries that follow them
_BLOCK_ELEMENTS = 50_000_000  # similarities worked on at a time: 200 MB


def knn_scores(train: Tensor, targets: Tensor, test: Tensor, k: int, temperature: float = TEMPERATURE) -> Tensor:
    """Share of its neighbours' weight that votes for each class, for each test photo: (M, C) in [0, 1].

    Args:
        train, test: features (N, D) and (M, D), on one device.
        targets: (N, C) in {0, 1}.
        k: neighbours; all train photos where there are fewer.

    Raises:
        ValueError: k is not positive, or there is no train photo.
    """
    if k < 1 or not len(train):
        raise ValueError(f"a k-nearest-neighbour classifier needs train photos and k of at least 1, not k = {k}")
    bank, labels = normalize(train.float(), dim=1), targets.to(train.device).float()
    k = min(k, len(bank))
    rows = []
    for block in normalize(test.float(), dim=1).split(max(1, _BLOCK_ELEMENTS // len(bank))):
        similarity, nearest = (block @ bank.T).topk(k, dim=1)
        weights = torch.softmax(similarity / temperature, dim=1)
        scores = torch.zeros(len(block), labels.shape[1], device=bank.device)
        for neighbour, weight in zip(nearest.T, weights.T, strict=True):  # memory does not grow with k times C
            scores += weight[:, None] * labels[neighbour]
        rows.append(scores)
    return torch.cat(rows)
