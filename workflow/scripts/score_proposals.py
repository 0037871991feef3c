"""Score the proposals of several sources on one split: a table of all figures, and a page of those to read."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.tables import boxes_by_image
from oac.data.voc import difficult_objects
from oac.proposals.evidence import Objects, compared, measure, scored_photos, without
from oac.report.evidence import page

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write the figures of every source and number of boxes as csv and md."""
    options = smk.params.options
    ids = scored_photos(pd.read_parquet(smk.input.images), options["split"], options["photos"])["image_id"].tolist()
    boxes = pd.read_parquet(smk.input.boxes)
    boxes = boxes[boxes["image_id"].isin(ids)]
    left_out = 0
    if smk.params.difficult:
        kept = without(boxes, difficult_objects(smk.params.difficult, ids))
        left_out, boxes = len(boxes) - len(kept), kept
    of_photo = boxes.groupby("image_id")["label"].agg(list).reindex(ids)
    labels = [np.array(found if isinstance(found, list) else [], dtype=object) for found in of_photo]
    objects = Objects(boxes_by_image(boxes, ids), labels)
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.tables}
    parts = []
    for source, table in compared(options["sources"], tables, ids, max(options["counts"]), smk.params.random["seed"]):
        parts.append(measure(boxes_by_image(table, ids), objects, options["counts"]).assign(source=source))
        print(f"{source}: {len(table)} boxes of {len(ids)} photos", flush=True)
    result = pd.concat(parts, ignore_index=True)
    result = result[["source", *(name for name in result.columns if name != "source")]]
    with writing(smk.output.csv) as path:
        result.to_csv(path, index=False, float_format="%.6g")
    with writing(smk.output.md) as path:
        path.write_text(
            page(result, smk.wildcards.study, options["split"], len(ids), len(boxes), left_out), encoding="utf-8"
        )


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
