"""The results of a study: its variants, each a method with one crop variant, and the runs of their seeds.

Tables and figures are made of nothing else, so every number in them leads back to a run and its recipe hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oac import crop_options
from oac.report.paper import UNBOXED_POLICIES, PaperValue
from oac.report.statistics import NO_DIFFERENCE, Difference, Interval, difference, t_interval
from oac.studies import FIXED_ENCODERS, PRETRAINED, RANDOM_INIT

METHOD_NAMES = {
    "supervised": "Supervised",
    "cmc": "CMC",
    "byol": "BYOL",
    "swav": "SwAV",
    "moco_v2": "MoCo-v2",
    RANDOM_INIT: "Random initialisation",
    PRETRAINED: "Given encoder",
}
REFERENCE_METHODS = (
    "supervised",
    *FIXED_ENCODERS,
)  # what a crop policy is compared with, whatever they crop themselves
BOX_NAMES = {
    "bing": "BING",
    "ground_truth": "ground truth",
    "random": "random",
    "opencv_bing": "OpenCV BING",
    "edge_boxes": "Edge Boxes",
    "selective_search": "selective search",
    "csv": "CSV",
}
BATCH = "256"  # images of a batch that the released code averages the mAP over, on one GPU
BATCH_MAP = f"map_batch.{BATCH}"


Contrasts = Sequence[tuple[tuple[str, str], tuple[str, str]]]
"""Pairs of variants (method, crops), of which the first is compared with the second"""


def boxes_of(source: str) -> str:
    """The boxes of a source, in a sentence."""
    boxes = "ground-truth" if source == "ground_truth" else BOX_NAMES.get(source, source)
    return f"{boxes} boxes".replace(" Boxes boxes", " Boxes")


@dataclass(frozen=True)
class Names:
    """What people call a study and its crop variants, as its file says; without a name there is the key."""

    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """The number that a study is judged by, and how it is called."""

    key: str
    """of a run: a fraction in [0, 1]"""
    name: str
    """in a sentence"""
    header: str
    """at the head of a column"""
    words: str
    """in a caption"""
    data: str
    """the paper's data that its value is of"""


MAP = Metric("map", "mAP", "mAP (%)", "mAP", "OHMS")
TOP1 = Metric("top1", "top-1", "Top-1 (%)", "top-1 accuracy", "ImageNet")


