"""BING object proposals: an image in, the boxes most likely to hold an object out.

Cheng, Zhang, Lin and Torr, "BING: Binarized Normed Gradients for Objectness Estimation at 300fps", CVPR 2014.
An 8 x 8 linear filter scores the normed gradients of every window of a few dozen quantised sizes (stage I);
the best of each size are calibrated by one slope and one offset per size (stage II) and ranked together. The
filter is applied in floating point: its approximation by a few bits, which gives the method its name, is a
device for speed that costs accuracy and that present processors do not need.

Three additions, each a part of the weights that may be absent, in which case the boxes are those of the paper:
stage II also knows where a window lies and how much of the photo it covers (`place`), a regression moves the edges of
the windows (`edges`, `oac.proposals.refine`), and windows that repeat a better one are kept out of
the head of the list (`nms_iou`). docs/proposals.md has what each of them is worth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from oac.atomic import writing
from oac.proposals import refine
from oac.proposals.gradients import WINDOW, Layout, layout, normed_gradients, window_scores
from oac.proposals.place import TERMS, Maps, place_terms, rank_maps
from oac.proposals.suppression import suppress_boxes, suppress_windows

PER_SIZE = 250
"""Windows kept of each size after suppression; the original code has 130 for its single-colour run and 250 else."""

FORMAT = "oac-bing-2"

DIVERSE = 100
"""Boxes at the head of a list that do not repeat a better one; behind them all are ranked by score."""

_MAPS = 64  # photo sizes whose maps of stage II are kept; each takes about a megabyte


class WeightsError(ValueError):
    """A file does not hold BING weights."""


@dataclass(frozen=True)
class Bing:
    """A trained BING model.

    sizes: (width, height) in pixels of the S quantised window sizes; weights: (8, 8) filter on NG values of
    0 to 255; calibration: (S, 2) slope and offset of stage II; per_size: windows kept of each size;
    about: what the weights were trained on, for whoever reads the file. The additions, None where there are none:
    place: (S, TERMS) weights of stage II beside the score's (`oac.proposals.place`); edges: regression of
    `oac.proposals.refine`; nms_iou: largest overlap among the boxes at the head of a list.
    """

    sizes: tuple[tuple[int, int], ...]
    weights: np.ndarray
    calibration: np.ndarray
    per_size: int = PER_SIZE
    about: dict[str, Any] = field(default_factory=dict)
    place: np.ndarray | None = None
    edges: np.ndarray | None = None
    nms_iou: float | None = None
    _maps: dict[tuple[int, int], Maps] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sizes or self.weights.shape != (WINDOW, WINDOW) or self.calibration.shape != (len(self.sizes), 2):
            raise WeightsError(
                "BING weights need at least one window size, an 8 x 8 filter and one (slope, offset) per size; "
                f"got {len(self.sizes)} sizes, filter {self.weights.shape}, calibration {self.calibration.shape}"
            )
        rows = WINDOW * WINDOW + refine.BORDERS + len(self.sizes)
        for name, table, shape in (("place", self.place, (len(self.sizes), TERMS)), ("edges", self.edges, (rows, 4))):
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
            return cls(
                sizes=tuple((int(w), int(h)) for w, h in content["sizes"]),
                weights=np.asarray(content["filter"], dtype=np.float32),
                calibration=np.asarray(content["calibration"], dtype=np.float64),
                per_size=int(content["per_size"]),
                about=dict(content["about"]),
                place=None if content["place"] is None else np.asarray(content["place"], dtype=np.float64),
                edges=None if content["edges"] is None else np.asarray(content["edges"], dtype=np.float64),
                nms_iou=None if content["nms_iou"] is None else float(content["nms_iou"]),
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
            "place": "null" if self.place is None else _rows(self.place.tolist()),
            "edges": "null" if self.edges is None else _rows(self.edges.tolist()),
            "nms_iou": json.dumps(self.nms_iou),
        }
        text = ",\n".join(f'"{key}": {value}' for key, value in lines.items())
        with writing(path) as temporary:
            temporary.write_text("{" + text + "}\n", encoding="utf-8")

    def windows(self, image: np.ndarray) -> Windows:
        """Stage I: the best windows of every size after suppression, before calibration, by size and best first."""
        mosaic = self.mosaic(image)
        gradients = normed_gradients(image, mosaic)
        found = suppress_windows(
            window_scores(gradients, self.weights), mosaic, np.full(len(mosaic.blocks), self.per_size)
        )
        return _windows(gradients, mosaic, *found)

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
        scores = window_scores(gradients, self.weights)
        return self.rank(gradients, scores, mosaic, image.shape[:2], count, nms_iou)

    def rank(
        self,
        gradients: np.ndarray,
        scores: np.ndarray,
        mosaic: Layout,
        shape: tuple[int, int],
        count: int,
        nms_iou: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The second half of `propose`: boxes and scores from the maps of stage I (see oac.proposals.gradients)."""
        limit = self.nms_iou if nms_iou is None else nms_iou
        limit = None if limit is None or limit >= 1 else limit
        head = min(count, DIVERSE)
        boxes, values = np.zeros((0, 4)), np.zeros(0)
        for boxes, values, complete in self._candidates(gradients, scores, mosaic, shape, count, limit is not None):
            if limit is None:
                break
            chosen = suppress_boxes(boxes, limit, head)
            if complete or len(chosen) == head:
                behind = np.ones(len(boxes), dtype=bool)
                behind[chosen] = False
                order = np.concatenate([chosen, np.flatnonzero(behind)])
                boxes, values = boxes[order], values[order]
                break
        return boxes[:count], values[:count]

    def _candidates(
        self,
        gradients: np.ndarray,
        scores: np.ndarray,
        mosaic: Layout,
        shape: tuple[int, int],
        count: int,
        spare: bool,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
        """Distinct boxes by score, best first, in growing numbers, the last time all there are (complete).

        spare: begin with more than `count`, of which some will be ranked behind.
        """
        maps = self._maps_of(mosaic, shape)
        ranked, total = maps.apply(scores), count + 3 * min(count, DIVERSE) + 20 if spare else count
        while True:
            keep = np.full(len(mosaic.blocks), self.per_size)
            y, x, block, values = suppress_windows(ranked, mosaic, keep, total=total, comparable=maps.rising)
            falling = ~maps.rising[block]
            if falling.any():
                values = values.astype(np.float64)
                values[falling] = self._calibrated(mosaic, y[falling], x[falling], block[falling], values[falling])
            order = np.argsort(-values, kind="stable")
            complete = len(values) < total  # fewer than asked for: then nothing was left out
            order = order if complete else order[:total]
            windows = _windows(gradients, mosaic, y[order], x[order], block[order], values[order])
            boxes, first = self._moved(windows, shape)
            if complete or len(first) >= count:
                yield boxes[first], windows.scores[first].astype(np.float64), complete
            if complete:
                return
            total *= 4

    def _moved(self, windows: Windows, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of the windows, their edges moved where the weights say so, and which of them come for the first
        time: two sizes can be one window of a small image, and two windows can be moved to one box.
        """
        boxes = windows.boxes
        if self.edges is not None:
            inputs = refine.features(windows.cells(), boxes, windows.size, len(self.sizes))
            boxes = refine.move(boxes, inputs, self.edges, shape[1], shape[0])
        # As the table of proposals stores them, so that none comes twice there either.
        _, first = np.unique(boxes.astype(np.float32), axis=0, return_index=True)
        return boxes, np.sort(first)

    def _calibrated(
        self, mosaic: Layout, y: np.ndarray, x: np.ndarray, block: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        """Stage II of single windows."""
        size = mosaic.blocks[block, 0]
        result = self.calibration[size, 0] * values + self.calibration[size, 1]
        if self.place is not None:
            result += (place_terms(mosaic.boxes(y, x, block)) * self.place[size]).sum(axis=1)
        return result

    def _maps_of(self, mosaic: Layout, shape: tuple[int, int]) -> Maps:
        if shape not in self._maps:
            if len(self._maps) >= _MAPS:
                del self._maps[next(iter(self._maps))]
            self._maps[shape] = rank_maps(mosaic, self.calibration, self.place)
        return self._maps[shape]

    def mosaic(self, image: np.ndarray) -> Layout:
        """The blocks of an image's size. Raises ValueError for anything but a uint8 RGB image (H, W, 3)."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3): convert it to RGB first"
            )
        return layout(image.shape[0], image.shape[1], self.sizes)


@dataclass(frozen=True)
class Windows:
    """Windows of one image: boxes (n, 4) in [0, 1], scores (n,), indices into the model's sizes (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    size: np.ndarray
    gradients: np.ndarray
    y: np.ndarray
    x: np.ndarray

    def cells(self) -> np.ndarray:
        """The normed gradients that the filter sees in each window: (n, 64) float32, row by row."""
        views = np.lib.stride_tricks.sliding_window_view(self.gradients, (WINDOW, WINDOW))
        return views[self.y, self.x].reshape(-1, WINDOW * WINDOW)


def _windows(
    gradients: np.ndarray, mosaic: Layout, y: np.ndarray, x: np.ndarray, block: np.ndarray, values: np.ndarray
) -> Windows:
    return Windows(mosaic.boxes(y, x, block), values, mosaic.blocks[block, 0], gradients, y, x)


def _rows(table: Any) -> str:
    """A table as JSON, one row per line, so that a person can read it and a diff shows what changed."""
    return "[\n" + ",\n".join("  " + json.dumps(list(row)) for row in table) + "\n]"
