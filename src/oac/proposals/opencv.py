"""Proposals that OpenCV computes: selective search, Edge Boxes, and its own BING to compare with.

OpenCV is an optional extra: `pip install -e ".[proposals]"` in a clone. Selective search (Uijlings et al., IJCV
2013) and Edge Boxes (Zitnick and Dollar, ECCV 2014) need no boxes for training; Edge Boxes needs edges, which a
structured forest trained on contours gives where its model file is at hand, and the gradient of the image
otherwise.

`propose` takes a uint8 RGB image (H, W, 3) and returns boxes (n, 4) xmin, ymin, xmax, ymax in [0, 1], best first,
none twice, and scores (n,), of which no two sources' compare. The functions of the sources give boxes in pixels.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oac.proposals.suppression import distinct

MIN_SIDE = 16
"""Smallest side in pixels of a photo that is handed to OpenCV; a smaller photo gets no boxes."""

_BLUR = 1.0  # sigma in pixels before the gradient, about that of the structured edges' smoothing


class OpenCVMissingError(RuntimeError):
    """OpenCV, or the part of it that a source needs, is not installed."""


def import_opencv(module: str) -> ModuleType:
    """Import cv2 with a module of its contrib build, on one thread: photos are what runs in parallel here.

    Raises OpenCVMissingError, saying what to install.
    """
    remedy = 'install the extra, in a clone: pip install -e ".[proposals]" (or opencv-contrib-python-headless)'
    try:
        import cv2
    except ImportError as error:
        raise OpenCVMissingError(f"this source of proposals needs OpenCV ({error}); {remedy}") from None
    if not hasattr(cv2, module):
        raise OpenCVMissingError(f"OpenCV {cv2.__version__} is built without its module {module}; {remedy}")
    cv2.setNumThreads(1)
    return cv2


def propose(source: str, image: np.ndarray, count: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The `count` best boxes of a photo and scores falling from 1 to 0; source, options: see SOURCES."""
    if min(image.shape[:2]) < MIN_SIDE:
        return np.zeros((0, 4)), np.zeros(0)
    boxes = SOURCES[source](image, count, **options) / np.tile(image.shape[1::-1], 2)
    boxes = np.clip(boxes, 0.0, 1.0)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    boxes = boxes[distinct(boxes)[:count]]
    return boxes, 1.0 - np.arange(len(boxes)) / max(len(boxes), 1)


def selective_search(image: np.ndarray, count: int, quality: bool = False) -> np.ndarray:
    """All boxes in its order, which is random in part; the seed is fixed, so photos repeat.

    quality: more colour spaces and scales, five times slower, more boxes.
    """
    cv2 = import_opencv("ximgproc")
    ctypes.CDLL(None).srand(0)  # it ranks by C's rand(), which cv2.setRNGSeed does not reach
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))
    if quality:
        search.switchToSelectiveSearchQuality()
    else:
        search.switchToSelectiveSearchFast()
    return _corners(search.process())


def edge_boxes(image: np.ndarray, count: int, model: str | None = None) -> np.ndarray:
    """The `count` best boxes of Edge Boxes.

    model: file of the structured edge detector (ximgproc's model.yml.gz), None takes gradients. Raises
    FileNotFoundError where it is absent.
    """
    cv2 = import_opencv("ximgproc")
    edges, orientation = gradient_edges(cv2, image) if model is None else _structured_edges(cv2, image, model)
    finder = cv2.ximgproc.createEdgeBoxes()
    finder.setMaxBoxes(count)
    return _corners(finder.getBoundingBoxes(edges, orientation)[0])


def _structured_edges(cv2: ModuleType, image: np.ndarray, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Thinned edge strength in [0, 1] and the direction across the edge in [0, pi), float32 (H, W)."""
    if not Path(model).is_file():
        raise FileNotFoundError(f"{model}, the model of the structured edge detector, does not exist")
    detector = cv2.ximgproc.createStructuredEdgeDetection(model)
    strength = detector.detectEdges(image.astype(np.float32) / np.float32(255))
    orientation = detector.computeOrientation(strength)
    return detector.edgesNms(strength, orientation), orientation


def gradient_edges(cv2: ModuleType, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thinned gradient of a blurred image, of the colour with the largest one, and its direction."""
    smooth = cv2.GaussianBlur(image.astype(np.float32) / np.float32(255), (0, 0), _BLUR)
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=0.25) for order in ((1, 0), (0, 1)))
    colour = (x**2 + y**2).argmax(axis=2)[:, :, None]
    x, y = (np.take_along_axis(part, colour, axis=2)[:, :, 0] for part in (x, y))
    strength = np.hypot(x, y)
    # An edge is one pixel wide: what is not the largest along the gradient goes.
    rows, columns = np.indices(strength.shape, dtype=np.float32)
    length = np.maximum(strength, np.finfo(np.float32).tiny)
    neighbours = [
        cv2.remap(strength, columns + sign * x / length, rows + sign * y / length, cv2.INTER_LINEAR)
        for sign in (np.float32(-1), np.float32(1))
    ]
    thin = np.where((strength >= neighbours[0]) & (strength >= neighbours[1]), strength, 0)
    return np.minimum(thin, 1).astype(np.float32), np.mod(np.arctan2(y, x), np.float32(np.pi)).astype(np.float32)


def opencv_bing(image: np.ndarray, count: int, model: str) -> np.ndarray:
    """All boxes of BING as in OpenCV's saliency module, best first, of its three colour spaces together.

    model: the folder with its nine files ObjNessB2W8*.yml.gz. Raises FileNotFoundError without them.
    """
    cv2 = import_opencv("saliency")
    # With a wrong path OpenCV says nothing and finds nothing.
    if not (Path(model) / "ObjNessB2W8MAXBGR.wS1.yml.gz").is_file():
        raise FileNotFoundError(f"{model} holds no BING model of OpenCV (ObjNessB2W8MAXBGR.wS1.yml.gz)")
    with _silenced_stdout():
        finder = cv2.saliency.ObjectnessBING_create()
        finder.setTrainingPath(model)
        _, result = finder.computeSaliency(np.ascontiguousarray(image[:, :, ::-1]))
    boxes: Any = np.zeros((0, 4)) if result is None else np.reshape(result, (-1, 4)).astype(np.float64)
    return boxes - [1, 1, 0, 0]  # pixels from 1 on, both ends included


SOURCES: dict[str, Callable[..., np.ndarray]] = {
    "opencv_bing": opencv_bing,
    "edge_boxes": edge_boxes,
    "selective_search": selective_search,
}
"""The sources and what finds their boxes; options are those of proposals.{source} in a study file."""


def _corners(rectangles: Any) -> np.ndarray:
    """Boxes (n, 4) xmin, ymin, xmax, ymax of OpenCV's rectangles x, y, width, height."""
    rectangles = np.asarray(rectangles, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]], axis=1)


@contextmanager
def _silenced_stdout() -> Iterator[None]:
    """OpenCV's BING prints three lines for every image past Python's stdout."""
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)
