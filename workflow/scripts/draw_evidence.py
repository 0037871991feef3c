"""Draw how well the sources of proposals find objects."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.evidence import evidence_curves
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw the table of figures."""
    save(evidence_curves(pd.read_csv(smk.input[0])), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
