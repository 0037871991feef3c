"""Choose the photos and classes of a study, and count what every step leaves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from oac import studies
from oac.atomic import writing
from oac.command import plain_errors
from oac.data import sources
from oac.data.subset import Subset, assign_shards, check_one_label, check_scorable, select
from oac.data.subset_summary import notes, page, subset_summary
from oac.data.tables import write_boxes

if TYPE_CHECKING:
    from snakemake.iocontainers import OutputFiles, Snakemake, snakemake


def sharded(images: pd.DataFrame, shards: dict[str, int]) -> pd.DataFrame:
    """Deal each split out to the number of shards that the study file gives it."""
    parts = [images[images["split"] == split] for split in shards]
    return pd.concat(
        [
            assign_shards(part, max(1, -(-len(part) // count)))
            for part, count in zip(parts, shards.values(), strict=True)
        ],
        ignore_index=True,
    )


def write(summary: dict[str, Any], subset: Subset, output: "OutputFiles") -> None:
    """Write the subset's tables and its summary."""
    with writing(output.selection) as path:
        sharded(subset.images, summary["options"]["shards"]).to_parquet(path, index=False)
    with writing(output.boxes) as path:
        write_boxes(subset.box_parts(), path)
    with writing(output.classes) as path:
        subset.classes.to_csv(path, index=False)
    with writing(output.page) as path:
        path.write_text(page(summary) + "\n", encoding="utf-8")
    with writing(output.summary) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n")


def main(smk: "Snakemake") -> None:
    """Choose; the rule that only tries the filters has the accounting for its output."""
    study, options = smk.wildcards.study, studies.completed(smk.params.options, "data")
    release = sources.read(options, smk.resources.source, Path("resources") / study / "release", smk.resources.photos)
    subset = select(release, **options["subset"])
    deciding = {key: value for key, value in options.items() if key == "subset" or key in smk.params.options}
    summary = subset_summary(study, deciding, subset)
    for note in notes(summary):
        print(note)
    if smk.rule == "check_subset":
        check_scorable(subset)  # now, and not when everything was trained
        for key in smk.resources.single_label.split():
            check_one_label(subset, key)
        with writing(smk.output.steps) as path:
            path.write_text(json.dumps(subset.steps, indent=2) + "\n")
    else:
        write(summary, subset, smk.output)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
