"""Fetch one annotation file of a study's release under its official name."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.data.download import fetch

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Fetch it from the study's location, a folder or an address."""
    location = smk.params.location
    base = location.rstrip("/") if "://" in location else Path(location).resolve().as_uri()
    fetch(f"{base}/{smk.wildcards.file}", smk.output[0])


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
