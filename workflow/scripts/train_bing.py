"""Train BING on the ground-truth boxes of a study's train photos."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oac import studies
from oac.allocation import keep_freed_memory
from oac.command import plain_errors
from oac.data.store import DamagedPhotoError, Store
from oac.data.tables import boxes_by_image
from oac.proposals.bing_train import train


class DecodedPhotos(Sequence):
    """Train photos as uint8 arrays (H, W, 3), decoded when indexed."""

    def __init__(self, store: Store, image_ids: list[str]) -> None:
        self.store, self.image_ids = store, image_ids

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> np.ndarray | None:
        """Decode one photo; None where it is damaged, which the training passes over."""
        try:
            return np.asarray(self.store.image(self.image_ids[index]))
        except DamagedPhotoError as error:
            print(f"warning: {error}", flush=True)
            return None


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "boxes", "photos"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, required=True, help="JSON of what proposals.bing gives")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    keep_freed_memory()
    images = pd.read_parquet(options.images)
    ids = images.loc[images["split"] == "train", "image_id"].tolist()
    boxes = boxes_by_image(pd.read_parquet(options.boxes), ids)
    photos = DecodedPhotos(Store(options.photos / "train"), ids)
    given = studies.completed(options.options, "proposals", "bing")
    training = {key: value for key, value in given.items() if key not in ("nms_iou", "weights")}
    train(photos, boxes, source=str(options.photos), **training).save(options.out)


if __name__ == "__main__":
    with plain_errors():
        main()
