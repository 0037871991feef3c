"""From the features of one run to its metrics: fit on train, choose on validation, report on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from oac import __version__
from oac.checkout import commit
from oac.data.tables import boxes_per_photo, label_matrix
from oac.pretrain.recipe import digest, step_count
from oac.probe import jackknife
from oac.probe.best_epoch import best_epoch
from oac.probe.features import TRAIN_VIEWS, Features
from oac.probe.knn import knn_scores
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


class _Split(NamedTuple):
    """Features (N, D), or (V, N, D), of the photos of a split, and targets (N, C)."""

    values: Tensor
    image_ids: list[str]
    targets: Tensor


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
    the classifier is a softmax and metrics have top1 and top5 as well, shares of the test photos; with test
    validation the validation photos stand for the test photos. device: where the probe is fitted.
    AP values are fractions in [0, 1]; a class that no test image shows, or that all show, has no AP and does not
    count; metrics name the latter in shown_by_all.
    """
    labels = classes["label"].tolist()
    splits = _splits(features, boxes, labels, options)
    single_label = options.get("task") == "single_label"
    _check(splits, study, single_label)
    settings = {key: options[key] for key in _FIT_OPTIONS} | {"seed": recipe["seed"]}
    choice, train = _choose(splits, settings, options, device)
    test = splits["test"]
    scores = choice.probe.scores(test.values).cpu()
    ap = average_precision(scores, test.targets)
    if bool(ap.isnan().all()):
        raise ValueError(
            f"study {study}: no class has a test photo and one without it, so there is no mean average precision"
        )
    table = classes[["label", "name"]].assign(
        ap=ap.numpy(), train_images=classes["train_images"], test_images=test.targets.sum(0).numpy()
    )
    chosen_by = "validation_top1" if single_label else "validation_map"
    settings["weight_decay"] = choice.weight_decay
    metrics = {
        **_run(recipe, study, crops, len(splits["train"].image_ids)),
        "images_seen": images_seen(recipe, splits["train"].image_ids, boxes),
        **_test_metrics(scores, test, table, single_label),
        "knn": _knn(splits["train"], test, options, device),
        "probe": {**options, "weight_decay": choice.weight_decay, chosen_by: choice.validation},
        **_optional_metrics(splits, train, scores, settings, options),
    }
    return Evaluation(metrics, table, _by_size(scores, test, boxes, labels, options["size_edges"]))


def _splits(
    features: Mapping[str, Features], boxes: pd.DataFrame, labels: list[str], options: Mapping[str, Any]
) -> dict[str, _Split]:
    """The splits with their targets; with probe.test validation those photos are the test, and no others are."""
    parts = dict(features)
    if options.get("test") == "validation":
        parts["test"] = parts.pop("validation")
    return {
        name: _Split(part.values, part.image_ids, torch.from_numpy(label_matrix(boxes, part.image_ids, labels)))
        for name, part in parts.items()
    }


def _run(recipe: Mapping[str, Any], study: str, crops: str, photos: int) -> dict[str, Any]:
    """Which run the numbers are of, and by which code; photos: of the train split."""
    return {
        "study": study,
        "method": recipe["method"],
        "crops": crops,
        "seed": recipe["seed"],
        **{key: recipe.get("crops", {}).get(key) for key in ("policy", "boxes")},
        "train_images": photos,
        "recipe": recipe,
        "recipe_hash": digest(recipe),
        "versions": versions(),
        "commit": commit(),
    }


def _test_metrics(scores: Tensor, test: _Split, table: pd.DataFrame, single_label: bool) -> dict[str, Any]:
    """What the scores (N, C) of the test photos are worth; table: the AP and the test photos of each class."""
    return {
        **({f"top{k}": top_k_accuracy(scores, test.targets, k) for k in TOPS} if single_label else {}),
        "map": float(table["ap"].mean()),
        "map_batch": {str(size): batch_averaged_map(scores, test.targets, size) for size in BATCH_SIZES},
        "classes": int(table["ap"].count()),
        "shown_by_all": table["name"][table["test_images"] == len(test.image_ids)].tolist(),
        "test_images": len(test.image_ids),
    }


def _check(splits: Mapping[str, _Split], study: str, single_label: bool) -> None:
    """Raise ValueError, naming the study, where views are of other photos or a photo has not one label as it must."""
    if TRAIN_VIEWS in splits and splits[TRAIN_VIEWS].image_ids != splits["train"].image_ids:
        raise ValueError(f"study {study}: the augmented views are of other photos than train's; extract both again")
    for name, split in splits.items() if single_label else ():
        try:
            check_one_label(split.targets)
        except ValueError as error:
            raise ValueError(f"study {study}, {name}: {error}") from None


