"""Join the runs of two studies into the paper's table 1."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.table1 import table1

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write table1.{csv,md,tex,html}."""
    write(table1(read(smk.input.ohms), read(smk.input.imagenet)), Path(smk.output[0]).with_suffix(""))


def read(paths: list[str]) -> list[dict[str, Any]]:
    """The contents of metrics.json files."""
    return [json.loads(Path(path).read_text()) for path in paths]


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
