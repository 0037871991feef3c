"""From the features of one run to its metrics: fit on train, choose on validation, report on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from oac import __version__
from oac.checkout import commit
from oac.data.tables import label_matrix
from oac.pretrain.recipe import digest
from oac.probe.best_epoch import best_epoch
from oac.probe.bootstrap import bootstrap_map
from oac.probe.features import TRAIN_VIEWS, Features
from oac.probe.linear import Choice, choose, hold_out
from oac.probe.metrics import (
    average_precision,
    average_precision_by_size,
    batch_averaged_map,
    check_one_label,
    mean_average_precision,
    top_k_accuracy,
)
from oac.probe.object_sizes import largest_area
from oac.probe.ridge import ridge_path

BATCH_SIZES = (32, 64, 256)  # 256 / GPUs of the released code, for 8, 4 and 1
TOPS = (1, 5)  # as ImageNet's accuracies are given
PACKAGES = ("torch", "torchvision", "numpy", "pillow")
_FIT_OPTIONS = ("standardize", "lr", "epochs", "milestones", "batch_size")


@dataclass(frozen=True)
class Evaluation:
    """Contents of the files of a run: metrics.json, ap.csv and ap_by_size.csv."""

    metrics: dict[str, Any]
    ap: pd.DataFrame
    ap_by_size: pd.DataFrame


def evaluate(
    features: Mapping[str, Features],
    boxes: pd.DataFrame,
    classes: pd.DataFrame,
    recipe: Mapping[str, Any],
    *,
    study: str,
    crops: str,
    options: Mapping[str, Any],
    device: str = "cpu",
) -> Evaluation:
    """Fit and test the linear probe of one run.

    features: of the splits train, test and, where the study has one, validation; without it a fifth of train is held
    out to choose the weight decay, and the probe is fitted again on all of train. With TRAIN_VIEWS (V, N, D) the
    probe is trained on these views of the photos of train. options: `probe` of a study file; with task single_label
    the classifier is a softmax and metrics have top1 and top5 as well, shares of the test photos. device: where the
    probe is fitted.
    AP values are fractions in [0, 1]; a class without a test image has no AP and does not count.
    """
    labels = classes["label"].tolist()
    targets = {
        split: torch.from_numpy(label_matrix(boxes, part.image_ids, labels)) for split, part in features.items()
    }
    single_label = options.get("task") == "single_label"
    _check(features, targets, study, single_label)
    choice = _choose(features, targets, recipe["seed"], options, device)
    test = features["test"]
    scores = choice.probe.scores(test.values).cpu()
    ap = average_precision(scores, targets["test"])
    if bool(ap.isnan().all()):
        raise ValueError(f"study {study}: no class has a test photo, so there is no mean average precision")
    table = classes[["label", "name"]].assign(
        ap=ap.numpy(), train_images=classes["train_images"], test_images=targets["test"].sum(0).numpy()
    )
    chosen_by = "validation_top1" if single_label else "validation_map"
    tops = {f"top{k}": top_k_accuracy(scores, targets["test"], k) for k in TOPS} if single_label else {}
    metrics = {
        **_run(recipe, study, crops),
        **tops,
        "map": float(ap.nanmean()),
        "map_batch": {str(size): batch_averaged_map(scores, targets["test"], size) for size in BATCH_SIZES},
        "classes": int((~ap.isnan()).sum()),
        "train_images": len(features["train"].image_ids),
        "test_images": len(test.image_ids),
        "images_seen": images_seen(recipe),
        "recipe": recipe,
        "recipe_hash": digest(recipe),
        "probe": {**options, "weight_decay": choice.weight_decay, chosen_by: choice.validation},
        "versions": versions(),
        "commit": commit(),
    }
    metrics |= _optional_metrics(features, targets, scores, choice, recipe["seed"], options)
    return Evaluation(
        metrics, table, _by_size(scores, targets["test"], boxes, test.image_ids, labels, options["size_edges"])
    )


def _run(recipe: Mapping[str, Any], study: str, crops: str) -> dict[str, Any]:
    """Which run the numbers are of."""
    run = {"study": study, "method": recipe["method"], "crops": crops, "seed": recipe["seed"]}
    return run | {key: recipe.get("crops", {}).get(key) for key in ("policy", "boxes")}


def _check(features: Mapping[str, Features], targets: Mapping[str, Tensor], study: str, single_label: bool) -> None:
    """Raise ValueError, naming the study, where views are of other photos or a photo has not one label as it must."""
    if TRAIN_VIEWS in features and features[TRAIN_VIEWS].image_ids != features["train"].image_ids:
        raise ValueError(f"study {study}: the augmented views are of other photos than train's; extract both again")
    for split, labels in targets.items() if single_label else ():
        try:
            check_one_label(labels)
        except ValueError as error:
            raise ValueError(f"study {study}, {split}: {error}") from None


def _optional_metrics(
    features: Mapping[str, Features],
    targets: Mapping[str, Tensor],
    scores: Tensor,
    choice: Choice,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Metrics that a study can have beside the probe itself: the best epoch, a ridge path, a bootstrap interval."""
    metrics: dict[str, Any] = {}
    test = features["test"]
    if options.get("best_epoch"):
        settings = {key: options[key] for key in _FIT_OPTIONS} | {"seed": seed, "weight_decay": choice.weight_decay}
        metrics["best_epoch"] = best_epoch(
            _all_of_train(features, targets), (test.values, targets["test"]), **settings
        )
    if options.get("ridge"):
        path = ridge_path(features["train"].values, targets["train"])
        ridge_map = mean_average_precision(path.probe.scores(test.values), targets["test"])
        metrics["ridge"] = {"map": ridge_map, "penalty": path.penalty}
    if options.get("bootstrap"):
        metrics["bootstrap"] = _bootstrap(scores, targets["test"], test.image_ids, options["bootstrap"])
    return metrics


