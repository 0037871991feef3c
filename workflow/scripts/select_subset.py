"""Choose the photos and classes of a study and account for every step."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data import dicts, openimages, voc
from oac.data.subset import Subset, assign_shards, select
from oac.data.tables import Release

if TYPE_CHECKING:
    from snakemake.iocontainers import OutputFiles, Snakemake, snakemake


def read(study: str, data: dict[str, Any]) -> Release:
    """Read the study's release into the canonical tables."""
    if data["source"] == "voc":
        return voc.read_release(Path(data["location"]), **data["voc"])
    return openimages.read_release(Path("resources") / study / "release", list(data["store"]["shards"]))


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


def account(study: str, data: dict[str, Any], subset: Subset) -> dict[str, Any]:
    """What the filters left, step by step, with the options that were used."""
    splits = {split: int(count) for split, count in subset.images["split"].value_counts(sort=False).items()}
    return {
        "study": study,
        "source": data["source"],
        "steps": subset.steps,
        "splits": splits,
        "classes": len(subset.classes),
        "boxes": len(subset.boxes),
        "options": data,
    }


def write(study: str, data: dict[str, Any], subset: Subset, output: "OutputFiles") -> None:
    """Write the subset's tables, its accounting and the dict files of the paper's authors."""
    with writing(output.selection) as path:
        sharded(subset.images, data["store"]["shards"]).to_parquet(path, index=False)
    with writing(output.boxes) as path:
        subset.boxes.to_parquet(path, index=False)
    with writing(output.classes) as path:
        subset.classes.to_csv(path, index=False)
    with writing(output.summary) as path:
        path.write_text(json.dumps(account(study, data, subset), indent=2) + "\n")
    split = subset.boxes["image_id"].map(subset.images.set_index("image_id")["split"])
    train, test = subset.boxes[split == "train"], subset.boxes[split == "test"]
    dicts.save(dicts.labels_dict(train), output.labels)
    dicts.save(dicts.features_dict(train), output.features)
    dicts.save(dicts.labels_dict(test), output.test)


def main(smk: "Snakemake") -> None:
    """Choose; the rule that only tries the filters has the accounting for its output."""
    study, data = smk.wildcards.study, smk.params.data
    subset = select(read(study, data), **data["subset"])
    if smk.rule == "check_subset":
        with writing(smk.output.steps) as path:
            path.write_text(json.dumps(subset.steps, indent=2) + "\n")
    else:
        write(study, data, subset, smk.output)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
