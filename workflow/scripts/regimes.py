"""Write the table and the figure that join the studies of a grid."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.data.object_statistics import object_statistics
from oac.report.formats import write
from oac.report.loading import read_results
from oac.report.regimes import Regime, regimes_table
from oac.report.regimes_figure import regimes_figure
from oac.report.results import Names
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write regimes.{csv,md,tex,html,png,pdf}."""
    stem = Path(smk.output[0]).with_suffix("")
    regimes = []
    for cell, boxes, images in zip(smk.params.cells, smk.input.boxes, smk.input.images, strict=True):
        metrics = [path for path in smk.input.metrics if Path(path).parts[-6] == cell]
        results = read_results(metrics, names=Names(labels=smk.params.names["labels"]))
        regimes.append(Regime(results, object_statistics(*map(pd.read_parquet, (boxes, images)))))
    write(regimes_table(regimes), stem)
    save(regimes_figure(regimes), stem)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