@dataclass(frozen=True)
class Variant:
    """A method with one crop variant of a study, and its runs."""

    method: str
    crops: str
    policy: str | None
    """None for a method that does not crop"""
    boxes: str | None
    """source of boxes; None for a policy without boxes"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """all crop options with their defaults; for MoCo-v2 around objects the number of projection heads; `training`,
    what `_training` returns, where it is not what most variants of the method have"""
    images_seen: int = 0
    runs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """contents of metrics.json by seed"""
    paper: PaperValue | None = None
    """the paper's row of its method, policy and boxes; None where its options or its budget are not the row's"""
    only: bool = True
    """whether its method has no other variant in the study"""
    alone: bool = True
    """whether the study has no other method that is no reference"""
    label: str = ""
    """what people call its crops; empty for their key"""

    @classmethod
    def named(cls, method: str, crops: str, policy: str | None, boxes: str | None) -> Variant:
        """Make a variant without runs, of what a recipe or metrics.json says."""
        policy, boxes = (None if value in ("", "none") else value for value in (policy, boxes))
        return cls(method, crops, policy, None if policy in UNBOXED_POLICIES else boxes)

    @property
    def key(self) -> str:
        """method/crops, as in the paths of its runs."""
        return f"{self.method}/{self.crops}"

    @property
    def crops_label(self) -> str:
        """What people call its crops, without the source of its boxes."""
        return self.label or self.crops

    @property
    def crops_name(self) -> str:
        """The crop variant with the source of its boxes."""
        return self.crops_label + (f" ({boxes_of(self.boxes)})" if self.boxes else "")

    @property
    def name(self) -> str:
        """What people read: references by their method, others by method and crops, MoCo-v2 alone by its crops."""
        if self.method == "moco_v2" and self.alone:
            return self.crops_name
        method = method_name(self.method)
        if self.is_reference:
            return method if self.only else f"{method}, {self.crops_label}"
        return f"{method}, {self.crops_name}"

    @property
    def is_reference(self) -> bool:
        """Whether it is a reference, and not itself in question."""
        return self.method in REFERENCE_METHODS

    @property
    def trained(self) -> bool:
        """Whether its runs were trained at all."""
        return self.method not in FIXED_ENCODERS

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.runs)

    @property
    def heads(self) -> int:
        """Number of projection heads."""
        return int(self.options.get("heads", 1))

    @property
    def training(self) -> str:
        """How it was trained apart from crops and heads, where that is not what most variants of the method have."""
        return str(self.options.get("training", ""))

    @property
    def hashes(self) -> list[str]:
        """Recipe hash of every run."""
        return [run["recipe_hash"] for run in self.runs.values()]

    def values(self, key: str = MAP.key) -> dict[int, float]:
        """A fraction of metrics.json in percent by seed; runs without it are left out.

        key: its name, or the names that lead to it with points between them, as in best_epoch.last.map.
        """
        found = {seed: _at(run, key.split(".")) for seed, run in self.runs.items()}
        return {seed: 100 * value for seed, value in found.items() if value is not None}

    def estimate(self, key: str = MAP.key) -> Interval:
        """Mean of `values` and its 95 % t-interval, from three seeds on. Raises ValueError where no run has it."""
        return t_interval(self.values(key).values())

    def difference_to(self, reference: Variant | None, key: str = MAP.key) -> Difference:
        """Its `values` less those of a reference; NO_DIFFERENCE to itself and where there is no reference."""
        if reference is None or reference is self:
            return NO_DIFFERENCE
        return difference(self.values(key), reference.values(key))


@dataclass(frozen=True)
class Results:
    """All runs of a study, which are comparable."""

    study: str
    variants: list[Variant]
    """in the order of their first run"""
    metric: Metric
    classes: int
    test_images: int
    split: str = "test"
    """what the probes were tested on"""
    contrasts: Contrasts = ()
    """what the study declared to test, as `oac.studies.contrasts` has it"""
    title: str = ""
    """what people call the study"""

    @property
    def tested_on(self) -> str:
        """How many photos of which split the probes were tested on, in words."""
        return f"{self.test_images} {self.split} images"

    def variant(self, method: str, crops: str) -> Variant | None:
        """The variant of a method with some crops, if it was run."""
        return next((v for v in self.variants if (v.method, v.crops) == (method, crops)), None)

    def of(self, *methods: str) -> list[Variant]:
        """The variants of some methods, method by method."""
        return [variant for method in methods for variant in self.variants if variant.method == method]

    def runs(self) -> list[Mapping[str, Any]]:
        """Contents of metrics.json of every run."""
        return [run for variant in self.variants for run in variant.runs.values()]


def called(variants: Sequence[Variant], labels: Mapping[str, str]) -> list[Variant]:
    """All variants of a study, with what their names need to tell them apart; labels: of their crops."""
    methods = [variant.method for variant in variants]
    alone = len(set(methods) - set(REFERENCE_METHODS)) <= 1
    return [
        replace(one, only=methods.count(one.method) == 1, alone=alone, label=labels.get(one.crops, ""))
        for one in variants
    ]


def method_name(method: str) -> str:
    """A method in words."""
    return METHOD_NAMES.get(method, method)


def value_name(option: str, value: Any) -> str:
    """The value of a crop option in words."""
    return BOX_NAMES.get(value, str(value)) if option == "boxes" else crop_options.value_words(option, value)


def _at(run: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What lies at the end of a path of keys; None where there is nothing."""
    found: Any = run
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
