"""What the paper reports, so that tables can put it beside our numbers.

Mishra et al., "Object-Aware Cropping for Self-Supervised Learning", arXiv 2112.00319, TMLR 2022. All mAP
values are on OHMS, the multi-object subset of Open Images, and percent. They most likely are averages
over batches (see `oac.probe.metrics.batch_averaged_map`), so only the order of the rows compares with a
mean AP over a data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oac.crop_options import OPTIONS, published

_TABLE_1 = "table 1, as in the authors' README"
_TEXT = "body text (v1)"

UNBOXED_POLICIES = ("scene-scene",)
OF_THE_ROW = ("boxes", "heads", "budget")  # what the paper's rows themselves differ in, or that is no crop option


@dataclass(frozen=True)
class PaperValue:
    """One row of the paper."""

    map_percent: float
    """mAP on OHMS"""
    source: str
    top1_percent: float | None = None
    """ImageNet linear top-1"""
    note: str = ""

    def percent(self, metric: str) -> float | None:
        """Its mAP ("map") or top-1 accuracy ("top1")."""
        return self.map_percent if metric == "map" else self.top1_percent


Key = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class PaperDelta:
    """A difference which the paper gives without the two values."""

    what: str
    points: float
    source: str
    first: Key
    """The row that is higher."""
    second: tuple[Key, ...]
    """The row, or the rows whose mean, it is compared with."""
    heads: tuple[int, int] | None = None
    """Projection heads of both, where these are what differs."""
    metric: str = "map"
    """Of what it is a difference: map on OHMS, or top1 on ImageNet"""


VALUES: dict[Key, PaperValue] = {
    ("supervised", None, None): PaperValue(66.3, _TABLE_1, 76.2),
    ("cmc", "scene-scene", None): PaperValue(48.7, _TABLE_1, 60.0),
    ("byol", "scene-scene", None): PaperValue(50.2, _TABLE_1, 70.7),
    ("swav", "scene-scene", None): PaperValue(51.3, _TABLE_1, 72.7),
    ("moco_v2", "scene-scene", None): PaperValue(49.8, _TABLE_1, 67.5),
    ("moco_v2", "object-scene", "bing"): PaperValue(57.9, _TEXT, note="given as the baseline + 8.1"),
    ("moco_v2", "object-shift", "bing"): PaperValue(54.1, _TEXT),
    ("moco_v2", "object-dilate", "bing"): PaperValue(
        58.6,
        _TABLE_1,
        68.0,
        note="with two projection heads, whatever ours has; the body text has the baseline + 8.2, that is 58.0",
    ),
}
"""(method, policy, boxes) -> value; None where a policy uses no boxes or a method no crop policy.

Not in the paper as numbers: ground-truth boxes ("a little better than BING"), object-object, random initialisation.
"""

TABLE_1: tuple[Key, ...] = tuple(key for key, value in VALUES.items() if value.top1_percent is not None)
"""The rows of table 1, in its order: all that have both columns."""

SUPERVISED: Key = ("supervised", None, None)
_SCENE: Key = ("moco_v2", "scene-scene", None)
_DILATE: Key = ("moco_v2", "object-dilate", "bing")
_SELF_SUPERVISED: tuple[Key, ...] = tuple((m, "scene-scene", None) for m in ("cmc", "byol", "swav", "moco_v2"))
_MEAN_GAP = "supervised over the mean of the four self-supervised methods"

DELTAS = (
    PaperDelta("two projection heads instead of one, object-dilate", 1.1, _TEXT, _DILATE, (_DILATE,), heads=(2, 1)),
    PaperDelta("object-dilate over scene-scene, body text", 8.2, _TEXT, _DILATE, (_SCENE,)),
    PaperDelta("object-dilate over scene-scene, table", 8.8, _TABLE_1, _DILATE, (_SCENE,)),
    PaperDelta("object-scene over scene-scene", 8.1, _TEXT, ("moco_v2", "object-scene", "bing"), (_SCENE,)),
    PaperDelta(f"{_MEAN_GAP}, OHMS", 16.3, _TEXT, SUPERVISED, _SELF_SUPERVISED),
    PaperDelta(f"{_MEAN_GAP}, ImageNet", 8.5, _TEXT, SUPERVISED, _SELF_SUPERVISED, metric="top1"),
)

OVERLAP_PEAKS = {"object-scene": 57.2, "scene-scene": 65.2}
"""Overlap of the two crops, percent, at which the paper's mAP is highest (supplement, figure 7 left).

How the paper measures the overlap is not public.
"""


def is_as_published(options: Mapping[str, Any], method: str) -> bool:
    """Whether a variant's crop options are those that the paper's numbers are of, whatever its boxes and heads.

    Other methods than MoCo-v2 have scene crops of their own sizes.
    """
    free = OF_THE_ROW if method == "moco_v2" else (*OF_THE_ROW, "scene_scale")
    return all(options.get(key, published(key)) == published(key) for key in OPTIONS if key not in free)


def paper_value(method: str, policy: str | None, boxes: str | None) -> PaperValue | None:
    """Row of the paper for a variant, or None; boxes of scene-scene and crops of `supervised` are ignored."""
    boxes = None if policy in UNBOXED_POLICIES else boxes
    return VALUES.get((method, None, None)) or VALUES.get((method, policy, boxes))