def images_seen(recipe: Mapping[str, Any]) -> int:
    """Photos that a run trained on, repetitions counted: whole batches only."""
    if "images_seen" not in recipe:
        return 0
    batch = recipe["options"]["batch_size"]
    return int(max(1, recipe["images_seen"] // batch) * batch)


def versions() -> dict[str, str]:
    """Versions of the packages that a number can depend on."""
    result = {"oac": __version__}
    for package in PACKAGES:
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = "unknown"
    return result


def _bootstrap(scores: Tensor, targets: Tensor, image_ids: list[str], resamples: int) -> dict[str, Any]:
    """The 95 % percentile interval of the mAP over test photos, and the resamples, to compare runs in pairs.

    images: a hash of the test photos in their order; runs are paired where theirs are equal.
    """
    maps = bootstrap_map(scores, targets, resamples)
    low, high = np.quantile(maps, [0.025, 0.975])
    images = hashlib.sha256("\n".join(image_ids).encode()).hexdigest()[:12]
    return {"low": float(low), "high": float(high), "images": images, "maps": [round(float(m), 6) for m in maps]}


def _choose(
    features: Mapping[str, Features],
    targets: Mapping[str, Tensor],
    seed: int,
    options: Mapping[str, Any],
    device: str,
) -> Choice:
    settings = {key: options[key] for key in (*_FIT_OPTIONS, "solver", "weight_decays")}
    settings |= {"seed": seed, "task": options.get("task", "multi_label"), "device": device}
    views, labels = _all_of_train(features, targets)
    if "validation" in features:
        return choose(views, labels, features["validation"].values, targets["validation"], **settings)
    kept, held = _held_out(features)
    rest = views[..., : len(kept), :], labels[: len(kept)]
    chosen_on = features["train"].values[held], targets["train"][held]
    return choose(*rest, *chosen_on, refit=(views, labels), **settings)


def _all_of_train(features: Mapping[str, Features], targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the classifier is trained on in the end: features (N, D) or (V, N, D), and targets (N, C).

    Without augmented views they are of the view that it is tested on. Without a validation split the photos that are
    held out to choose the weight decay come last.
    """
    views = features[TRAIN_VIEWS if TRAIN_VIEWS in features else "train"].values
    if "validation" in features:
        return views, targets["train"]
    order = np.concatenate(_held_out(features))
    return views[..., order, :], targets["train"][order]


def _held_out(features: Mapping[str, Features]) -> tuple[np.ndarray, np.ndarray]:
    """The same photos for every run of a study, so that all variants are chosen alike."""
    return hold_out(len(features["train"].values), seed=0)


def _by_size(
    scores: Tensor, targets: Tensor, boxes: pd.DataFrame, ids: list[str], labels: list[str], edges: list[float]
) -> pd.DataFrame:
    area = torch.from_numpy(largest_area(boxes, ids, labels))
    result = average_precision_by_size(scores, targets, area, edges)
    return pd.DataFrame(
        {
            "bin": np.arange(len(edges) - 1),
            "low": edges[:-1],
            "high": edges[1:],
            "ap": result.ap.nanmean(1).numpy(),
            "classes": (result.positives > 0).sum(1).numpy(),
            "positives": result.positives.sum(1).numpy(),
        }
    )