def images_seen(recipe: Mapping[str, Any], image_ids: Sequence[str], boxes: pd.DataFrame) -> int:
    """Photos that a run trained on, repetitions counted: whole batches only. image_ids: of the train split."""
    if "options" not in recipe:
        return 0
    per_photo = boxes_per_photo(boxes, image_ids) if "budget" in recipe else 1.0
    steps = step_count(recipe, len(image_ids), per_photo)
    return steps * int(recipe["options"]["batch_size"])


def versions() -> dict[str, str]:
    """Versions of the packages that a number can depend on."""
    result = {"oac": __version__}
    for package in PACKAGES:
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = "unknown"
    return result


def _choose(
    splits: Mapping[str, _Split], settings: Mapping[str, Any], options: Mapping[str, Any], device: str
) -> tuple[Choice, tuple[Tensor, Tensor]]:
    """The classifier with the weight decay that suits validation, and the features and targets it is trained on.

    Without augmented views it is trained on the view that it is tested on. Without a validation split the photos that
    are held out to choose the weight decay come last in what it is trained on again; they are the same for every run
    of a study, so that all variants are chosen alike.
    """
    settings = {**settings, "task": options.get("task", "multi_label"), "device": device}
    settings |= {key: options[key] for key in ("solver", "weight_decays")}
    train = splits["train"]
    views, targets = splits.get(TRAIN_VIEWS, train).values, train.targets
    if "validation" in splits:
        validation = splits["validation"]
        return choose(views, targets, validation.values, validation.targets, **settings), (views, targets)
    kept, held = hold_out(len(targets), seed=0)
    order = np.concatenate([kept, held])
    whole = views[..., order, :], targets[order]
    rest, held_out = (views[..., kept, :], targets[kept]), (train.values[held], targets[held])
    return choose(*rest, *held_out, refit=whole, **settings), whole


def _knn(train: _Split, test: _Split, options: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Metrics of the k-NN classifier on the test view, and top-1 where labels are single."""
    scores = knn_scores(train.values.to(device), train.targets, test.values.to(device), options["knn"]).cpu()
    metrics = {"k": options["knn"], "map": mean_average_precision(scores, test.targets)}
    if options.get("task") == "single_label":
        metrics["top1"] = top_k_accuracy(scores, test.targets, 1)
    return metrics


def _optional_metrics(
    splits: Mapping[str, _Split],
    train: tuple[Tensor, Tensor],
    scores: Tensor,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Metrics that a study can have beside the probe: the best epoch, a ridge path, an interval over photos."""
    metrics: dict[str, Any] = {}
    test = splits["test"]
    if options.get("best_epoch"):
        metrics["best_epoch"] = best_epoch(train, (test.values, test.targets), **settings)
    if options.get("ridge"):
        path = ridge_path(splits["train"].values, splits["train"].targets)
        ridge_map = mean_average_precision(path.probe.scores(test.values), test.targets)
        metrics["ridge"] = {"map": ridge_map, "penalty": path.penalty}
    if options.get("jackknife"):
        metrics["jackknife"] = _jackknife(scores, test)
    return metrics


def _jackknife(scores: Tensor, test: _Split) -> dict[str, Any]:
    """The mAP without its bias, its 95 % interval over test photos, and what compares runs in pairs.

    images: a hash of the test photos in their order; runs are paired where theirs are equal.
    """
    values = jackknife.pseudo_values(scores, test.targets)
    low, high = jackknife.interval(values)
    images = hashlib.sha256("\n".join(test.image_ids).encode()).hexdigest()[:12]
    found = {"map": float(values.mean()), "low": low, "high": high, "images": images}
    return found | {"pseudo_values": [round(float(value), 6) for value in values]}


def _by_size(
    scores: Tensor, test: _Split, boxes: pd.DataFrame, labels: list[str], edges: list[float]
) -> pd.DataFrame:
    area = torch.from_numpy(largest_area(boxes, test.image_ids, labels))
    result = average_precision_by_size(scores, test.targets, area, edges)
    counted = ~result.ap.isnan()
    return pd.DataFrame(
        {
            "bin": np.arange(len(edges) - 1),
            "low": edges[:-1],
            "high": edges[1:],
            "ap": result.ap.nanmean(1).numpy(),
            "classes": counted.sum(1).numpy(),
            "positives": (result.positives * counted).sum(1).numpy(),
        }
    )
