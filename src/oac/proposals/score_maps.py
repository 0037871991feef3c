"""Stage II of BING as maps: the calibrated score of every window position of every size.

So the windows of all sizes compare before suppression. The published calibration has a slope and an offset per size.
A model may add terms of the window's position and area: objects of a size lie more often in the middle, and a window
of a third of a photo is more often one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oac.proposals.gradients import WINDOW, Layout

POSITION_TERMS = 7
"""Number of terms of `position_terms`."""


def position_terms(boxes: np.ndarray) -> np.ndarray:
    """(n, POSITION_TERMS) of boxes (n, 4) in [0, 1]: centre x and y from the middle, their squares, w, h, w h."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 - 0.5, (boxes[:, 1] + boxes[:, 3]) / 2 - 0.5
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.stack([x, y, 4 * x**2, 4 * y**2, width, height, width * height], axis=1)


@dataclass(frozen=True)
class ScoreMaps:
    """slope, offset: float32 (rows - 7, columns - 7) of a mosaic; rising: (blocks,) which blocks they calibrate.

    A size whose slope is not positive ranks its worst windows first. It is left as it is, with slope 1 and offset 0,
    because suppression is by the score of stage I. Outside the blocks the offset is -inf.
    """

    slope: np.ndarray
    offset: np.ndarray
    rising: np.ndarray

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, -inf where no window begins."""
        result = scores * self.slope
        result += self.offset
        return result


def score_maps(mosaic: Layout, calibration: np.ndarray, position: np.ndarray | None) -> ScoreMaps:
    """The maps of a model for one mosaic; calibration (S, 2), position (S, POSITION_TERMS) or None."""
    slope = np.zeros(mosaic.block_of.shape, dtype=np.float32)
    offset = np.full(mosaic.block_of.shape, -np.inf, dtype=np.float32)
    rising = calibration[mosaic.blocks[:, 0], 0] > 0
    for index, (size, top, left, tall, wide) in enumerate(mosaic.blocks):
        part = np.s_[top : top + tall - WINDOW + 1, left : left + wide - WINDOW + 1]
        slope[part] = calibration[size, 0] if rising[index] else 1.0
        offset[part] = calibration[size, 1] if rising[index] else 0.0
        if position is not None and rising[index]:
            x = (np.arange(wide - WINDOW + 1) + WINDOW / 2) / wide - 0.5
            y = (np.arange(tall - WINDOW + 1) + WINDOW / 2) / tall - 0.5
            width, height = WINDOW / wide, WINDOW / tall
            terms = position[size]
            along = terms[0] * x + terms[2] * 4 * x**2
            down = terms[1] * y + terms[3] * 4 * y**2
            offset[part] += terms[4] * width + terms[5] * height + terms[6] * width * height + along + down[:, None]
    return ScoreMaps(slope, offset, rising)
