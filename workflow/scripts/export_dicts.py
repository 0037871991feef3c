"""Write the subset as the dict files of the paper's authors, which their code reads."""

from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data import dicts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write labels and boxes of train, and labels of test."""
    boxes, selection = (pd.read_parquet(path) for path in (smk.input.boxes, smk.input.selection))
    split = boxes["image_id"].map(selection.set_index("image_id")["split"])
    train, test = boxes[split == "train"], boxes[split == "test"]
    for content, file in (
        (dicts.labels_dict(train), smk.output.labels),
        (dicts.features_dict(train), smk.output.features),
        (dicts.labels_dict(test), smk.output.test),
    ):
        with writing(file) as path:
            dicts.save(content, path)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
