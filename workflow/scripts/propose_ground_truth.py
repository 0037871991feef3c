"""Take the true boxes of a study as proposals."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.proposals.sources import ground_truth

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the proposals table."""
    ids = pd.read_parquet(smk.input.images)["image_id"].tolist()
    with writing(smk.output[0]) as path:
        ground_truth(pd.read_parquet(smk.input.boxes), ids).to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
