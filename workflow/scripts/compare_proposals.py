"""Compare the proposals of several sources on one split: a table of all figures, and a page of those to read."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.tables import boxes_by_image
from oac.data.voc import difficult_objects
from oac.proposals.comparison import (
    GroundTruth,
    first_photos,
    proposals_by_source,
    score_proposals,
    without_difficult,
)
from oac.report.proposal_comparison import page

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the figures of every source and number of boxes as csv and md."""
    options, seed = smk.params.options, smk.params.random["seed"]
    ids = first_photos(pd.read_parquet(smk.input.images), options["split"], options["photos"])["image_id"].tolist()
    boxes = pd.read_parquet(smk.input.boxes)
    boxes = boxes[boxes["image_id"].isin(ids)]
    left_out = 0
    if smk.params.difficult:
        kept = without_difficult(boxes, difficult_objects(smk.params.difficult, ids))
        left_out, boxes = len(boxes) - len(kept), kept
    labels_of = dict(list(boxes.groupby("image_id")["label"]))
    labels = [labels_of[name].to_numpy(object) if name in labels_of else np.zeros(0, object) for name in ids]
    truth = GroundTruth(boxes_by_image(boxes, ids), labels)
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.tables}
    parts = []
    for source, table in proposals_by_source(options["sources"], tables, ids, max(options["counts"]), seed):
        scores = score_proposals(boxes_by_image(table, ids), truth, options["counts"])
        scores.insert(0, "source", source)
        parts.append(scores)
        print(f"{source}: {len(table)} boxes of {len(ids)} photos", flush=True)
    result = pd.concat(parts, ignore_index=True)
    with writing(smk.output.csv) as path:
        result.to_csv(path, index=False, float_format="%.6g")
    with writing(smk.output.md) as path:
        path.write_text(
            page(result, smk.wildcards.study, options["split"], len(ids), len(boxes), left_out), encoding="utf-8"
        )


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
