"""Measure the probe on this machine: average precision beside a loop over scikit-learn, and linear probes.

Scores and features are random, in the sizes of the paper's data: 208 classes of Zipf's frequencies, 40,000 test
photos; 20,000 train photos with 2,048 features. The ways to average precision are timed in turns (timing.py), on the
clock and by the processor time of all threads, which other work on the machine disturbs less.
"""

import argparse
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from machine import machine, save
from oac.allocation import keep_freed_memory
from oac.command import plain_errors
from oac.probe.linear import fit
from oac.probe.metrics import average_precision, batch_averaged_map, mean_average_precision
from timing import Job, Times, interleave, ratio

CLASSES, TEST, TRAIN, WIDTH = 208, 40_000, 20_000, 2048
LABELS = 5  # of a photo, on average
BATCHES = (32, 64, 256)  # photos of a batch of the batch-averaged mAP
TURNS = 3


def main() -> None:
    """Measure, print a line for each number and write all of them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("results/bench/probe.json"))
    options = parser.parse_args()
    keep_freed_memory()  # as the workflow's jobs do
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {"machine": machine(), "threads": options.threads}
    result |= average_precisions(TEST) | logistic_regression() | linear_probe(TRAIN)
    for name, value in result.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}")
    save(result, options.out)


def labels(images: int, rng: np.random.Generator) -> np.ndarray:
    """Targets (images, CLASSES) of Zipf's frequencies, bool."""
    frequency = 1 / np.arange(1, CLASSES + 1)
    share = np.minimum(LABELS * frequency / frequency.sum(), 0.6)
    return rng.random((images, CLASSES), dtype=np.float32) < share


def average_precisions(images: int) -> dict[str, Any]:
    """AP of every class, the project's and scikit-learn's, and the batch-averaged mAP."""
    rng = np.random.default_rng(0)
    targets = labels(images, rng)
    scores = rng.standard_normal(targets.shape, dtype=np.float32) + targets
    scores[:, ::4] = scores[:, ::4].round(1)  # a quarter of the classes is full of ties
    both = torch.from_numpy(scores), torch.from_numpy(targets)
    average_precision(*both)  # what is loaded by a first call is not counted
    jobs = {
        "ap_ours": Job(lambda: average_precision(*both).numpy()),
        "ap_scikit_learn": Job(lambda: scikit_learn_ap(scores, targets)),
        **{f"map_batch_{size}": Job(partial(batch_averaged_map, *both, size)) for size in BATCHES},
    }
    times = interleave(jobs, TURNS)
    ours, other = times["ap_ours"], times["ap_scikit_learn"]
    return {
        **fastest(times),
        "ap_largest_difference": float(np.nanmax(np.abs(ours.result - other.result))),
        "ap_times_scikit_learn": ratio(other.cpu, ours.cpu),
        "map_of_these": float(np.nanmean(ours.result)),
        **{f"map_batch_{size}": times[f"map_batch_{size}"].result for size in BATCHES},
    }


def scikit_learn_ap(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """AP of each class by scikit-learn, as it is commonly written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without a photo
        return np.array([average_precision_score(targets[:, c], scores[:, c]) for c in range(scores.shape[1])])


def linear_probe(images: int) -> dict[str, Any]:
    """The paper's probe: 100 epochs of SGD on features like those of an untrained network, and the mAP on them."""
    rng = np.random.default_rng(1)
    targets = labels(images, rng)
    features = np.maximum(rng.standard_normal((images, WIDTH), dtype=np.float32), 0)
    # Each class moves ten features, so that there is something to learn.
    moved = np.zeros((CLASSES, WIDTH), np.float32)
    np.put_along_axis(moved, rng.integers(0, WIDTH, (CLASSES, 10)), 1.0, axis=1)
    both = torch.from_numpy(features + targets.astype(np.float32) @ moved), torch.from_numpy(targets)
    times = interleave({"probe_sgd": Job(lambda: mean_average_precision(fit(*both).scores(both[0]), both[1]))}, 1)
    return fastest(times) | {"probe_sgd_train_map": times["probe_sgd"].result}


def logistic_regression() -> dict[str, Any]:
    """L-BFGS beside scikit-learn's Newton-Cholesky on as many photos and features as VOC2007 and a ResNet-18 have.

    Standardised features, 20 classes, the decay that such probes choose; and the largest difference of the weights.
    """
    rng = np.random.default_rng(2)
    images, width, classes, decay = 2500, 512, 20, 1e-3
    spectrum = np.arange(1, width + 1)[:, None] ** -0.6  # features of a network are correlated
    features = np.maximum(rng.standard_normal((images, width)) @ (rng.standard_normal((width, width)) * spectrum), 0)
    features = ((features - features.mean(0)) / features.std(0)).astype(np.float32)
    logits = features @ rng.standard_normal((width, classes)) / 10 + 1.5 * rng.standard_normal((images, classes))
    thresholds = [
        np.quantile(column, 1 - share)
        for column, share in zip(logits.T, np.geomspace(0.3, 0.03, classes), strict=True)
    ]
    targets = logits > np.array(thresholds)
    jobs = {
        "lbfgs": Job(lambda: lbfgs_weights(features, targets, decay)),
        "newton_cholesky_scikit_learn": Job(lambda: scikit_learn_weights(features, targets, decay * classes)),
    }
    times = interleave(jobs, TURNS)
    ours, other = times.values()
    return {
        **fastest(times),
        "lbfgs_times_scikit_learn": ratio(other.wall, ours.wall),
        "weights_largest_difference": float(np.abs(ours.result - other.result).max()),
    }


def lbfgs_weights(features: np.ndarray, targets: np.ndarray, decay: float) -> np.ndarray:
    """Weights (C, D) of the project's probe."""
    both = torch.from_numpy(features), torch.from_numpy(targets)
    return fit(*both, solver="lbfgs", weight_decay=decay).weight.numpy()


def scikit_learn_weights(features: np.ndarray, targets: np.ndarray, decay: float) -> np.ndarray:
    """Weights (C, D) of scikit-learn's logistic regression, class by class in float64."""
    model = LogisticRegression(C=1 / (decay * len(features)), solver="newton-cholesky", tol=1e-6)
    inputs = features.astype(np.float64)
    return np.stack([model.fit(inputs, column).coef_[0].copy() for column in targets.T])


def fastest(times: dict[str, Times]) -> dict[str, float]:
    """Seconds of the fastest turn of each job, on the clock and of the processors."""
    return {f"{name}_{clock}_s": min(getattr(job, clock)) for clock in ("wall", "cpu") for name, job in times.items()}


if __name__ == "__main__":
    with plain_errors():
        main()
