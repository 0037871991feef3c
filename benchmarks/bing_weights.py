"""Train the BING weights of the package, bing_voc07.json, on the train photos of PASCAL VOC2007, or measure them.

    python benchmarks/bing_weights.py VOCdevkit/VOC2007 src/oac/proposals/bing_voc07.json
    python benchmarks/bing_weights.py VOCdevkit/VOC2007 --held-out

The folder is one with Annotations, ImageSets and JPEGImages; its train list is read, objects marked difficult
included. A study trains BING on its own photos; these weights are for photos without boxes. The second command is how
the additions to BING and their numbers were chosen: it trains on four fifths of the train photos and prints what
each model finds in the last fifth. It measures detection rates, not speed. Val and test photos are not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from oac.allocation import keep_freed_memory
from oac.data.tables import boxes_by_image
from oac.data.voc import read_release
from oac.proposals.bing import Bing
from oac.proposals.bing_train import SHRINKAGE, train
from oac.proposals.comparison import GroundTruth, score_proposals

FIFTH = 5
COUNTS = (10, 100, 1000)
SOURCE = "PASCAL VOC2007 train"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on the folder given first and write the weights to the file given second, or compare models."""
    parser = argparse.ArgumentParser(description="train BING on the train photos of PASCAL VOC2007")
    parser.add_argument("folder", type=Path, help="a folder like VOCdevkit/VOC2007")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("weights", type=Path, nargs="?", help="JSON file to write")
    what.add_argument("--held-out", action="store_true", help="compare models on a fifth of the train photos")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    release = read_release(options.folder)
    photos = release.images[release.images["split"] == "train"]
    boxes = boxes_by_image(release.boxes, photos["image_id"].tolist())
    images = [np.asarray(Image.open(options.folder / path).convert("RGB")) for path in photos["path"]]
    if options.held_out:
        compare(images, boxes)
    else:
        train(images, boxes, seed=0, source=SOURCE).save(options.weights)


def alternatives(images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> Iterator[tuple[str, Bing]]:
    """The published method, the additions one by one, and other values of their two numbers, each with its name."""
    yield "published", train(images, boxes, seed=0, position=False, regression=False, nms_iou=None)
    chosen = train(images, boxes, seed=0)
    yield "and position", replace(chosen, regression=None, nms_iou=None)
    yield "and regression", replace(chosen, nms_iou=None)
    yield "and suppression: all of it", chosen
    for limit in (0.5, 0.7):
        yield f"nms_iou {limit:g}", replace(chosen, nms_iou=limit)
    for share in (0.5, 1.0):
        moves = None if chosen.regression is None else share / SHRINKAGE * chosen.regression
        yield f"shrinkage {share:g}", replace(chosen, regression=moves)


def compare(images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> None:
    """Print detection rates of the alternatives on every fifth photo, trained on the others."""
    rest = [index for index in range(len(images)) if index % FIFTH != FIFTH - 1]
    held = [index for index in range(len(images)) if index % FIFTH == FIFTH - 1]
    truth = GroundTruth([boxes[index] for index in held], [np.zeros(len(boxes[index])) for index in held])
    print(
        "| model | IoU 0.5, photos | IoU 0.5, objects | IoU 0.7, photos | IoU 0.7, objects |\n|---|---|---|---|---|"
    )
    for name, model in alternatives([images[index] for index in rest], [boxes[index] for index in rest]):
        table = score_proposals([model.propose(images[index], max(COUNTS))[0] for index in held], truth, COUNTS)
        columns = [f"detection_rate_{iou:g}_{average}" for iou in (0.5, 0.7) for average in ("image", "object")]
        cells = [" / ".join(f"{value:.3f}" for value in table[column]) for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
