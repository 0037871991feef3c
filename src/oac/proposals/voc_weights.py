"""Makes the weights in the package, bing_voc07.json, from the train photos of PASCAL VOC2007.

    python -m oac.proposals.voc_weights VOCdevkit/VOC2007 src/oac/proposals/bing_voc07.json

The folder is one with Annotations, ImageSets and JPEGImages; its train list is read, objects marked difficult
included. A study trains BING on its own photos; these weights are for photos without boxes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from oac.data.tables import boxes_by_image
from oac.data.voc import read_release
from oac.proposals.bing_train import train


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on the folder given first and write the weights to the file given second."""
    parser = argparse.ArgumentParser(description="train BING on the train photos of PASCAL VOC2007")
    parser.add_argument("folder", type=Path, help="a folder like VOCdevkit/VOC2007")
    parser.add_argument("weights", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    release = read_release(options.folder)
    photos = release.images[release.images["split"] == "train"]
    boxes = boxes_by_image(release.boxes, photos["image_id"].tolist())
    images = [np.asarray(Image.open(options.folder / path).convert("RGB")) for path in photos["path"]]
    train(images, boxes, seed=0, source="PASCAL VOC2007 train").save(options.weights)


if __name__ == "__main__":
    main()
