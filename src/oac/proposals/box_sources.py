"""Box sources that need no pixels (ground truth, random boxes, a CSV file), and the table of proposals.

`ground_truth` is the upper bound: the boxes people drew. `random_boxes` is the control: boxes of the sizes which
another source proposes, anywhere in the image, so that nothing but the position differs. What a study gains with the
first and keeps with the second tells how much of the effect of object-aware cropping is due to the objects.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oac.csv_tables import read_user_table
from oac.data.bad_boxes import MOST_BAD, mend
from oac.data.photo_files import as_known
from oac.data.tables import LEAST_MATCHED, PROPOSAL_COLUMNS, Release, boxes_by_image, check_columns, read_numbers


def proposal_table(
    image_ids: Sequence[str], boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Proposals of many images as one table with PROPOSAL_COLUMNS, sorted by image_id and rank (0 best).

    boxes: (n, 4) xmin, ymin, xmax, ymax in [0, 1] for each image, best first; scores: (n,) for each image.
    Corners and scores are stored as float32. Raises ValueError where the lists differ in length.
    """
    if not len(image_ids) == len(boxes) == len(scores):
        raise ValueError(
            f"{len(image_ids)} image ids, {len(boxes)} arrays of boxes and {len(scores)} of scores: "
            "pass one of each per image"
        )
    counts = [len(box) for box in boxes]
    corners = np.concatenate([np.zeros((0, 4)), *(np.reshape(box, (-1, 4)) for box in boxes)]).astype(np.float32)
    table = pd.DataFrame(
        {
            "image_id": pd.Series(np.repeat(np.asarray(image_ids, dtype=object), counts), dtype="str"),
            "rank": np.concatenate([np.zeros(0, np.int32), *(np.arange(count, dtype=np.int32) for count in counts)]),
            "xmin": corners[:, 0],
            "xmax": corners[:, 2],
            "ymin": corners[:, 1],
            "ymax": corners[:, 3],
            "score": np.concatenate([np.zeros(0), *scores]).astype(np.float32),
        }
    )[PROPOSAL_COLUMNS]
    return table.sort_values(["image_id", "rank"], ignore_index=True)


def ground_truth(boxes: pd.DataFrame, image_ids: Sequence[str]) -> pd.DataFrame:
    """The ground-truth boxes of `image_ids` as proposals, in the order they have in the box table, each with score 1.

    Images without boxes get no row.
    """
    corners = boxes_by_image(boxes, image_ids)
    return proposal_table(image_ids, corners, [np.ones(len(box)) for box in corners])


def random_boxes(reference: pd.DataFrame, image_ids: Sequence[str], *, count: int, seed: int) -> pd.DataFrame:
    """`count` boxes per image with widths and heights drawn in pairs from `reference`, at uniform positions.

    reference: a proposal table (of any images); a box keeps width and height, as shares of the image, of one
    of its rows. The position is uniform over those at which the box lies inside the image. Scores are 0,
    ranks arbitrary. Raises ValueError for an empty reference or a count below 1.
    """
    if reference.empty:
        raise ValueError("the proposals to draw sizes from are empty: propose boxes for at least one image first")
    if count < 1:
        raise ValueError(f"count is {count}: ask for at least one random box per image")
    rng = np.random.default_rng(seed)
    image_ids = sorted(image_ids)
    corners = reference[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float32)
    sides = (corners[:, 2:] - corners[:, :2])[rng.integers(len(corners), size=(len(image_ids), count))]
    low = rng.random(sides.shape, dtype=np.float32) * (1 - sides)
    boxes = np.concatenate([low, np.minimum(low + sides, 1)], axis=2)
    return proposal_table(image_ids, list(boxes), [np.zeros(count)] * len(image_ids))


