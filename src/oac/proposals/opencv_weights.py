"""Reads the BING model that OpenCV's saliency module ships, without OpenCV.

The three files `ObjNessB2W8{colour}.{idx,wS1,wS2}.yml.gz` (modules/saliency/samples/ObjectnessTrainedModel in
opencv_contrib) each hold one matrix: indices of the trained sizes, the filter of stage I, slope and offset of
stage II. With the same weights, OpenCV is an oracle for `oac.proposals.bing`.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np

_MATRIX = re.compile(r"rows:\s*(\d+)\s+cols:\s*(\d+)\s+dt:\s*\w+\s+data:\s*\[(.*?)\]", re.DOTALL)
_SIDES = 6  # quantised lengths 16 to 512; a size index is 6 * (exponent of height - 4) + (exponent of width - 4)


def _matrix(path: Path) -> np.ndarray:
    with gzip.open(path, "rt", encoding="ascii") as file:
        match = _MATRIX.search(file.read())
    if match is None:
        raise ValueError(f"{path} holds no OpenCV matrix: take the file from opencv_contrib again")
    rows, columns, data = match.groups()
    return np.array([float(value) for value in data.split(",")]).reshape(int(rows), int(columns))


def read(folder: Path, colour: str = "MAXBGR") -> tuple[tuple[tuple[int, int], ...], np.ndarray, np.ndarray]:
    """Sizes (width, height), filter (8, 8) and calibration (S, 2) of the model of one colour space.

    Only MAXBGR works on the colours of the image itself; HSV and I expect converted images.
    Raises FileNotFoundError where a file is missing and ValueError where one is no matrix.
    """
    index, weights, calibration = (
        _matrix(folder / f"ObjNessB2W8{colour}.{part}.yml.gz") for part in ("idx", "wS1", "wS2")
    )
    sizes = tuple((16 << int(i) % _SIDES, 16 << int(i) // _SIDES) for i in index.ravel())
    return sizes, weights.astype(np.float32), calibration
