"""Put recipe, cost and command of every run of a study into a table."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.runs import name, runs_table

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/runs.{csv,md,tex,html}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    histories = {
        "/".join(Path(path).parts[-4:-1]): [json.loads(line) for line in Path(path).read_text().splitlines()]
        for path in smk.input.histories
    }
    benchmarks = {}
    for run in map(name, metrics):
        path = Path(smk.params.benchmarks) / f"{run}.tsv"
        if path.exists():
            with open(path, newline="") as file:
                benchmarks[run] = next(csv.DictReader(file, delimiter="\t"), {})
    write(runs_table(metrics, histories, benchmarks), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
