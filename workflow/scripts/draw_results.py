"""Draw one figure of the runs of a study; its file name says which."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report import figures
from oac.report.ablations import ablation_figure
from oac.report.audit_figure import audit_figure
from oac.report.style import readable

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Read the metrics, and the AP tables where the figure needs them, and draw."""
    stem = Path(smk.output[0]).with_suffix("")
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    if stem.name == "map_by_policy":
        figure = figures.map_by_policy(figures.collect(metrics))
    elif stem.name == "audit":
        figure = audit_figure(metrics)
    elif stem.name.startswith("ablation_"):
        figure = ablation_figure(metrics, smk.wildcards.option)
    else:
        table = figures.stack(metrics, [pd.read_csv(path) for path in smk.input.tables])
        table = readable(table, smk.params.lines)
        draw = {
            "ap_per_class": figures.ap_per_class,
            "ap_by_size": figures.ap_by_size,
            "ap_by_frequency": figures.ap_by_frequency,
        }[stem.name]
        figure = draw(table)
    figures.save(figure, stem)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
