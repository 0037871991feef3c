"""Embed every photo of a study with a frozen encoder."""

import argparse
import os
from pathlib import Path

import pandas as pd
import torch

from oac import cards
from oac.command import plain_errors
from oac.data.store import Store
from oac.pretrain.nn import load_encoder
from oac.probe.features import Features, extract, readable, save_features

BATCH_SIZE = 128


def main() -> None:
    """Parse the command line and extract."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "photos", "encoder", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--view-size", type=int, required=True)
    parser.add_argument("--full", choices=["True", "False"], required=True)
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
    for split, part in pd.read_parquet(options.images).groupby("split", sort=False):
        ids = part["image_id"].tolist()
        values = extract(
            encoder,
            store,
            ids,
            size=options.view_size,
            batch_size=BATCH_SIZE,
            device=device,
            full=options.full == "True",
            workers=options.threads if options.gpus else 0,
        )
        good = readable(values)
        splits[str(split)] = Features(values[good], [name for name, keep in zip(ids, good, strict=True) if keep])
    save_features(options.out, splits)


if __name__ == "__main__":
    with plain_errors():
        main()
