"""Propose boxes for every photo of a study with its trained BING."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import DamagedPhotoError, Store
from oac.progress import track
from oac.proposals.bing import Bing
from oac.proposals.sources import proposal_table


class Proposer:
    """What a process opens once: the store and the trained windows."""

    current: "Proposer"

    def __init__(self, photos: Path, weights: Path, count: int, nms_iou: float | None) -> None:
        self.store, self.bing = Store(photos), Bing.load(weights)
        self.count, self.nms_iou = count, nms_iou
        Proposer.current = self

    @staticmethod
    def propose(image_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of one photo; none where it cannot be decoded."""
        mine = Proposer.current
        try:
            image = np.asarray(mine.store.image(image_id))
        except DamagedPhotoError as error:
            print(f"warning: {error}", flush=True)
            return np.zeros((0, 4)), np.zeros(0)
        return mine.bing.propose(image, mine.count, nms_iou=mine.nms_iou)


def main() -> None:
    """Parse the command line and propose."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "weights", "photos"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True, help="boxes per photo")
    parser.add_argument("--nms-iou", type=lambda text: None if text == "None" else float(text), default=None)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    ids = pd.read_parquet(options.images)["image_id"].tolist()
    settings = (options.photos, options.weights, options.count, options.nms_iou)
    with ProcessPoolExecutor(options.processes, initializer=Proposer, initargs=settings) as pool:
        found = list(track(pool.map(Proposer.propose, ids, chunksize=32), len(ids), "proposals, photos"))
    table = proposal_table(ids, [boxes for boxes, _ in found], [scores for _, scores in found])
    with writing(options.out) as path:
        table.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors():
        main()
