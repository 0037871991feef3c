"""The box sources that propose from pixels, each as one function: an image and a number in, ranked boxes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from oac.proposals import opencv
from oac.proposals.bing import Bing

Proposer = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""Takes a uint8 RGB image (H, W, 3) and the number of boxes; returns boxes (n, 4) xmin, ymin, xmax, ymax in [0, 1],
best first, n <= number, none twice, and scores (n,)."""


def proposer(source: str, options: Mapping[str, Any], weights: str | None = None) -> Proposer:
    """The proposer of a source with a study's options for it (proposals.{source}).

    weights: the file of BING's, None for those in the package. Raises ValueError for a source that does not propose
    from pixels, and what the source raises where a part of it is missing.
    """
    if source == "bing":
        return functools.partial(Bing.load(weights).propose, nms_iou=options.get("nms_iou"))
    if source in opencv.SOURCES:
        return functools.partial(opencv.propose, source, **options)
    raise ValueError(f"{source} is no source that proposes from pixels: bing, {', '.join(opencv.SOURCES)}")
