"""How many objects the photos of a data set show, and how large they are: where it stands among the regimes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd


class ObjectStatistics(NamedTuple):
    """Means over the train photos of a data set."""

    objects: float
    """objects of a photo"""
    side: float
    """side of an object as a share of the photo's: the square root of its share of the area"""


def object_statistics(boxes: pd.DataFrame, images: pd.DataFrame) -> ObjectStatistics:
    """The means over the train photos of a study.

    boxes: columns image_id, xmin, xmax, ymin, ymax in [0, 1]; images: image_id and split. Photos without a box do not
    count. Raises ValueError where there is no box.
    """
    boxes = boxes[boxes["image_id"].isin(images.loc[images["split"] == "train", "image_id"])]
    if boxes.empty:
        raise ValueError("there are no boxes, so nothing is known of the objects")
    area = (boxes["xmax"] - boxes["xmin"]) * (boxes["ymax"] - boxes["ymin"])
    return ObjectStatistics(len(boxes) / boxes["image_id"].nunique(), float(np.sqrt(area).mean()))
