"""Measure how the two crops of every crop variant overlap, as a run of seed 0 draws them; nothing is decoded."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.crop_options import crop_params
from oac.data.tables import boxes_by_image
from oac.pretrain.crop_overlap import ObjectBoxes, measure_overlap
from oac.pretrain.run import training_crops, training_images

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

SEED = 0


def main(smk: "Snakemake") -> None:
    """Write a row for each variant."""
    images = training_images(smk.input.images)
    ids = images["image_id"].tolist()
    size = images[["width", "height"]].to_numpy(float)
    objects = ObjectBoxes.pack(boxes_by_image(pd.read_parquet(smk.input.boxes), ids))
    proposals = {Path(path).stem: Path(path) for path in smk.input.get("proposals", [])}
    rows = []
    for name, params in smk.params.variants.items():
        policy, boxes, scale_lower = training_crops(crop_params(params), proposals.get(params.get("boxes")), ids)
        measured = measure_overlap(policy, scale_lower, boxes, size, objects, seed=SEED)
        rows.append({"crops": name, "seed": SEED, **measured})
        print(f"{name}: IoU {measured['iou']:.3f}, one object in both {measured['same_object']:.3f}")
    with writing(Path(smk.output[0])) as path:
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
