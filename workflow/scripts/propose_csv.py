"""Take the proposals of a study from a file of boxes."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.proposals.sources import from_csv

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the proposals table."""
    ids = pd.read_parquet(smk.input.images)["image_id"].tolist()
    table = from_csv(smk.input.boxes, ids, count=smk.params.number)
    print(f"{table['image_id'].nunique()} of {len(ids)} photos have boxes in {smk.input.boxes}")
    with writing(smk.output[0]) as path:
        table.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
