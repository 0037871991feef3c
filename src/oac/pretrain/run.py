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
from safetensors import SafetensorError

from oac import gpus
from oac.atomic import writing
from oac.csv_tables import read_table
from oac.data.tables import boxes_by_image, label_matrix
from oac.pretrain import crops, distributed, methods
from oac.pretrain.checkpoint import State
from oac.pretrain.compilation import keep_results
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import CropPolicy
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.loader import SmallViews, ViewBatches
from oac.pretrain.loop import Trainer, set_threads
from oac.pretrain.nn import backbone, encoder_recipe, load_encoder, save_encoder
from oac.pretrain.photo_sources import open_photos

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainingFiles:
    """What a run reads: the canonical tables, the photo store and, where its policy has boxes, the proposals."""

    images: Path
    boxes: Path
    classes: Path
    photos: Path
    proposals: Path | None = None

    def fingerprint(self) -> str:
        """Hash the photos' bytes, their labels and their boxes: a checkpoint is not continued on others.

        How the photos are spread over shards does not count.
        """
        photos = pd.concat(
            pd.read_parquet(index, columns=["image_id", "sha256"])
            for index in self.photos.glob("train/*.index.parquet")
        )
        boxes = pd.read_parquet(self.boxes)
        tables = [photos, boxes[boxes["image_id"].isin(photos["image_id"])], pd.read_csv(self.classes)]
        tables += [pd.read_parquet(self.proposals)] if self.proposals else []
        digest = hashlib.sha256()
        for table in tables:
            table = table.sort_values(list(table.columns), ignore_index=True)
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()


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
) -> None:
    """Train the run of a recipe from its last checkpoint on, and write its encoder and its history.

    On a CPU `threads` compute and the batches are made in between. On a GPU the batches are cut there, or `threads`
    processes make them (`open_photos`). compile: "auto", "on" or "off" (`Compilation`).

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
    if recipe["options"].get("queue", 0) > len(batches.photos) and distributed.rank() == 0:
        print(
            f"warning: the queue of {recipe['options']['queue']} keys is longer than an epoch of"
            f" {len(batches.photos)} photos, so that a photo's own keys are among its negatives: lower `queue`",
            file=sys.stderr,
        )
    torch.manual_seed(recipe["seed"])
    method = methods.build(recipe, labels)
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
    ).run()
    if distributed.rank() == 0:
        _publish_history(state.history.read_text(), history)
        save_encoder(method.encoder, recipe, encoder)


def initialise_run(recipe: dict[str, Any], encoder: Path, history: Path) -> None:
    """Write the encoder of the random-initialisation row: the weights that a trained run of this seed starts from."""
    torch.manual_seed(recipe["seed"])
    net, _ = backbone(**recipe["backbone"])
    _publish_history(json.dumps({"recipe": recipe}) + "\n", history)
    save_encoder(net, recipe, encoder)


def adopt_encoder(recipe: dict[str, Any], given: Path, encoder: Path, history: Path) -> None:
    """Write the encoder of the row of an encoder that there is: of this package, or torchvision's state dict (.pth).

    recipe: of the row; its backbone is that of a state dict. Raises ValueError, naming the file, where it is neither.
    """
    if given.suffix == ".safetensors":
        try:
            theirs = encoder_recipe(given)
        except SafetensorError as error:
            raise ValueError(f"{given} is no file of weights: {error}") from error
        recipe = recipe | {"backbone": theirs["backbone"], "pretraining": theirs}
        net = load_encoder(given)
    else:
        net, _ = backbone(**recipe["backbone"])
        try:
            weights = torch.load(given, map_location="cpu", weights_only=True)
            net.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
        except Exception as error:
            raise ValueError(
                f"{given} is no state dict of a {recipe['backbone']['name']}: {' '.join(str(error).split())[:300]}"
            ) from error
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
