"""One pretraining run from files to an encoder file: what the workflow's script calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from oac.atomic import writing
from oac.data.tables import boxes_by_image, label_matrix
from oac.pretrain import crops, distributed, methods
from oac.pretrain.checkpoint import State
from oac.pretrain.crops import CropPolicy
from oac.pretrain.loader import Boxes, SmallViews, ViewBatches
from oac.pretrain.loop import Trainer, set_threads
from oac.pretrain.nn import backbone, compile_backbones, save_encoder
from oac.pretrain.resident import ResidentPhotos, open_photos

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
    compiled: bool = False,
) -> None:
    """Train the run of a recipe from its last checkpoint on, and write its encoder and its history.

    On a CPU `threads` compute and the batches are made in between. On a GPU the batches are cut there where the
    decoded photos fit, else `threads` processes make them.

    Raises loop.Preempted after SIGTERM, checkpoint.StateError, FloatingPointError where training diverged, and
    ValueError where files and recipe do not fit.
    """
    if device == "cpu":
        set_threads(threads)
    else:
        torch.backends.cudnn.benchmark = True  # shapes never change, so the fastest convolution is looked for once
    batches, labels = training_batches(recipe, files, torch.device(device), threads)
    torch.manual_seed(recipe["seed"])
    method = methods.build(recipe, labels)
    if compiled:
        compile_backbones(method)
    state = State(state_folder, recipe, files.fingerprint())
    # Where views are cut on the device there is nothing for workers to do.
    workers = 0 if device == "cpu" or isinstance(batches.photos, ResidentPhotos) else threads
    Trainer(
        recipe, method, batches, state, device=device, workers=workers, checkpoint_seconds=checkpoint_seconds
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


def training_batches(
    recipe: dict[str, Any], files: TrainingFiles, device: torch.device = _CPU, threads: int = 1
) -> tuple[ViewBatches, np.ndarray]:
    """Build the batches of a run and the labels (N, C) of its photos, from the train split."""
    images = pd.read_parquet(files.images)
    images = images[images["split"] == "train"]
    ids: list[str] = images["image_id"].tolist()
    classes = pd.read_csv(files.classes, dtype={"label": "str"}, keep_default_na=False)["label"].tolist()
    labels = label_matrix(pd.read_parquet(files.boxes), ids, classes)
    policy = crop_policy(recipe["crops"])
    boxes = training_boxes(policy, files.proposals, ids)
    batches = ViewBatches(
        open_photos(files.photos, images, device, threads=threads, reduced="reduce" in recipe),
        Boxes.pack(boxes),
        labels,
        policy,
        smallest_scale(policy, boxes),
        seed=recipe["seed"],
        batch_size=recipe["options"]["batch_size"],
        view_size=recipe["view_size"],
        small=small_views(recipe["options"]),
        reduce=recipe.get("reduce", 0.0),
        part=(distributed.rank(), distributed.world()),
    )
    return batches, labels


def crop_policy(line: dict[str, Any]) -> CropPolicy:
    """Read a crop line of a study; lists, which is what YAML and JSON have, become tuples."""
    return CropPolicy(**{key: _frozen(value) for key, value in line.items()})


def _frozen(value: Any) -> Any:
    """Make tuples of lists, at every depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def small_views(options: dict[str, Any]) -> SmallViews | None:
    """Read a method's small views; None for those that have none."""
    small = options.get("small_views")
    if not small or not small["count"]:
        return None
    return SmallViews(small["count"], small["size"], tuple(small["scale"]))


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
