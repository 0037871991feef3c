"""Write the encoder of the random-initialisation row."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.pretrain.recipe import complete
from oac.pretrain.run import initialise_run

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Initialise as a trained run of this recipe would."""
    initialise_run(complete(json.loads(smk.params.recipe)), Path(smk.output.encoder), Path(smk.output.history))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
