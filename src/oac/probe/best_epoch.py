"""What the released probe reports: the best of its epochs on the test photos.

The released code tests the classifier before every training epoch and keeps the best of these numbers, which it
compares by their mean over batches (shlokk/object-cropping-ssl at 066a788, main_lincls.py:278-289). The last epoch's
is never looked at. Here both are taken from one training, so that their difference is what the picking is worth.
Nothing is chosen by these numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from oac.probe.metrics import batch_averaged_map, mean_average_precision
from oac.probe.solvers import identity, moments, sgd

BATCH_SIZE = 256  # images, as on one GPU; the code's own is 256 divided by their number


def best_epoch(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    seed: int,
    weight_decay: float,
    standardize: bool,
    lr: float,
    epochs: int,
    milestones: list[int],
    batch_size: int,
    momentum: float = 0.9,
) -> dict[str, Any]:
    """Train the linear classifier by SGD on `train` and test it before every epoch and after the last.

    train, test: features (N, D), of train also (V, N, D) of V views of each photo, and targets (N, C) in {0, 1}.
    Returns fractions in [0, 1]: `last`, with map and map_batch_256 of the trained classifier; `best`, with the
    largest of each before any epoch; and `epoch`, the one with the best map_batch_256, counted from 0.
    """
    features, targets = train[0], train[1].float()
    mean, scale = moments(features) if standardize else identity(features)
    tested = (test[0].float() - mean) / scale
    found: list[dict[str, float]] = []

    def look(weight: Tensor, bias: Tensor) -> None:
        scores = torch.addmm(bias, tested, weight.T)
        found.append(
            {
                "map": mean_average_precision(scores, test[1]),
                f"map_batch_{BATCH_SIZE}": batch_averaged_map(scores, test[1], BATCH_SIZE),
            }
        )

    steps: dict[str, Any] = {"lr": lr, "epochs": epochs, "milestones": milestones, "batch_size": batch_size}
    look(
        *sgd(
            features,
            targets,
            mean,
            scale,
            **steps,
            momentum=momentum,
            weight_decay=weight_decay,
            seed=seed,
            before_epoch=look,
        )
    )
    *before, last = found
    return {
        "last": last,
        "best": {key: max(tests[key] for tests in before) for key in last},
        "epoch": max(range(len(before)), key=lambda epoch: before[epoch][f"map_batch_{BATCH_SIZE}"]),
    }
