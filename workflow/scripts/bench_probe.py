"""Measure the probe on this machine: average precision beside a loop over scikit-learn, and a whole linear probe.

Scores and features are drawn by chance in the sizes of the paper's data: 208 classes of Zipf's frequencies, 40,000
test photos; 20,000 train photos with 2,048 features. The two ways to average precision are timed in turns; medians
are reported, by the clock on the wall and by the processor time of all threads, which other jobs disturb less.
"""

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from oac.allocation import keep_freed_memory
from oac.atomic import writing
from oac.command import plain_errors
from oac.pretrain.bench.table import machine
from oac.probe.linear import fit
from oac.probe.metrics import average_precision, batch_averaged_map, mean_average_precision

CLASSES, TEST, TRAIN, WIDTH = 208, 40_000, 20_000, 2048
LABELS = 5  # of a photo, on average
TURNS = 3


def main() -> None:
    """Measure, print a line for each number and write all of them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("results/bench/probe.json"))
    options = parser.parse_args()
    keep_freed_memory()  # as the workflow's jobs do
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {"machine": machine(torch.device("cpu")), "threads": options.threads}
    for measure in (average_precisions, linear_probe):
        result[f"load_average_before_{measure.__name__}"] = os.getloadavg()[0]
        result |= measure()
    for name, value in result.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with writing(options.out) as path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def labels(images: int, rng: np.random.Generator) -> np.ndarray:
    """Targets (images, CLASSES) of Zipf's frequencies, bool."""
    frequency = 1 / np.arange(1, CLASSES + 1)
    share = np.minimum(LABELS * frequency / frequency.sum(), 0.6)
    return rng.random((images, CLASSES), dtype=np.float32) < share


def average_precisions() -> dict[str, float]:
    """AP of every class, ours and scikit-learn's, and the mean over batches as the released code has it."""
    rng = np.random.default_rng(0)
    targets = labels(TEST, rng)
    scores = rng.standard_normal(targets.shape, dtype=np.float32) + targets
    scores[:, ::4] = scores[:, ::4].round(1)  # a quarter of the classes is full of ties
    both = torch.from_numpy(scores), torch.from_numpy(targets)
    jobs: dict[str, Callable[[], Any]] = {
        "ap_ours": lambda: average_precision(*both).numpy(),
        "ap_scikit_learn": lambda: loop(scores, targets),
    }
    jobs |= {f"map_batch_{size}": lambda size=size: batch_averaged_map(*both, size) for size in (32, 64, 256)}
    for job in list(jobs)[:1]:
        jobs[job]()  # what is loaded by a first call is not counted
    result, found = timed(jobs, TURNS)
    result["ap_largest_difference"] = float(np.abs(found["ap_ours"] - found["ap_scikit_learn"]).max())
    result["ap_times_scikit_learn"] = result["ap_scikit_learn_cpu_s"] / result["ap_ours_cpu_s"]
    return (
        result | {"map_of_these": float(np.nanmean(found["ap_ours"]))} | {key: found[key] for key in list(jobs)[2:]}
    )


def loop(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """AP of each class by scikit-learn, as it is commonly written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without a photo
        return np.array([average_precision_score(targets[:, c], scores[:, c]) for c in range(scores.shape[1])])


def linear_probe() -> dict[str, float]:
    """The paper's probe: 100 epochs of SGD on features of a random network's kind, and the AP of its scores."""
    rng = np.random.default_rng(1)
    targets = labels(TRAIN, rng)
    features = np.maximum(rng.standard_normal((TRAIN, WIDTH), dtype=np.float32), 0)
    # Each class moves ten features, so that there is something to learn.
    moved = np.zeros((CLASSES, WIDTH), np.float32)
    np.put_along_axis(moved, rng.integers(0, WIDTH, (CLASSES, 10)), 1.0, axis=1)
    both = torch.from_numpy(features + targets.astype(np.float32) @ moved), torch.from_numpy(targets)

    def whole() -> float:
        return mean_average_precision(fit(*both).scores(both[0]), both[1])

    result, found = timed({"probe_sgd": whole}, 1)
    return result | {"probe_sgd_train_map": found["probe_sgd"]}


def timed(jobs: dict[str, Callable[[], Any]], turns: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each job, in turns, by the wall and by the processor; and what each returned last."""
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    found: dict[str, Any] = {}
    for _ in range(turns):
        for name, job in jobs.items():
            begun, start = time.process_time(), time.perf_counter()
            found[name] = job()
            wall[name].append(time.perf_counter() - start)
            spent[name].append(time.process_time() - begun)
    result = {f"{name}_wall_s": statistics.median(values) for name, values in wall.items()}
    return result | {f"{name}_cpu_s": statistics.median(values) for name, values in spent.items()}, found


if __name__ == "__main__":
    with plain_errors():
        main()
