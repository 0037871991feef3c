"""Write the synthetic release of a study, in the place of a server."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac import studies
from oac.command import plain_errors
from oac.data import synthetic

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write all splits; the photos lie undeclared beside the annotation files."""
    folder = Path("resources") / smk.wildcards.study / "published"
    synthetic.write_release(folder, **studies.completed(smk.params.options, "data", "synthetic"))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
