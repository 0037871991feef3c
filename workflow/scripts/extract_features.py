"""Embed every photo of a study with a frozen encoder, or augmented views of its train photos."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from oac import gpus
from oac.command import plain_errors
from oac.data.store import Store
from oac.pretrain.nn import encoder_recipe, load_encoder
from oac.probe.features import TRAIN_VIEWS, extract, save_features

BATCH_SIZE = 128


def main() -> None:
    """Parse the command line and extract."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "photos", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--view-size", type=int, required=True)
    parser.add_argument("--squeeze", choices=["True", "False"], default="False")
    parser.add_argument(
        "--views", type=int, default=0, help="augmented views of each train photo, instead of the rest"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=0)
    options = parser.parse_args()
    with gpus.one_device(options.gpus) as device:
        embed(options, device)


def embed(options: argparse.Namespace, device: str) -> None:
    """Embed the photos of every split and write the features."""
    torch.set_num_threads(options.threads)
    encoder, store = load_encoder(options.encoder), Store(options.photos)
    shared: dict[str, Any] = {
        "size": options.view_size,
        "batch_size": BATCH_SIZE,
        "device": device,
        "squeeze": options.squeeze == "True",
        "views": options.views,
        "seed": encoder_recipe(options.encoder)["seed"],
        "workers": options.threads if options.gpus else 0,
    }
    images = pd.read_parquet(options.images)
    if options.views:
        images = images[images["split"] == "train"]
    splits = {}
    for split, part in images.groupby("split", sort=False):
        splits[TRAIN_VIEWS if options.views else str(split)] = extract(
            encoder, store, part["image_id"].tolist(), **shared
        )
    save_features(options.out, splits)


if __name__ == "__main__":
    with plain_errors():
        main()
