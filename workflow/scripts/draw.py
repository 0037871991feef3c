"""Draw one figure of a report; its file name says which."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.drawing import draw
from oac.report.results import Names
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write {figure}.png and {figure}.pdf."""
    stem = Path(smk.output[0]).with_suffix("")
    save(draw(stem.name, smk.input, smk.params.get("variants"), Names(**smk.params.get("names", {}))), stem)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
