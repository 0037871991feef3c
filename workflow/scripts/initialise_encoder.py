"""Write the encoder of a reference row for which nothing is trained: as initialised, or one that there is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.pretrain.recipe import complete
from oac.pretrain.run import adopt_encoder, initialise_run

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Initialise as a trained run of this recipe would, or take the encoder that is the input."""
    recipe, output = complete(json.loads(smk.params.recipe)), smk.output
    if smk.input:
        adopt_encoder(recipe, Path(smk.input[0]), Path(output.encoder), Path(output.history))
    else:
        initialise_run(recipe, Path(output.encoder), Path(output.history))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
