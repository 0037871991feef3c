"""Draw how many train photos show each class of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.curves import images_per_class
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw."""
    save(images_per_class(pd.read_csv(smk.input[0])), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
