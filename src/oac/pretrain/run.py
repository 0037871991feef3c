"""One pretraining run from files to an encoder file: what the workflow's script calls."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from oac import gpus
from oac.atomic import writing
from oac.csv_tables import read_table
from oac.data.tables import boxes_by_image, boxes_per_photo, label_matrix
from oac.pretrain import crops, distributed, methods
from oac.pretrain.checkpoint import State
from oac.pretrain.compilation import keep_results
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import CropPolicy
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.loader import SmallViews, ViewBatches
from oac.pretrain.loop import Trainer, set_threads
from oac.pretrain.nn import backbone, save_encoder
from oac.pretrain.nn import encoder as build_encoder
from oac.pretrain.photo_sources import open_photos
from oac.pretrain.timm_networks import check_views
from oac.pretrain.weights import load_weights, read_weights

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainingFiles:
    """What a run reads: the canonical tables, the photo store and, where its policy has boxes, the proposals.

    init: the weights that it starts from, where these are given.
    """

    images: Path
    boxes: Path
    classes: Path
    photos: Path
    proposals: Path | None = None
    init: Path | None = None

    def fingerprint(self) -> str:
        """Hash the photos' bytes, their labels and boxes, and `init`: a checkpoint is not continued on others.

        How the photos are spread over shards does not count.
        """
        photos = pd.concat(
            pd.read_parquet(index, columns=["image_id", "sha256"])
            for index in self.photos.glob("train/*.index.parquet")
        )
        boxes = pd.read_parquet(self.boxes)
        tables = [photos, boxes[boxes["image_id"].isin(photos["image_id"])], read_table(self.classes)]
        tables += [pd.read_parquet(self.proposals)] if self.proposals else []
        digest = hashlib.sha256()
        for table in tables:
            table = table.sort_values(list(table.columns), ignore_index=True)
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        digest.update(self.init_sha256().encode())
        return digest.hexdigest()

    def init_sha256(self) -> str:
        """SHA-256 of the file that a run starts from; empty where it starts from random weights."""
        if self.init is None:
            return ""
        with open(self.init, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def train_run(
    recipe: dict[str, Any],
    files: TrainingFiles,
    state_folder: Path,
    encoder: Path,
    history: Path,
    *,
    threads: int = 1,
    device: str = "cpu",
    checkpoint_seconds: float = 120.0,
    compile: str = "off",
    accumulate: int = 1,
) -> None:
    """Train the run of a recipe from its last checkpoint on, and write its encoder and its history.

    On a CPU `threads` compute and the batches are made in between. On a GPU the batches are cut there, or `threads`
    processes make them (`open_photos`). compile: "auto", "on" or "off" (`Compilation`). accumulate: parts that
    a batch is computed in, for GPUs that are too small (`accumulation`).

    Raises loop.Preempted after SIGTERM, checkpoint.StateError, FloatingPointError where training diverged, and
    ValueError where files and recipe do not fit.
    """
    if device == "cpu":
        set_threads(threads)
    else:
        torch.backends.cudnn.benchmark = True  # shapes never change, so the fastest convolution is looked for once
        # A run that needs more fails itself, and not its neighbours.
        torch.cuda.set_per_process_memory_fraction(1 / gpus.runs_per_gpu())
    batches, labels = training_batches(recipe, files, torch.device(device), threads)
    _warn_of_long_queue(recipe, len(batches.photos))
    method = _initial_method(recipe, labels, files.init)
    check_views(method.encoder, recipe, [recipe["view_size"], *([batches.small.size] if batches.small else [])])
    if device != "cpu":
        distributed.convert_sync_batchnorm(method)
    state = State(state_folder, recipe, files.fingerprint())
    # Where views are cut on the device there is nothing for workers to do.
    workers = threads if device != "cpu" and isinstance(batches.photos, HostPhotos) else 0
    keep_results(state_folder.parent / "compiled")
    Trainer(
        recipe,
        method,
        batches,
        state,
        device=device,
        workers=workers,
        checkpoint_seconds=checkpoint_seconds,
        compile=compile,
        accumulate=accumulate,
        boxes_per_photo=_budget_factor(recipe, files, batches.photos.image_ids),
    ).run()
    if distributed.rank() == 0:
        _publish_history(state.history.read_text(), history)
        # A path says where weights lay, their hash what they were.
        init = {"init": {"file": recipe["init"], "sha256": files.init_sha256()}} if files.init else {}
        save_encoder(method.encoder, recipe | init, encoder)


def _budget_factor(recipe: Mapping[str, Any], files: TrainingFiles, image_ids: Sequence[str]) -> float:
    """The mean number of ground-truth boxes of these photos, where the budget is in boxes."""
    if "budget" not in recipe:
        return 1.0
    return boxes_per_photo(pd.read_parquet(files.boxes, columns=["image_id"]), image_ids)


def _warn_of_long_queue(recipe: Mapping[str, Any], photos: int) -> None:
    queue = recipe["options"]["queue"] if recipe["method"] == "moco_v2" else 0
    if queue > photos and distributed.rank() == 0:
        print(
            f"warning: the queue of {queue} keys is longer than an epoch of {photos} photos, so that a photo's own"
            " keys are among its negatives: lower `queue`",
            file=sys.stderr,
        )


def _initial_method(recipe: dict[str, Any], labels: np.ndarray, init: Path | None) -> methods.Method:
    """The method with the weights that training starts from: random ones of the seed, or those of a file."""
    torch.manual_seed(recipe["seed"])
    method = methods.build(recipe, labels)
    if init:
        weights = read_weights(init)
        for net in (method.encoder, *method.copies_of_encoder()):
            load_weights(net, weights, recipe["backbone"]["name"])
    return method


def initialise_run(recipe: dict[str, Any], encoder: Path, history: Path) -> None:
    """Write the encoder of the random-initialisation row: the weights that a trained run of this seed starts from."""
    torch.manual_seed(recipe["seed"])
    net, _ = backbone(**recipe["backbone"])
    _publish_history(json.dumps({"recipe": recipe}) + "\n", history)
    save_encoder(net, recipe, encoder)


def adopt_encoder(recipe: dict[str, Any], given: Path, encoder: Path, history: Path) -> None:
    """Write the encoder of the row of an encoder that there is (`read_weights`).

    recipe: of the row; its backbone is that of weights without a recipe of their own. Raises ValueError, naming the
    file, where they do not fit.
    """
    weights = read_weights(given)
    if weights.recipe is not None:
        recipe = recipe | {"backbone": weights.recipe["backbone"], "pretraining": weights.recipe}
    net = build_encoder(recipe)
    load_weights(net, weights, recipe["backbone"]["name"])
    _publish_history(json.dumps({"recipe": recipe}) + "\n", history)
    save_encoder(net, recipe, encoder)


def training_batches(
    recipe: dict[str, Any], files: TrainingFiles, device: torch.device = _CPU, threads: int = 1
) -> tuple[ViewBatches, np.ndarray]:
    """Build the batches of a run and the labels (N, C) of its photos, from the train split."""
    images = training_images(files.images)
    ids: list[str] = images["image_id"].tolist()
    classes = read_table(files.classes)["label"].tolist()
    labels = label_matrix(pd.read_parquet(files.boxes), ids, classes)
    policy, boxes, scale_lower = training_crops(recipe["crops"], files.proposals, ids)
    small = recipe["options"].get("small_views")
    batches = ViewBatches(
        open_photos(files.photos, images, device, threads=threads, reduced="reduce" in recipe),
        boxes,
        labels,
        policy,
        scale_lower,
        seed=recipe["seed"],
        batch_size=recipe["options"]["batch_size"],
        view_size=recipe["view_size"],
        small=SmallViews(**small) if small and small["count"] else None,
        reduce=recipe.get("reduce", 0.0),
        part=(distributed.rank(), distributed.world_size()),
    )
    return batches, labels


def training_images(path: Path) -> pd.DataFrame:
    """Read the rows of the train split from a table of images: what a run trains on, in its order."""
    images = pd.read_parquet(path)
    return images[images["split"] == "train"]


def training_crops(
    params: Mapping[str, Any], proposals: Path | None, image_ids: Sequence[str]
) -> tuple[CropPolicy, Boxes, float]:
    """Read what a run cuts by: its policy, the proposals of its photos and s_min.

    params: the crop parameters of its recipe. Raises ValueError where the policy needs proposals that are not there.
    """
    policy = CropPolicy.of(params)
    boxes = training_boxes(policy, proposals, image_ids)
    return policy, Boxes.pack(boxes), smallest_scale(policy, boxes)


def training_boxes(policy: CropPolicy, proposals: Path | None, image_ids: Sequence[str]) -> list[np.ndarray]:
    """Read the proposals (n, 4) of each photo that the policy takes, best first; none where it looks at no boxes."""
    if not policy.needs_boxes:
        return [np.zeros((0, 4), np.float32)] * len(image_ids)
    if proposals is None:
        raise ValueError(f"crop policy {policy.policy} needs the proposals of {policy.boxes}: pass their file")
    table = pd.read_parquet(proposals)
    if "rank" in table:
        table = table.sort_values(["image_id", "rank"], kind="stable")
    boxes = boxes_by_image(table, image_ids)
    if not any(map(len, boxes)):
        raise ValueError(f"{proposals} has no box of any training photo: make it again for this study")
    return [best[: policy.count] for best in boxes]


def smallest_scale(policy: CropPolicy, boxes: Sequence[np.ndarray]) -> float:
    """s_min of crops inside boxes: the policy's own, else from the mean size of its proposals on these photos."""
    if policy.scale_lower is not None:
        return policy.scale_lower
    if not policy.needs_boxes:
        return policy.scene_scale[0]
    box = np.concatenate(list(boxes))
    return crops.scale_lower_bound((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), policy.scale_cap)


def _publish_history(text: str, path: Path) -> None:
    """Write a run's history beside its encoder: the state folder's copy belongs to the training loop."""
    with writing(path) as temporary:
        temporary.write_text(text)
