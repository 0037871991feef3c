"""Box sources that need no pixels (ground truth, random boxes, a CSV file), and the table of proposals.

`ground_truth` is the upper bound: the boxes people drew. `random_boxes` is the control: boxes of the sizes which
another source proposes, anywhere in the image, so that nothing but the position differs. What a study gains with the
first and keeps with the second tells how much of the effect of object-aware cropping is due to the objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oac.csv_tables import read_text_table
from oac.data.tables import PROPOSAL_COLUMNS, boxes_by_image, check_boxes, check_columns, read_numbers


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


def from_csv(file: str | Path, image_ids: Sequence[str], *, count: int, min_coverage: float = 0.95) -> pd.DataFrame:
    """The first `count` boxes of each of `image_ids` in a CSV file: image_id, xmin, xmax, ymin, ymax in [0, 1].

    Best first is by `rank` (0 best) where the file has that column, else by `score`, highest first, else the order of
    the rows. A box that comes twice in a photo is taken once, photos without boxes get no row. Raises ValueError,
    naming file and line, for a missing column, what is no number or a box outside [0, 1] or without area, and where
    less than `min_coverage` of the photos have a box: ids that are written otherwise would go unseen.
    """
    corners = PROPOSAL_COLUMNS[2:6]
    table = read_text_table(file)
    check_columns(list(table.columns), [*PROPOSAL_COLUMNS[:1], *corners], file)
    read_numbers(table, [name for name in (*corners, "rank", "score") if name in table], file)
    # In the precision in which proposals are stored: two boxes can become one there, a narrow one can become empty.
    table = table.astype(dict.fromkeys(corners, np.float32))
    check_boxes(table, file)
    if "rank" in table:
        table = table.sort_values("rank", kind="stable")
    elif "score" in table:
        table = table.sort_values("score", ascending=False, kind="stable")
    known = table["image_id"].isin(image_ids)
    _check_coverage(set(table["image_id"][known]), list(table["image_id"][~known]), image_ids, min_coverage, file)
    table = table[known].drop_duplicates(["image_id", "xmin", "xmax", "ymin", "ymax"])
    table = table.groupby("image_id", sort=False).head(count)
    rank = table.groupby("image_id").cumcount()
    scores = table["score"] if "score" in table else 1.0 - rank / count
    table = table.assign(rank=rank.astype(np.int32), score=scores.astype(np.float32))[PROPOSAL_COLUMNS]
    return table.sort_values(["image_id", "rank"], ignore_index=True)


def _check_coverage(
    boxed: set[str], strange: list[str], image_ids: Sequence[str], least: float, file: str | Path
) -> None:
    """Refuse boxes of too few photos; strange: image_id of the file that no photo of the study has."""
    without = [image_id for image_id in image_ids if image_id not in boxed]
    if boxed and len(boxed) >= least * len(image_ids):
        return
    first = list(dict.fromkeys(strange))[:3]
    others = f"; of no photo of the study are {', '.join(first)}" if first else ""
    raise ValueError(
        f"{file} has boxes of {len(boxed):,} of the study's {len(image_ids):,} photos, less than the share of"
        f" {least:g} that proposals.csv.min_coverage asks for: no box have {', '.join(without[:3])}{others}. Write"
        " image_id as the study does, or lower min_coverage if these photos have no boxes"
    )
