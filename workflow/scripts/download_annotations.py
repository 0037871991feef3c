"""Fetch one annotation file of a study's release under its official name."""

from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.data.official import fetch_annotation

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Fetch it from the study's location, a folder or an address; a mirror may have either layout."""
    fetch_annotation(smk.wildcards.file, smk.resources.location, smk.output[0], verify=smk.params.verify)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
