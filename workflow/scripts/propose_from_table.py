"""Make a study's proposals from boxes that there are: a CSV file, ground-truth boxes, or BING's for random boxes."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.proposals.box_sources import from_csv, ground_truth, random_boxes

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

SOURCES = {"csv": from_csv, "ground_truth": ground_truth, "random": random_boxes}


def main(smk: "Snakemake") -> None:
    """Write the proposals table of the box source that the wildcard names."""
    source = smk.wildcards.source
    ids = pd.read_parquet(smk.input.images)["image_id"].tolist()
    boxes = smk.input.boxes if source == "csv" else pd.read_parquet(smk.input.boxes)
    table = SOURCES[source](boxes, ids, **smk.params.options)
    print(f"{table['image_id'].nunique()} of {len(ids)} photos have boxes from {smk.input.boxes}")
    with writing(smk.output[0]) as path:
        table.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
