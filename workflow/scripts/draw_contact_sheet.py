"""Draw what a crop line cuts out of a study's photos."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.pretrain.augment import Augmentation
from oac.pretrain.loader import Boxes, Photos
from oac.pretrain.run import crop_policy, smallest_scale, training_boxes
from oac.report.contact_sheet import contact_sheet
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw the first samples of a run with seed 0."""
    images = pd.read_parquet(smk.input.images)
    images = images[images["split"] == "train"]
    ids = images["image_id"].tolist()
    policy = crop_policy(smk.params.line)
    proposals = smk.input.get("proposals")
    boxes = training_boxes(policy, Path(proposals) if proposals else None, ids)
    figure = contact_sheet(
        Photos(smk.params.photos, images, resident_gib=0),
        Boxes.pack(boxes),
        policy,
        smallest_scale(policy, boxes),
        name=smk.wildcards.crops,
        view_size=smk.params.view_size,
        augmentation=Augmentation(**smk.params.augment),
    )
    save(figure, Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
