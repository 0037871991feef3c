"""Put tests between the lines of a study into a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.pairs import pairs_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/pairs.{csv,md,tex,html}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    write(pairs_table(metrics), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
