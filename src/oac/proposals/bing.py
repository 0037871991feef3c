"""BING object proposals: an image in, the boxes most likely to hold an object out.

Cheng, Zhang, Lin and Torr, "BING: Binarized Normed Gradients for Objectness Estimation at 300fps", CVPR 2014.
An 8 x 8 linear filter scores the normed gradients of every window of a few dozen quantised sizes (stage I);
the best of each size are calibrated by one slope and one offset per size (stage II) and ranked together. The
filter is applied in floating point: its approximation by a few bits, which gives the method its name, is a
device for speed that costs accuracy and that present processors do not need.

There are three additions. Each is a part of the weights that may be absent; without all of them the boxes are those
of the paper. Stage II also sees the position and the area of a window (`position`), a bounding-box regression moves
the edges of the windows (`regression`), and non-maximum suppression keeps repeated boxes out of the head of the list
(`nms_iou`). docs/proposals.md has the effect of each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from oac.atomic import writing
from oac.proposals.blas import one_blas_thread
from oac.proposals.box_regression import BORDER_FEATURES, apply_regression, regression_inputs
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients, window_scores
from oac.proposals.score_maps import POSITION_TERMS, ScoreMaps, position_terms, score_maps
from oac.proposals.suppression import distinct, suppress_boxes, suppress_windows

PER_SIZE = 250
"""Windows kept of each size after suppression; the original code has 130 for its single-colour run and 250 else."""

FORMAT = "oac-bing-3"
"""Name of the format of weights files; raise its number when the format changes."""

DIVERSE = 100
"""Boxes at the head of a list that do not repeat a better one; behind them all are ranked by score."""


class WeightsError(ValueError):
    """A file does not hold BING weights."""


@dataclass(frozen=True)
class Windows:
    """Windows of one image: block and first cell (y, x) in the mosaic of its gradients, and scores (n,)."""

    gradients: np.ndarray
    mosaic: Layout
    y: np.ndarray
    x: np.ndarray
    block: np.ndarray
    scores: np.ndarray

    def boxes(self) -> np.ndarray:
        """Boxes (n, 4) xmin, ymin, xmax, ymax in [0, 1]."""
        return self.mosaic.boxes(self.y, self.x, self.block)

    def sizes(self) -> np.ndarray:
        """Index of each window's size among the model's sizes (n,)."""
        return self.mosaic.blocks[self.block, 0]

    def cells(self) -> np.ndarray:
        """The normed gradients that the filter sees in each window: (n, 64) float32, row by row."""
        views = np.lib.stride_tricks.sliding_window_view(self.gradients, (WINDOW, WINDOW))
        return views[self.y, self.x].reshape(-1, WINDOW * WINDOW)


@dataclass(frozen=True, eq=False)
class Bing:
    """A trained BING model.

    sizes: (width, height) in pixels of the S quantised window sizes; weights: (8, 8) filter on NG values of
    0 to 255; calibration: (S, 2) slope and offset of stage II; per_size: windows kept of each size;
    about: what the weights were trained on, for whoever reads the file. The additions, None where absent:
    position: (S, POSITION_TERMS) weights of stage II beside the score's (`oac.proposals.score_maps`); regression:
    weights of the bounding-box regression (`oac.proposals.box_regression`); nms_iou: largest IoU among the first
    DIVERSE boxes of a list.
    """

    sizes: tuple[tuple[int, int], ...]
    weights: np.ndarray
    calibration: np.ndarray
    per_size: int = PER_SIZE
    about: dict[str, Any] = field(default_factory=dict)
    position: np.ndarray | None = None
    regression: np.ndarray | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        if not self.sizes or self.weights.shape != (WINDOW, WINDOW) or self.calibration.shape != (len(self.sizes), 2):
            raise WeightsError(
                "BING weights need at least one window size, an 8 x 8 filter and one (slope, offset) per size; "
                f"got {len(self.sizes)} sizes, filter {self.weights.shape}, calibration {self.calibration.shape}"
            )
        inputs = WINDOW * WINDOW + BORDER_FEATURES + len(self.sizes)
        expected = {"position": (len(self.sizes), POSITION_TERMS), "regression": (inputs, 4)}
        for name, shape in expected.items():
            table = getattr(self, name)
            if table is not None and table.shape != shape:
                raise WeightsError(f"BING weights for {len(self.sizes)} sizes have {name} {table.shape}, not {shape}")

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
            position, regression = (
                None if content[key] is None else np.asarray(content[key], dtype=np.float64)
                for key in ("position", "regression")
            )
            return cls(
                sizes=tuple((int(w), int(h)) for w, h in content["sizes"]),
                weights=np.asarray(content["filter"], dtype=np.float32),
                calibration=np.asarray(content["calibration"], dtype=np.float64),
                per_size=int(content["per_size"]),
                about=dict(content["about"]),
                position=position,
                regression=regression,
                nms_iou=None if content["nms_iou"] is None else float(content["nms_iou"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{source} does not hold BING weights ({error}): train them again") from error

    def save(self, path: str | Path) -> None:
        """Write the weights as JSON, whole or not at all; `load` gives the same numbers back."""
        entries = {
            "format": json.dumps(FORMAT),
            "about": json.dumps(self.about),
            "per_size": json.dumps(self.per_size),
            "sizes": _json_rows(self.sizes),
            "filter": _json_rows([[float(f"{value:.9g}") for value in row] for row in self.weights]),
            "calibration": _json_rows(self.calibration),
            "position": _json_rows(self.position),
            "regression": _json_rows(self.regression),
            "nms_iou": json.dumps(self.nms_iou),
        }
        text = ",\n".join(f'"{key}": {value}' for key, value in entries.items())
        with writing(path) as temporary:
            temporary.write_text("{" + text + "}\n", encoding="utf-8")

    def windows(self, image: np.ndarray) -> Windows:
        """Stage I: the best windows of every size after suppression, before calibration, by size and best first."""
        mosaic = self.mosaic(image)
        gradients = normed_gradients(image, mosaic)
        scores = window_scores(gradients, self.weights)
        return Windows(gradients, mosaic, *suppress_windows(scores, mosaic, self.per_size))

    def propose(
        self, image: np.ndarray, count: int, *, nms_iou: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `count` best boxes of an image, best first.

        image: uint8 (H, W, 3), RGB, any size. nms_iou: of the first DIVERSE boxes, none overlaps a better one by
        more than this intersection over union; the rest follow by score. None is what the weights say, 1 ranks by
        score alone.
        Returns boxes (n, 4) xmin, ymin, xmax, ymax in [0, 1] and scores (n,), both float64, 1 <= n <= count. No box
        comes twice, a short list is the beginning of a long one, and scores of boxes of all sizes compare. Boxes lie
        inside the image and are never empty; an image of less than half the smallest size still gets one. Raises
        ValueError for anything but such an image.
        """
        if count < 1:
            raise ValueError(f"count is {count}: ask for at least one proposal")
        mosaic = self.mosaic(image)
        gradients = normed_gradients(image, mosaic)
        # The products are small: a pool of BLAS threads would wait for each other longer than it computes.
        with one_blas_thread():
            return self.rank(gradients, window_scores(gradients, self.weights), mosaic, count, nms_iou)

    def rank(
        self, gradients: np.ndarray, scores: np.ndarray, mosaic: Layout, count: int, nms_iou: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The second half of `propose`: boxes and scores from the maps of stage I (see oac.proposals.gradients)."""
        limit = next((value for value in (nms_iou, self.nms_iou) if value is not None), 1.0)
        suppressing = limit < 1
        maps, head = _maps(self, mosaic), min(count, DIVERSE)
        calibrated = maps.apply(scores)
        # Some boxes are suppressed or come twice, so more than `count` windows are looked at, in growing numbers.
        total = count + 3 * head + 20 if suppressing else count
        while True:
            windows, complete = self._best_windows(calibrated, gradients, mosaic, maps, total)
            boxes, values = self._distinct_boxes(windows)
            chosen = suppress_boxes(boxes, limit, head) if suppressing else np.arange(min(head, len(boxes)))
            if complete or (len(boxes) >= count and len(chosen) == head):
                order = np.concatenate([chosen, np.delete(np.arange(len(boxes)), chosen)])[:count]
                return boxes[order], values[order]
            total *= 4

    def _best_windows(
        self, calibrated: np.ndarray, gradients: np.ndarray, mosaic: Layout, maps: ScoreMaps, total: int
    ) -> tuple[Windows, bool]:
        """Up to `total` windows of all sizes by score, best first, and whether these are all there are."""
        y, x, block, values = suppress_windows(calibrated, mosaic, self.per_size, total=total, comparable=maps.rising)
        falling = ~maps.rising[block]
        if falling.any():
            values = values.astype(np.float64)
            size = mosaic.blocks[block[falling], 0]
            values[falling] = self.calibration[size, 0] * values[falling] + self.calibration[size, 1]
            if self.position is not None:
                terms = position_terms(mosaic.boxes(y[falling], x[falling], block[falling]))
                values[falling] += (terms * self.position[size]).sum(axis=1)
        order = np.argsort(-values, kind="stable")[:total]
        complete = len(values) < total  # fewer than asked for: then nothing was left out
        return Windows(gradients, mosaic, y[order], x[order], block[order], values[order]), complete

    def _distinct_boxes(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of the windows after the regression, where there is one, and scores; each box once.

        Two sizes can be one window of a small image, and two windows can be moved to one box.
        """
        boxes, mosaic = windows.boxes(), windows.mosaic
        if self.regression is not None:
            inputs = regression_inputs(windows.cells(), boxes, windows.sizes(), len(self.sizes))
            boxes = apply_regression(boxes, inputs, self.regression, mosaic.width, mosaic.height)
        first = distinct(boxes)
        return boxes[first], windows.scores[first].astype(np.float64)

    def mosaic(self, image: np.ndarray) -> Layout:
        """Where the windows of an image lie in the mosaic of its resized gradients (`oac.proposals.gradients`).

        Raises ValueError for anything but a uint8 RGB image (H, W, 3).
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3): convert it to RGB first"
            )
        return layout(image.shape[0], image.shape[1], self.sizes)


@lru_cache(maxsize=64)
def _maps(model: Bing, mosaic: Layout) -> ScoreMaps:
    """The maps of stage II, kept for as many sizes of photos as layouts are; each takes about a megabyte."""
    return score_maps(mosaic, model.calibration, model.position)


def _json_rows(table: Any) -> str:
    """A table as JSON, one row per line, so that a person can read it and a diff shows what changed."""
    if table is None:
        return "null"
    return "[\n" + ",\n".join("  " + json.dumps(list(row)) for row in np.asarray(table).tolist()) + "\n]"