def from_csv(
    file: str | Path,
    image_ids: Sequence[str],
    *,
    count: int,
    min_coverage: float = LEAST_MATCHED,
    splits: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The first `count` boxes of each of `image_ids` in a CSV file: image_id, xmin, xmax, ymin, ymax in [0, 1].

    Best first is by `rank` (0 best) where the file has that column, else by `score`, highest first, else the order of
    the rows. A box that comes twice in a photo is taken once, photos without boxes get no row. Boxes that reach
    beyond their photo are clipped and those without area left out (oac.data.bad_boxes), with a line on stderr. Raises
    ValueError, naming file and line, for a missing column, what is no number and more than MOST_BAD of bad boxes, and
    where less than `min_coverage` of the photos of a split have a box: ids written otherwise would go unseen. splits:
    the split of each of `image_ids`; without, all are of one.
    """
    corners = PROPOSAL_COLUMNS[2:6]
    table = read_user_table(file)
    check_columns(list(table.columns), [*PROPOSAL_COLUMNS[:1], *corners], file)
    read_numbers(table, [name for name in (*corners, "rank", "score") if name in table], file)
    table["image_id"] = table["image_id"].map(as_known(table["image_id"].unique(), image_ids))
    table = _mended(table, file)
    if "rank" in table:
        table = table.sort_values("rank", kind="stable")
    elif "score" in table:
        table = table.sort_values("score", ascending=False, kind="stable")
    known = table["image_id"].isin(image_ids)
    photos = {"photos": list(image_ids)}
    if splits is not None:
        of_split = pd.Series(splits, index=image_ids)
        photos = {f"{split} photos": part.index.tolist() for split, part in of_split.groupby(of_split, sort=False)}
    _check_coverage(set(table["image_id"][known]), list(table["image_id"][~known]), photos, min_coverage, file)
    table = table[known].drop_duplicates(["image_id", "xmin", "xmax", "ymin", "ymax"])
    table = table.groupby("image_id", sort=False).head(count)
    rank = table.groupby("image_id").cumcount()
    scores = table["score"] if "score" in table else 1.0 - rank / count
    table = table.assign(rank=rank.astype(np.int32), score=scores.astype(np.float32))[PROPOSAL_COLUMNS]
    return table.sort_values(["image_id", "rank"], ignore_index=True)


def _mended(table: pd.DataFrame, file: str | Path) -> pd.DataFrame:
    """The boxes of a file without bad ones, in the precision of proposals: there a narrow one can become empty."""
    try:
        release, account = mend(
            Release(pd.DataFrame(), table, pd.DataFrame()),
            "clip",
            MOST_BAD,
            name=lambda box: f"line {box.name}",
            remedy="Correct or remove them",
        )
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if account.clipped + account.dropped:
        print(
            f"{file}: of {account.boxes:,} boxes {account.clipped:,} reached beyond their photo and were clipped to"
            f" it, and {account.dropped:,} without area were left out; the first: {'; '.join(account.examples)}",
            file=sys.stderr,
            flush=True,
        )
    return release.boxes


def _check_coverage(
    boxed: set[str], strange: list[str], photos: Mapping[str, list[str]], least: float, file: str | Path
) -> None:
    """Refuse boxes of too few photos, in groups by name, and name photos without a box on stderr.

    strange: ids of the file that no photo of the study has.
    """
    first = list(dict.fromkeys(strange))[:3]
    others = f"; of no photo of the study are {', '.join(first)}" if first else ""
    for what, image_ids in photos.items():
        without = [image_id for image_id in image_ids if image_id not in boxed]
        found = len(image_ids) - len(without)
        if boxed and found >= least * len(image_ids):
            if without:
                named = ", ".join(without[:3])
                print(f"{file}: {len(without):,} {what} have no box, the first: {named}{others}", file=sys.stderr)
            continue
        raise ValueError(
            f"{file} has boxes of {found:,} of the study's {len(image_ids):,} {what}, less than the share"
            f" of {least:g} that proposals.csv.min_coverage asks for: no box have"
            f" {', '.join(without[:3])}{others}. Write image_id as the study does, or lower min_coverage if these"
            " photos have no boxes"
        )
