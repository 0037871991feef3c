"""Place boxes of BING's sizes at random: the control for what positions are worth."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.proposals.sources import random_matched

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the proposals table."""
    ids = pd.read_parquet(smk.input.images)["image_id"].tolist()
    reference = pd.read_parquet(smk.input.reference)
    table = random_matched(reference, ids, count=smk.params.number, seed=smk.params.seed)
    with writing(smk.output[0]) as path:
        table.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
