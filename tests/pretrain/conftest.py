"""A tiny study on disk: synthetic images through the real subset and store, with ground-truth boxes as proposals."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from oac.data import openimages, store, subset, synthetic
from oac.pretrain.recipe import complete
from oac.pretrain.run import TrainingFiles, train_run
from oac.proposals.box_sources import ground_truth

TINY = {
    "recipe_version": 1,
    "study": "tiny",
    "method": "moco_v2",
    "seed": 0,
    "backbone": {"name": "narrow", "width": 8},
    "data": {"source": "synthetic"},
    "crops": {"policy": "object-dilate", "boxes": "ground_truth"},
    "view_size": 16,
    "images_seen": 640,
    "precision": "fp32",
    "augment": {"blur": 0.5},
    "options": {
        "batch_size": 16, "lr": 0.05, "queue": 40, "key_momentum": 0.9, "temperature": 0.2,
        "dim": 8, "hidden": 16, "head_norm": True, "bn_splits": 2, "heads": 2,
    },
}  # fmt: skip
TINY_RECIPES = {
    "moco_v2": TINY,
    "byol": TINY | {
        "method": "byol",
        "augment": {"query": {"blur": 1.0}, "key": {"blur": 0.1, "solarize": 0.2}},
        "options": {
            "batch_size": 16, "lr": 3.0, "optimizer": "lars", "weight_decay": 1e-6, "warmup": 0.05,
            "target_momentum": 0.9, "dim": 8, "hidden": 16, "bn_splits": 2,
        },
    },
    "swav": TINY | {
        "method": "swav",
        "options": {
            "batch_size": 16, "lr": 0.05, "final_lr": 0.001, "optimizer": "larc", "weight_decay": 1e-6,
            "prototypes": 12, "dim": 8, "hidden": 16, "queue": 40, "queue_from": 0.25, "freeze": 0.1,
            "small_views": {"count": 2, "size": 8, "scale": [0.05, 0.14]},
        },
    },
    "cmc": TINY | {
        "method": "cmc",
        "backbone": {"name": "narrow", "width": 16},
        "augment": {view: {"jitter": 0.0, "grayscale": 0.0, "blur": 0.0} for view in ("query", "key")},
        "options": {
            "batch_size": 16, "lr": 0.03, "drops": [0.5, 0.75], "negatives": 30, "dim": 8, "views": "crossed",
        },
    },
    "supervised": TINY | {"method": "supervised", "options": {"batch_size": 16, "lr": 0.05}},
}  # fmt: skip
METHODS = {name: complete(recipe) for name, recipe in TINY_RECIPES.items()}


@pytest.fixture
def recipe(request):
    """A recipe free to be changed: MoCo's, or that of the method which `indirect` parametrisation names."""
    return json.loads(json.dumps(METHODS[getattr(request, "param", "moco_v2")]))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> TrainingFiles:
    folder = tmp_path_factory.mktemp("study")
    synthetic.write_release(folder / "release", seed=0, train=50, validation=1, test=1, size=72)
    chosen = subset.select(openimages.read_release(folder / "release", ["train"]), min_images_per_class=1)
    photos = folder / "photos"
    store.write_shard(
        chosen.images,
        str(folder / "release"),
        photos / "train" / "train-000.tar",
        photos / "train" / "train-000.index.parquet",
        photos / "train" / "train-000.missing.csv",
    )
    paths = TrainingFiles(
        images=folder / "images.parquet",
        photos=photos,
        boxes=folder / "boxes.parquet",
        classes=folder / "classes.csv",
        proposals=folder / "ground_truth.parquet",
    )
    store.stored_images(photos).to_parquet(paths.images)
    chosen.boxes.to_parquet(paths.boxes)
    chosen.classes.to_csv(paths.classes, index=False)
    assert isinstance(paths.proposals, Path)
    ground_truth(chosen.boxes, chosen.images["image_id"].tolist()).to_parquet(paths.proposals)
    return paths


@pytest.fixture(scope="session")
def finished(inputs, tmp_path_factory) -> Callable[[str], Path]:
    """Give the folder of a method's run that nothing disturbed; each is trained once."""

    @functools.cache
    def train(method: str) -> Path:
        folder: Path = tmp_path_factory.mktemp(f"uninterrupted-{method}")
        train_run(METHODS[method], inputs, folder / "state", folder / "encoder.safetensors", folder / "history.jsonl")
        return folder

    return train


@pytest.fixture
def uninterrupted(recipe, finished) -> Path:
    return finished(recipe["method"])
