"""Concatenate the proposals of all shards into one table."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the proposals table, sorted by image and rank."""
    table = pd.concat([pd.read_parquet(path) for path in smk.input.shards], ignore_index=True)
    with writing(smk.output[0]) as path:
        table.sort_values(["image_id", "rank"], ignore_index=True).to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
