"""Measure the detection rate of the proposals of each source, on every split."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.tables import boxes_by_image
from oac.proposals.comparison import detection_rate

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def rates(proposals: list[np.ndarray], truth: list[np.ndarray], counts: list[int]) -> dict[str, Any]:
    """Detection rates at IoU 0.5, averaged both ways, and the mean area of a proposal."""
    boxes = np.concatenate(proposals)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return {
        "image": detection_rate(proposals, truth, counts, average="image"),
        "object": detection_rate(proposals, truth, counts, average="object"),
        "mean_area": float(area.mean()) if len(area) else None,
    }


def main(smk: "Snakemake") -> None:
    """Write {split: {source: rates}}; the splits beside train say what a run can expect of new photos."""
    images, boxes = pd.read_parquet(smk.input.images), pd.read_parquet(smk.input.boxes)
    counts = sorted({*(count for count in COUNTS if count < smk.params.number), smk.params.number})
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.proposals}
    result: dict[str, Any] = {"iou": 0.5, "splits": {}}
    for split, part in images.groupby("split", sort=False):
        ids = part["image_id"].tolist()
        truth = boxes_by_image(boxes, ids)
        result["splits"][split] = {
            source: rates(boxes_by_image(table, ids), truth, counts) for source, table in tables.items()
        }
    with writing(smk.output[0]) as path:
        path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
