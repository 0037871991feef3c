"""Area of the largest object of each class in each photo, by which AP by object size is binned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from oac.data.tables import positions


def largest_area(boxes: pd.DataFrame, image_ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Area of the largest box of class c in photo n as a share of the photo: (N, C) float64, NaN where
    absent.

    Fits `oac.data.tables.label_matrix` of the same arguments: NaN exactly where the label is 0. Boxes of
    other photos and classes are left out.
    """
    rows = positions(boxes["image_id"], pd.Index(image_ids, dtype="str"))
    columns = positions(boxes["label"], pd.Index(labels, dtype="str"))
    known = (rows >= 0) & (columns >= 0)
    corners = boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy(np.float64)
    area = (corners[:, 1] - corners[:, 0]) * (corners[:, 3] - corners[:, 2])
    largest = np.full((len(image_ids), len(labels)), np.nan)
    # fmax takes the number where the other side is NaN.
    np.fmax.at(largest, (rows[known], columns[known]), area[known])
    return largest
