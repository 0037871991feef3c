"""BING object proposals: an image in, the boxes most likely to hold an object out.

Cheng, Zhang, Lin and Torr, "BING: Binarized Normed Gradients for Objectness Estimation at 300fps", CVPR 2014.
An 8 x 8 linear filter scores the normed gradients of every window of a few dozen quantised sizes (stage I);
the best of each size are calibrated by one slope and one offset per size (stage II) and ranked together. The
filter is applied in floating point: its approximation by a few bits, which gives the method its name, is a
device for speed that costs accuracy and that present processors do not need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from oac.atomic import writing
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients, window_scores
from oac.proposals.suppression import suppress_boxes, suppress_windows

PER_SIZE = 130
"""Windows kept of each size after suppression (numPerSz of the single-colour run in the original code)."""

FORMAT = "oac-bing-1"


class WeightsError(ValueError):
    """A file does not hold BING weights."""


@dataclass(frozen=True)
class Bing:
    """A trained BING model.

    sizes: (width, height) in pixels of the S quantised window sizes; weights: (8, 8) filter on NG values of
    0 to 255; calibration: (S, 2) slope and offset of stage II; per_size: windows kept of each size;
    about: what the weights were trained on, for whoever reads the file.
    """

    sizes: tuple[tuple[int, int], ...]
    weights: np.ndarray
    calibration: np.ndarray
    per_size: int = PER_SIZE
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sizes or self.weights.shape != (WINDOW, WINDOW) or self.calibration.shape != (len(self.sizes), 2):
            raise WeightsError(
                "BING weights need at least one window size, an 8 x 8 filter and one (slope, offset) per size; "
                f"got {len(self.sizes)} sizes, filter {self.weights.shape}, calibration {self.calibration.shape}"
            )

    @classmethod
    def load(cls, weights: str | Path | None = None) -> Bing:
        """Read weights from a JSON file; None takes those in the package (trained on VOC2007 train photos).

        Raises FileNotFoundError, or WeightsError naming the file where it holds something else.
        """
        source = resources.files("oac.proposals") / "bing_voc07.json" if weights is None else Path(weights)
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise WeightsError(f"format is {content['format']!r}, expected {FORMAT!r}")
            return cls(
                sizes=tuple((int(w), int(h)) for w, h in content["sizes"]),
                weights=np.asarray(content["filter"], dtype=np.float32),
                calibration=np.asarray(content["calibration"], dtype=np.float64),
                per_size=int(content["per_size"]),
                about=dict(content["about"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{source} does not hold BING weights ({error}): train them again") from error

    @classmethod
    def from_opencv(cls, folder: str | Path, colour: str = "MAXBGR") -> Bing:
        """Read the trained model of OpenCV's saliency module; see `oac.proposals.opencv_weights`."""
        from oac.proposals.opencv_weights import read

        return cls(*read(Path(folder), colour), about={"source": f"OpenCV ObjNessB2W8{colour}"})

    def save(self, path: str | Path) -> None:
        """Write the weights as JSON, whole or not at all; `load` gives the same numbers back."""
        lines = {
            "format": json.dumps(FORMAT),
            "about": json.dumps(self.about),
            "per_size": json.dumps(self.per_size),
            "sizes": _rows(self.sizes),
            "filter": _rows([[float(f"{value:.9g}") for value in row] for row in self.weights]),
            "calibration": _rows(self.calibration.tolist()),
        }
        text = ",\n".join(f'"{key}": {value}' for key, value in lines.items())
        with writing(path) as temporary:
            temporary.write_text("{" + text + "}\n", encoding="utf-8")

    def windows(self, image: np.ndarray, keep: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stage I: the best windows of every size after suppression, before calibration.

        Returns boxes (n, 4) in [0, 1], scores (n,) and indices into `sizes` (n,), sorted by size and within
        it best first. keep: at most so many of a size, where that cannot change which `keep` windows rank
        first.
        """
        mosaic = self._mosaic(image)
        scores = window_scores(normed_gradients(image, mosaic), self.weights)
        limits = np.full(len(mosaic.blocks), self.per_size)
        if keep is not None:
            # A falling calibration ranks the worst windows of a size first, so all of that size are needed.
            rising = self.calibration[mosaic.blocks[:, 0], 0] > 0
            limits[rising] = min(keep, self.per_size)
        y, x, block, values = suppress_windows(scores, mosaic, limits)
        return mosaic.boxes(y, x, block), values, mosaic.blocks[block, 0]

    def propose(
        self, image: np.ndarray, count: int, *, nms_iou: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `count` best boxes of an image, best first.

        image: uint8 (H, W, 3), RGB, any size. nms_iou: drop a box that overlaps a better one by more than
        this intersection over union; None, as published, keeps them all. Returns boxes (n, 4) xmin, ymin,
        xmax, ymax in [0, 1] and scores (n,), both float64, 1 <= n <= count. Boxes lie inside the image and
        are never empty; an image of less than half the smallest size still gets one. Raises ValueError for
        anything but such an image.
        """
        if count < 1:
            raise ValueError(f"count is {count}: ask for at least one proposal")
        boxes, values, size = self.windows(image, count if nms_iou is None else None)
        slope, offset = self.calibration[size].T
        scores = slope * values + offset
        order = np.argsort(-scores, kind="stable")
        if nms_iou is not None:
            order = order[suppress_boxes(boxes[order], nms_iou, count)]
        order = order[:count]
        return boxes[order], scores[order]

    def _mosaic(self, image: np.ndarray) -> Layout:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3): convert it to RGB first"
            )
        return layout(image.shape[0], image.shape[1], self.sizes)


def _rows(table: Any) -> str:
    """A table as JSON, one row per line, so that a person can read it and a diff shows what changed."""
    return "[\n" + ",\n".join("  " + json.dumps(list(row)) for row in table) + "\n]"
