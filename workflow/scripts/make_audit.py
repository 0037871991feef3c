"""Put the runs of a study into the table of the audit."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.audit_table import audit_table
from oac.report.formats import write

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/audit.{csv,md,tex,html}."""
    metrics = [json.loads(Path(path).read_text()) for path in smk.input.metrics]
    write(audit_table(metrics), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
