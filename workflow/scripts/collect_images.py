"""List the photos that are really in the image store of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import stored_images

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write images.parquet from the indexes of the shards that the study file names."""
    folder = Path(smk.output[0]).with_name("photos")
    images = stored_images(folder)
    # A study that had more shards before has left some behind.
    wanted = {Path(path).name.removesuffix(".index.parquet") for path in smk.input}
    left_over = sorted(set(images["shard"]) - wanted)
    if left_over:
        raise ValueError(f"{folder} holds shards that the study does not have ({', '.join(left_over)}): remove them")
    with writing(smk.output[0]) as path:
        images.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
