"""Measure how the two crops of every crop line overlap, as a run of seed 0 draws them; nothing is decoded."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.tables import boxes_by_image
from oac.pretrain.loader import Boxes
from oac.pretrain.run import crop_policy, smallest_scale, training_boxes
from oac.report.overlap import Objects, measure_line

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

SEED = 0


def main(smk: "Snakemake") -> None:
    """Write a row for each line."""
    images = pd.read_parquet(smk.input.images)
    images = images[images["split"] == "train"]
    ids = images["image_id"].tolist()
    size = images[["width", "height"]].to_numpy(float)
    objects = Objects.pack(boxes_by_image(pd.read_parquet(smk.input.boxes), ids))
    proposals = {Path(path).stem: Path(path) for path in smk.input.get("proposals", [])}
    rows = []
    for name, line in smk.params.lines.items():
        policy = crop_policy(line)
        boxes = training_boxes(policy, proposals.get(policy.boxes or ""), ids)
        measured = measure_line(
            policy,
            smallest_scale(policy, boxes),
            Boxes.pack(boxes),
            size,
            objects,
            seed=SEED,
        )
        rows.append({"crops": name, "seed": SEED, **measured})
        print(f"{name}: IoU {measured['iou']:.3f}, one object in both {measured['same_object']:.3f}")
    with writing(Path(smk.output[0])) as path:
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
