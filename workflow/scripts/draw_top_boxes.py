"""Draw the ten best boxes of every source on a few photos, evenly spread over those that are scored."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from oac.command import plain_errors
from oac.data.store import Store
from oac.data.tables import boxes_by_image
from oac.proposals.comparison import first_photos, proposals_by_source
from oac.report.proposal_comparison import top_boxes
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

ROWS = 8


def main(smk: "Snakemake") -> None:
    """Draw the contact sheet."""
    options = smk.params.options
    every = first_photos(pd.read_parquet(smk.input.images), options["split"], options["photos"])["image_id"].tolist()
    ids = [every[index] for index in np.linspace(0, len(every) - 1, min(ROWS, len(every))).astype(int)]
    store = Store(Path(smk.params.photos) / options["split"])
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.tables}
    proposals = proposals_by_source(options["sources"], tables, ids, 10, smk.params.random["seed"])
    boxes = {source: boxes_by_image(table, ids) for source, table in proposals}
    photos = {image_id: np.asarray(store.image(image_id)) for image_id in ids}
    ground_truth = boxes_by_image(pd.read_parquet(smk.input.boxes), ids)
    save(top_boxes(photos, boxes, ground_truth), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
