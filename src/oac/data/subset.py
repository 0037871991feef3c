"""Chooses the photos and classes of a study: the filters of OHMS, the paper's hard multi-object subset.

The paper takes, in this order, images with boxes, of them those with at least two distinct classes, and of
the classes those with at least 900 images (section on OHMS; 212,753 images and 208 classes remain of Open
Images). What it leaves open is an option here, and every step is accounted for, so that a reader can see what
it cost.

Decisions the paper leaves open, and what is done here:
- Classes are chosen on train alone; images per class are counted after the two image filters, in one pass.
- `rare_labels`. "drop" removes the boxes of classes below the threshold: 208 classes, as published. "keep"
  leaves them on the chosen images: the 576 outputs of the released probe. The train images are the same in
  both: those that show at least one class above the threshold. So with "drop" an image may be left with a
  single class.
- `validation` and `test` keep the images with at least `min_classes_per_image` distinct chosen classes.
- The sample of `max_images` is drawn last and from train only. Class counts hold before it; a class that no
  image of the sample shows is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, SPLITS, Release, positions


class EmptySubsetError(ValueError):
    """A step of the filters left nothing."""


@dataclass(frozen=True)
class Subset:
    """The chosen part of a release.

    images: IMAGE_COLUMNS, sorted by split and image_id. boxes: BOX_COLUMNS, in the order of the images.
    classes: label, name, train_images, train_boxes; the row is the class index. steps: one dict per split and
    step, with the keys split, step, images, classes, boxes (what was left after the step).
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: pd.DataFrame
    steps: list[dict[str, str | int]]


def select(
    release: Release,
    *,
    min_classes_per_image: int = 2,
    min_images_per_class: int = 900,
    rare_labels: Literal["keep", "drop"] = "drop",
    group_of: Literal["keep", "drop"] = "keep",
    class_list: Sequence[str] | None = None,
    max_images: int | None = None,
    seed: int = 0,
) -> Subset:
    """Apply the filters to a release; see the module's text for their order and meaning.

    group_of="drop" removes group-of boxes first. class_list restricts the classes to the named ones (labels
    or names). max_images bounds the train images; the seeded sample depends on the set of images, not on
    their order.

    Raises EmptySubsetError, naming the step and what was left before it, where a split runs empty.
    """
    _check_options(min_classes_per_image, min_images_per_class, max_images, rare_labels, group_of)
    work = _Selection(release)
    wanted = None if class_list is None else _wanted_classes(release.classes, class_list)
    enough = f"images with at least {min_classes_per_image} classes"
    work.narrow("train", group_of, wanted)
    work.keep_images("train", work.classes_per_image("train") >= min_classes_per_image)
    work.record("train", enough)
    frequent = work.images_per_class("train") >= min_images_per_class
    work.keep_images("train", work.shows("train", frequent))
    if rare_labels == "drop":
        work.keep_boxes("train", frequent[work.label])
    work.record("train", f"classes with at least {min_images_per_class} images")
    if max_images is not None:
        work.keep_images("train", work.sample("train", max_images, seed))
        work.record("train", f"sample of at most {max_images} images")

    chosen = work.images_per_class("train") > 0
    for split in SPLITS[1:]:
        if work.in_split[split].any():
            work.narrow(split, group_of, wanted)
            work.keep_boxes(split, chosen[work.label])
            work.record(split, "boxes of the chosen classes")
            work.keep_images(split, work.classes_per_image(split) >= min_classes_per_image)
            work.record(split, enough)
    return work.result(chosen)


def assign_shards(images: pd.DataFrame, photos_per_shard: int = 1000) -> pd.DataFrame:
    """The images with a column `shard`: "train-000", "train-001", ... in their order, split by split."""
    if photos_per_shard < 1:
        raise ValueError(f"photos_per_shard must be at least 1, not {photos_per_shard}")
    number = images.groupby("split", sort=False).cumcount() // photos_per_shard
    return images.assign(shard=images["split"].astype("str") + "-" + number.astype("str").str.zfill(3))


