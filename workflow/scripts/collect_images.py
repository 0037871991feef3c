"""List the photos that are really in the image store of a study."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.csv_tables import read_text_table
from oac.data.shard import SOURCE_COLUMNS
from oac.data.store import stored_images
from oac.data.stored_photos import account, check_missing, notes, placeholders
from oac.data.web import is_server

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write images.parquet from the indexes of the shards that the study file names, and what is missing in them."""
    folder = Path(smk.output.images).with_name("photos")
    # A study that had more photos, or other shards, has left some behind, which readers of the store would find.
    expected = {Path(path).name.removesuffix(".index.parquet") for path in smk.input.indexes}
    for index in folder.glob("*/*.index.parquet"):
        if (shard := index.name.removesuffix(".index.parquet")) not in expected:
            print(f"removing the shard {shard}, which the study does not have any more")
            for file in index.parent.glob(f"{shard}.*"):
                file.unlink()
    images = stored_images(folder)
    columns = ["image_id", "sha256", *SOURCE_COLUMNS]
    photos = pd.concat([pd.read_parquet(index, columns=columns) for index in smk.input.indexes])
    lists = [index.replace(".index.parquet", ".missing.csv") for index in smk.input.indexes]
    # An id is text, whatever it looks like: 000009, 1e5, NA.
    missing = [read_text_table(path) for path in lists]
    selection = pd.read_parquet(smk.input.selection)
    found = photos.merge(selection.drop(columns="rotation"), on="image_id")
    if is_server(smk.resources.location):
        missing.append(placeholders(found))
        found = found[~found["image_id"].isin(missing[-1]["image_id"])]
        images = images[~images["image_id"].isin(missing[-1]["image_id"])].reset_index(drop=True)
    check_missing(selection, found, pd.concat(missing), float(smk.resources.max_missing_share))
    with writing(smk.output.missing) as path:
        pd.concat(missing).to_csv(path, index=False)
    said = account(found)
    for note in notes(said):
        print(note)
    with writing(smk.output.account) as path:
        path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    # The file's metadata names the photos' bytes, so that other photos of the same names and sizes reach what reads
    # them, also where they are stored in one call of Snakemake and read in a later one.
    text = photos[["image_id", "sha256"]].sort_values("image_id").to_csv(index=False)
    images.attrs["photos_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    with writing(smk.output.images) as path:
        images.to_parquet(path, index=False)


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
