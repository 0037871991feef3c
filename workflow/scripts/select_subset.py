"""Choose the photos and classes of a study, and count what every step leaves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from oac import studies
from oac.atomic import writing
from oac.command import plain_errors
from oac.data import sources
from oac.data.bad_boxes import sentence
from oac.data.subset import Subset, assign_shards, select
from oac.data.subset_summary import page, subset_summary
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


def write(study: str, options: dict[str, Any], subset: Subset, output: "OutputFiles") -> None:
    """Write the subset's tables and its summary."""
    with writing(output.selection) as path:
        sharded(subset.images, options["shards"]).to_parquet(path, index=False)
    with writing(output.boxes) as path:
        write_boxes(subset.box_parts(), path)
    with writing(output.classes) as path:
        subset.classes.to_csv(path, index=False)
    summary = subset_summary(study, options, subset)
    with writing(output.page) as path:
        path.write_text(page(summary) + "\n", encoding="utf-8")
    with writing(output.summary) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n")


def main(smk: "Snakemake") -> None:
    """Choose; the rule that only tries the filters has the accounting for its output."""
    study, options = smk.wildcards.study, studies.completed(smk.params.options, "data")
    release = sources.read(options, smk.resources.source, Path("resources") / study / "release")
    subset = select(release, **options["subset"])
    if said := sentence(subset.bad_boxes.as_dict()):
        print(said)
    if smk.rule == "check_subset":
        with writing(smk.output.steps) as path:
            path.write_text(json.dumps(subset.steps, indent=2) + "\n")
    else:
        write(study, options, subset, smk.output)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
