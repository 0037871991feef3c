"""The best of the probe's epochs on the test photos, which the released code reports.

The released code tests the classifier before every training epoch and keeps the best of these numbers, which it
compares by their batch-averaged mAP (shlokk/object-cropping-ssl at 066a788, main_lincls.py:278-289). It never looks
at the last epoch's number. Here both come from one training, so that their difference is the effect of picking an
epoch on the test photos. Nothing is chosen by these numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from oac.probe.linear import fit
from oac.probe.metrics import batch_averaged_map, mean_average_precision
from oac.probe.solvers import identity, moments

BATCH_SIZE = 256  # images, as on one GPU; the code's own is 256 divided by their number


def best_epoch(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, standardize: bool, **options: Any
) -> dict[str, Any]:
    """Train the linear classifier by SGD on `train` and test it before every epoch and after the last.

    train, test: features (N, D), of train also (V, N, D) of V views of each photo, and targets (N, C) in {0, 1}.
    standardize, options: of `oac.probe.linear.fit`.
    Returns fractions in [0, 1]: `last`, with map and map_batch_256 of the trained classifier; `best`, with the
    largest of each before any epoch; and `epoch`, the one with the best map_batch_256, counted from 0.
    """
    mean, scale = moments(train[0]) if standardize else identity(train[0])
    inputs = (test[0].float() - mean) / scale
    batch_key = f"map_batch_{BATCH_SIZE}"
    tests: list[dict[str, float]] = []

    def run_test(weight: Tensor, bias: Tensor) -> None:
        scores = torch.addmm(bias, inputs, weight.T)
        batches = batch_averaged_map(scores, test[1], BATCH_SIZE)
        tests.append({"map": mean_average_precision(scores, test[1]), batch_key: batches})

    probe = fit(*train, solver="sgd", standardize=standardize, before_epoch=run_test, **options)
    run_test(probe.weight, probe.bias)
    *before, last = tests
    return {
        "last": last,
        "best": {key: max(result[key] for result in before) for key in last},
        "epoch": max(range(len(before)), key=lambda epoch: before[epoch][batch_key]),
    }
