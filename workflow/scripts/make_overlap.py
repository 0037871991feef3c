"""Put the overlap of each line's two crops and its mAP into a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.overlap_table import overlap_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/overlap.{csv,md,tex,html}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    write(overlap_table(metrics, pd.read_csv(smk.input.overlap)), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