class _Selection:
    """Which images and boxes are still in, as flags over the rows of the release."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.image = positions(release.boxes["image_id"], pd.Index(release.images["image_id"])).astype(np.int32)
        self.label = positions(release.boxes["label"], pd.Index(release.classes["label"])).astype(np.int32)
        if (self.image < 0).any() or (self.label < 0).any():
            raise ValueError("the release has boxes of images or labels it does not list")
        self.in_split = {split: (release.images["split"] == split).to_numpy() for split in SPLITS}
        self.images_in = np.ones(len(release.images), bool)
        self.boxes_in = np.ones(len(release.boxes), bool)
        self.steps: list[dict[str, str | int]] = []
        self._known_pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def _pairs(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct (image, class) pairs of a split; kept until it changes, as finding them is slow."""
        if split not in self._known_pairs:
            rows = self.boxes_in & self.in_split[split][self.image]
            classes = len(self.release.classes)
            pairs = pd.unique(self.image[rows].astype(np.int64) * classes + self.label[rows])
            self._known_pairs[split] = pairs // classes, pairs % classes
        return self._known_pairs[split]

    def classes_per_image(self, split: str) -> np.ndarray:
        return np.bincount(self._pairs(split)[0], minlength=len(self.images_in))

    def images_per_class(self, split: str) -> np.ndarray:
        return np.bincount(self._pairs(split)[1], minlength=len(self.release.classes))

    def shows(self, split: str, classes: np.ndarray) -> np.ndarray:
        """Flag of every image: has it a box of one of these classes?"""
        image, label = self._pairs(split)
        result = np.zeros(len(self.images_in), bool)
        result[image[classes[label]]] = True
        return result

    def sample(self, split: str, count: int, seed: int) -> np.ndarray:
        """Flags of `count` of the images left in a split, drawn uniformly; of all where there are no more."""
        rows = np.flatnonzero(self.images_in & self.in_split[split])
        # By id, so that the order of the annotation file has no say.
        rows = rows[np.argsort(self.release.images["image_id"].to_numpy(str)[rows])]
        if len(rows) > count:
            rows = np.random.default_rng(seed).choice(rows, count, replace=False)
        result = np.zeros(len(self.images_in), bool)
        result[rows] = True
        return result

    def keep_images(self, split: str, keep: np.ndarray) -> None:
        self.images_in &= keep | ~self.in_split[split]
        self.boxes_in &= self.images_in[self.image]
        self._known_pairs.pop(split, None)

    def keep_boxes(self, split: str, keep: np.ndarray) -> None:
        self.boxes_in &= keep | ~self.in_split[split][self.image]
        self._known_pairs.pop(split, None)

    def narrow(self, split: str, group_of: str, wanted: np.ndarray | None) -> None:
        """The steps every split begins with: the boxes that count, and the images that have one."""
        self.record(split, "listed")
        if group_of == "drop":
            self.keep_boxes(split, ~self.release.boxes["is_group_of"].to_numpy(bool))
            self.record(split, "boxes of single objects")
        if wanted is not None:
            self.keep_boxes(split, wanted[self.label])
            self.record(split, "boxes of the class list")
        self.keep_images(split, self.classes_per_image(split) >= 1)
        self.record(split, "images with boxes")

    def record(self, split: str, step: str) -> None:
        """Write down what is left of a split; raise EmptySubsetError where that is nothing."""
        left: dict[str, str | int] = {
            "split": split,
            "step": step,
            "images": int((self.images_in & self.in_split[split]).sum()),
            "classes": int((self.images_per_class(split) > 0).sum()),
            "boxes": int((self.boxes_in & self.in_split[split][self.image]).sum()),
        }
        if not (left["images"] and left["boxes"]):
            before = "the release lists none"
            if self.steps and self.steps[-1]["split"] == split:
                counts = ", ".join(f"{self.steps[-1][key]} {key}" for key in ("images", "classes", "boxes"))
                before = f"{counts} were left before it; loosen this filter or use a larger release"
            raise EmptySubsetError(f"the subset has no {split} images: the step {step!r} left nothing, {before}")
        self.steps.append(left)

    def result(self, chosen: np.ndarray) -> Subset:
        release = self.release
        pairs_per_class = self.images_per_class("train")
        train_boxes = self.label[self.boxes_in & self.in_split["train"][self.image]]
        classes = release.classes.assign(
            train_images=pairs_per_class, train_boxes=np.bincount(train_boxes, minlength=len(chosen))
        )[chosen]
        images = release.images.reset_index(drop=True).loc[self.images_in, IMAGE_COLUMNS]
        images = images.sort_values(["split", "image_id"])
        rank = np.empty(len(self.images_in), np.int64)
        rank[images.index.to_numpy()] = np.arange(len(images))
        rows = np.flatnonzero(self.boxes_in)
        rows = rows[np.argsort(rank[self.image[rows]], kind="stable")]
        boxes = release.boxes[BOX_COLUMNS].iloc[rows].astype({"image_id": "str", "label": "str"})
        images, boxes, classes = (table.reset_index(drop=True) for table in (images, boxes, classes))
        return Subset(images, boxes, classes, self.steps)


def _wanted_classes(classes: pd.DataFrame, class_list: Sequence[str]) -> np.ndarray:
    asked = set(class_list)
    unknown = sorted(asked - set(classes["label"]) - set(classes["name"]))
    if unknown:
        raise ValueError(
            f"the class list names {', '.join(unknown)}, which the release does not have as a label or a name"
        )
    return (classes["label"].isin(asked) | classes["name"].isin(asked)).to_numpy()


def _check_options(
    min_classes_per_image: int,
    min_images_per_class: int,
    max_images: int | None,
    rare_labels: str,
    group_of: str,
) -> None:
    for name, value in (
        ("min_classes_per_image", min_classes_per_image),
        ("min_images_per_class", min_images_per_class),
        ("max_images", max_images),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    for name, option in (("rare_labels", rare_labels), ("group_of", group_of)):
        if option not in ("keep", "drop"):
            raise ValueError(f"{name} must be keep or drop, not {option!r}")
