"""Propose boxes for the photos of one shard."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from oac import gpus
from oac.allocation import keep_freed_memory
from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import DamagedPhotoError, Store
from oac.progress import track
from oac.proposals.bing import Bing
from oac.proposals.box_sources import proposal_table
from oac.proposals.comparison import first_photos
from oac.proposals.proposers import proposer

PHOTOS_AT_ONCE = 256  # decoded and in memory, with a GPU
Proposals = tuple[np.ndarray, np.ndarray]
NOTHING = (np.zeros((0, 4)), np.zeros(0))  # boxes and scores of a photo that cannot be decoded


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="table of the photos in the store")
    parser.add_argument("--photos", type=Path, required=True, help="folder of the image store")
    parser.add_argument("--shard", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--options", type=json.loads, required=True, help="JSON of the study's options of the source")
    parser.add_argument("--weights", default=None, help="weights of BING; those in the package where absent")
    parser.add_argument("--count", type=int, required=True, help="boxes per photo")
    parser.add_argument(
        "--first", type=number_or_none, default=None, help="only so many photos of the split, or None"
    )
    parser.add_argument("--gpus", type=int, default=0, help="1: BING in batches on a GPU")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def number_or_none(text: str) -> int | None:
    """An option that Snakemake hands on as the text None where a study sets none."""
    return None if text == "None" else int(text)


def decoded(store: Store, ids: list[str]) -> Iterator[np.ndarray | None]:
    """The photos one after the other; None where one cannot be decoded."""
    for image_id in ids:
        try:
            yield np.asarray(store.image(image_id))
        except DamagedPhotoError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            yield None


def one_by_one(options: argparse.Namespace, photos: Iterator[np.ndarray | None]) -> Iterator[Proposals]:
    """Boxes and scores of every photo, from any source."""
    propose = proposer(options.source, options.options, options.weights or None)
    for photo in photos:
        yield NOTHING if photo is None else propose(photo, options.count)


def in_batches(options: argparse.Namespace, photos: Iterator[np.ndarray | None]) -> Iterator[Proposals]:
    """Boxes and scores of every photo from BING, in batches on a GPU."""
    with gpus.acquire_gpus(1, gpus.visible_gpus(), gpus.lock_folder()) as gpu_ids:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_ids[0]  # before CUDA is first used
        from oac.proposals.batch import propose_in_batches

        model, nms_iou = Bing.load(options.weights or None), options.options.get("nms_iou")
        while group := list(islice(photos, PHOTOS_AT_ONCE)):
            good = [photo for photo in group if photo is not None]
            results = iter(propose_in_batches(model, good, options.count, device="cuda", nms_iou=nms_iou))
            for photo in group:
                yield NOTHING if photo is None else next(results)


def main() -> None:
    """Propose and write the table."""
    keep_freed_memory()
    options = arguments()
    split = options.shard.rsplit("-", 1)[0]
    listed = first_photos(pd.read_parquet(options.images), split, options.first)
    ids = listed.loc[listed["shard"] == options.shard, "image_id"].tolist()
    photos = decoded(Store(options.photos / split), ids)
    results = in_batches(options, photos) if options.gpus else one_by_one(options, photos)
    boxes, scores = [], []
    for photo_boxes, photo_scores in track(results, len(ids), f"{options.source}, {options.shard}, photos"):
        boxes.append(photo_boxes.astype(np.float32))
        scores.append(photo_scores.astype(np.float32))
    with writing(options.out) as path:
        proposal_table(ids, boxes, scores).to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors():
        main()
