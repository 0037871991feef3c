"""Draw the training curves of a study."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.curves import history, training_curves
from oac.report.style import readable, save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Read the histories, in the order of params.runs, and draw."""
    tables = [
        history(map(json.loads, Path(path).read_text().splitlines()), method=method, crops=crops, seed=seed)
        for path, (method, crops, seed) in zip(smk.input, smk.params.runs, strict=True)
    ]
    save(training_curves(readable(pd.concat(tables), smk.params.lines)), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
