"""Put the paper's numbers and those of a study into a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.paper_table import paper_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/paper.{csv,md,tex,html}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    checked = json.loads(Path(smk.input.check).read_text())
    write(paper_table(checked, metrics), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
