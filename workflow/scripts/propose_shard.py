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

from oac import cards
from oac.allocation import keep_freed_memory
from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import DamagedPhotoError, Store
from oac.progress import track
from oac.proposals.bing import Bing
from oac.proposals.evidence import scored_photos
from oac.proposals.proposers import proposer
from oac.proposals.sources import proposal_table

AT_ONCE = 256  # photos in memory at a time on a GPU
Found = tuple[np.ndarray, np.ndarray]


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
    parser.add_argument("--first", type=_number, default=None, help="only so many photos of the split, or None")
    parser.add_argument("--gpus", type=int, default=0, help="1: BING in batches on a GPU")
    parser.add_argument("--out", required=True)
    return parser.parse_args()


def _number(text: str) -> int | None:
    return None if text == "None" else int(text)


def photos_of(store: Store, ids: list[str]) -> Iterator[np.ndarray | None]:
    """The photos one after the other; None where one cannot be decoded."""
    for image_id in ids:
        try:
            yield np.asarray(store.image(image_id))
        except DamagedPhotoError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            yield None


def one_by_one(options: argparse.Namespace, photos: Iterator[np.ndarray | None]) -> Iterator[Found]:
    """Boxes and scores of every photo, from any source."""
    propose = proposer(options.source, options.options, options.weights or None)
    for photo in photos:
        yield (np.zeros((0, 4)), np.zeros(0)) if photo is None else propose(photo, options.count)


def in_batches(options: argparse.Namespace, photos: Iterator[np.ndarray | None]) -> Iterator[Found]:
    """The same of BING's, on a GPU."""
    with cards.leased(1, cards.visible(), cards.folder()) as mine:
        os.environ["CUDA_VISIBLE_DEVICES"] = mine[0]  # before CUDA is first used
        from oac.proposals import batch

        model = Bing.load(options.weights or None)
        while group := list(islice(photos, AT_ONCE)):
            good = [photo for photo in group if photo is not None]
            nms_iou = options.options.get("nms_iou")
            found = iter(batch.propose(model, good, options.count, device="cuda", nms_iou=nms_iou))
            for photo in group:
                yield (np.zeros((0, 4)), np.zeros(0)) if photo is None else next(found)


def main() -> None:
    """Propose and write the table."""
    keep_freed_memory()
    options = arguments()
    split = options.shard.rsplit("-", 1)[0]
    listed = scored_photos(pd.read_parquet(options.images), split, options.first)
    ids = listed.loc[listed["shard"] == options.shard, "image_id"].tolist()
    photos = photos_of(Store(options.photos / split), ids)
    results = in_batches(options, photos) if options.gpus else one_by_one(options, photos)
    boxes, scores = [], []
    for found in track(results, len(ids), f"{options.source}, {options.shard}, photos"):
        boxes.append(found[0].astype(np.float32))
        scores.append(found[1].astype(np.float32))
    with writing(options.out) as path:
        proposal_table(ids, boxes, scores).to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors():
        main()
