"""Write one table of a report; its file name says which."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.formats import write
from oac.report.making import make_table
from oac.report.results import Names

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write {table}.{csv,md,tex,html}."""
    stem = Path(smk.output[0]).with_suffix("")
    columns = {column: Names(**names) for column, names in smk.params.get("columns", {}).items()}
    write(make_table(stem.name, smk.input, smk.params.contrasts, Names(**smk.params.names), columns), stem)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
