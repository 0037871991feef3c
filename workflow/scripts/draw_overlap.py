"""Draw the mAP of each crop line against the overlap of its two crops."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.overlap_figure import overlap_figure
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write figures/overlap.{png,pdf}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    save(overlap_figure(metrics, pd.read_csv(smk.input.overlap)), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
