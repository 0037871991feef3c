"""Embed every photo of a study with a frozen encoder, or augmented views of its train photos."""

import argparse
import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from oac import cards
from oac.command import plain_errors
from oac.data.store import Store
from oac.pretrain.nn import encoder_recipe, load_encoder
from oac.probe.features import TRAIN_VIEWS, Features, extract, extract_views, readable, save_features

BATCH_SIZE = 128


def main() -> None:
    """Parse the command line and extract."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "photos", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--view-size", type=int, required=True)
    parser.add_argument("--full", choices=["True", "False"], default="False")
    parser.add_argument(
        "--views", type=int, default=0, help="augmented views of each train photo, instead of the rest"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=0)
    options = parser.parse_args()
    if not options.gpus:
        embed(options, "cpu")
        return
    with cards.leased(1, cards.visible(), cards.folder()) as mine:
        os.environ["CUDA_VISIBLE_DEVICES"] = mine[0]  # before CUDA is first used
        embed(options, "cuda")


def embed(options: argparse.Namespace, device: str) -> None:
    """Embed the photos of every split and write the features."""
    torch.set_num_threads(options.threads)
    encoder, store = load_encoder(options.encoder), Store(options.photos)
    splits = {}
    shared: dict[str, Any] = {
        "size": options.view_size,
        "batch_size": BATCH_SIZE,
        "device": device,
        "workers": options.threads if options.gpus else 0,
    }
    for split, part in pd.read_parquet(options.images).groupby("split", sort=False):
        ids = part["image_id"].tolist()
        if not options.views:
            values = extract(encoder, store, ids, full=options.full == "True", **shared)
            good = readable(values)
            splits[str(split)] = Features(values[good], kept(ids, good))
        elif split == "train":
            seed = encoder_recipe(options.encoder)["seed"]
            values = extract_views(encoder, store, ids, views=options.views, seed=seed, **shared)
            good = readable(values).all(0)
            splits[TRAIN_VIEWS] = Features(values[:, good], kept(ids, good))
    save_features(options.out, splits)


def kept(ids: list[str], good: Tensor) -> list[str]:
    """The ids of the photos that could be decoded."""
    return [name for name, keep in zip(ids, good.tolist(), strict=True) if keep]


if __name__ == "__main__":
    with plain_errors():
        main()
