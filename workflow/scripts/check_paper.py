"""Compare the runs of a study with every number of the paper that is known."""

import json
from typing import TYPE_CHECKING

from oac.atomic import writing
from oac.command import plain_errors
from oac.report.check import check
from oac.report.loading import read_results

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write check.json."""
    checked = check(read_results(smk.input.metrics))
    with writing(smk.output[0]) as path:
        path.write_text(json.dumps(checked, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
