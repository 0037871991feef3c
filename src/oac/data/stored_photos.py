"""What is known of photos when all are stored: placeholders, the same image in two splits, sizes that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from oac.data import photo_sizes
from oac.data.bad_boxes import EXAMPLES
from oac.data.shard import MISSING_COLUMNS, SOURCE_COLUMNS, repeated

SOURCE_SIZE = SOURCE_COLUMNS[1:]


def placeholders(photos: pd.DataFrame) -> pd.DataFrame:
    """The photos of a server that are a picture in place of one: MISSING_COLUMNS.

    Their bytes are those of others, of another shard too, or their shape is another than their annotation says,
    upright and turned. A photo that a mirror has in another size has the same shape. photos: as for `account`.
    """
    reasons = np.array(repeated(photos["image_id"].tolist(), photos["source_sha256"].tolist()), object)
    if "width" in photos:
        said, own = (photos[names].to_numpy(float) for names in (["width", "height"], SOURCE_SIZE))
        # Sides that were rounded to whole pixels are off by one at most.
        off = [np.abs(own[:, 0] * high - own[:, 1] * wide) > wide + high for wide, high in (said.T, said.T[::-1])]
        for row in np.flatnonzero(off[0] & off[1] & (said > 0).all(axis=1) & (reasons == "")):
            (wide, high), (width, height) = own[row], said[row]
            reasons[row] = f"placeholder: it is {wide:g} x {high:g}, and its annotation says {width:g} x {height:g}"
    found = photos.assign(reason=reasons)
    return found.loc[found["reason"] != "", MISSING_COLUMNS]


def check_missing(chosen: pd.DataFrame, photos: pd.DataFrame, missing: pd.DataFrame, share: float) -> None:
    """Raise ValueError, naming the first and why, where more of a split's photos than a share, or all, are missing.

    chosen: image_id, split. photos: image_id of those in the store. missing: MISSING_COLUMNS of the others.
    """
    for split, part in chosen.groupby("split", sort=False):
        absent = part.loc[~part["image_id"].isin(photos["image_id"]), "image_id"]
        if len(absent) <= share * len(part) and len(absent) < len(part):
            continue
        found = missing[missing["image_id"].isin(absent)].head(EXAMPLES)
        first = "; ".join(f"{row.image_id} ({row.reason})" for row in found.itertuples())
        raise ValueError(
            f"{len(absent):,} of the {len(part):,} {split} photos cannot be had or read, the first: {first}. Check"
            f" where the photos come from; data.store.max_missing_share allows a share of {share:g}, and never all"
        )


def account(photos: pd.DataFrame) -> dict[str, Any]:
    """What photos.json holds of the photos in the store.

    photos: image_id, path, split, source_sha256, source_width, source_height and, of a source with boxes in pixels,
    the width and height that were known when the boxes were read.
    """
    splits = photos.groupby("source_sha256")["split"].nunique()
    shared = photos[photos["source_sha256"].isin(splits.index[splits > 1])]
    groups = [
        ", ".join(f"{row.image_id} ({row.split})" for row in group.itertuples())
        for _, group in shared.groupby("source_sha256", sort=False)
    ]
    sizes = None
    if "width" in photos:
        said, own = photos[["width", "height"]], photos[SOURCE_SIZE]
        sizes = photo_sizes.differences(photos["path"].tolist(), said.to_numpy(float), own.to_numpy(float))
    return {
        "in_several_splits": {"images": len(groups), "examples": groups[:EXAMPLES]},
        "photo_sizes": sizes,
    }


def notes(found: dict[str, Any]) -> list[str]:
    """What a reader must know of them, from `account`, in sentences."""
    said = []
    if (leak := found["in_several_splits"])["images"]:
        said.append(
            f"Images that are in several splits, byte for byte, so that the test may be of what was trained on:"
            f" {leak['images']:,}. The first: {'; '.join(leak['examples'])}."
        )
    if found["photo_sizes"]:
        done = "Boxes are taken as of the annotations' sizes, for the photos came from a server"
        said.append(photo_sizes.sentence(found["photo_sizes"], done) or "")
    return [sentence for sentence in said if sentence]
