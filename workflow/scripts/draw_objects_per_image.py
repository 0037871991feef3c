"""Draw how many objects the train photos of a study show."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.command import plain_errors
from oac.report.curves import objects_per_image
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw."""
    images = pd.read_parquet(smk.input.images)
    ids = images.loc[images["split"] == "train", "image_id"].tolist()
    save(objects_per_image(pd.read_parquet(smk.input.boxes), ids), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
