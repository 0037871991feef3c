"""What filters leave of a release, and the counts after each step; oac.data.subset says what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from oac.data import photo_sizes
from oac.data.bad_boxes import MOST_BAD, BadBoxes, Rule
from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, SPLITS, Release, positions


class EmptySubsetError(ValueError):
    """A step of the filters left nothing."""


Choice = Literal["keep", "drop"]


@dataclass(frozen=True)
class Options:
    """The named choices of the filters; what they mean stands in the text of oac.data.subset.

    group_of, depictions: "drop" removes these boxes first; ValueError where the source does not mark them.
    class_list: labels or names of the only classes. max_images, max_test_images: bounds of train and of test; a
    seeded sample depends on the set of images, not on their order. bad_boxes, max_bad_boxes: see oac.data.bad_boxes.
    """

    min_classes_per_image: int = 2
    min_images_per_class: int = 900
    count_classes: Literal["boxed", "multi_class", "sample"] = "multi_class"
    passes: Literal["one", "fixed_point"] = "one"
    rare_labels: Choice = "drop"
    group_of: Choice = "keep"
    depictions: Choice = "keep"
    class_list: Sequence[str] | None = None
    max_images: int | None = None
    max_test_images: int | None = None
    seed: int = 0
    bad_boxes: Rule = "clip"
    max_bad_boxes: float = MOST_BAD

    def __post_init__(self) -> None:
        for name in ("min_classes_per_image", "min_images_per_class", "max_images", "max_test_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        kinds = get_type_hints(type(self))
        for name in ("count_classes", "passes", "rare_labels", "group_of", "depictions", "bad_boxes"):
            allowed = get_args(kinds[name])
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Subset:
    """The chosen part of a release.

    images: IMAGE_COLUMNS, sorted by split and image_id; of a source with boxes in pixels also width and height of the
    photo as stored, by its header or else by its annotation, 0 where neither says. classes: label, name,
    train_images, train_boxes; the row is the class index. steps: one dict per split and step, with the keys split,
    step, images, classes, boxes (what was left after the step). bad_boxes: what was done to boxes before.
    not_in_train: of each other split the names of classes that train has no box of, and how many boxes these have.
    """

    images: pd.DataFrame
    classes: pd.DataFrame
    steps: list[dict[str, str | int]]
    _release: Release
    _rows: np.ndarray  # of the release's boxes
    _image: np.ndarray  # row of `images` for each of them
    _label: np.ndarray  # row of `classes`
    bad_boxes: BadBoxes
    not_in_train: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def release_names(self) -> list[str]:
        """The names of all classes of the source, chosen or not."""
        return self._release.classes["name"].tolist()

    @property
    def size_differences(self) -> dict[str, Any] | None:
        """What `photo_sizes.differences` counts of the whole source; None where there is nothing to compare."""
        release = self._release
        if release.sizes is None or release.own_sizes is None:
            return None
        return photo_sizes.differences(release.images["path"].tolist(), release.sizes, release.own_sizes)

    @property
    def other_files(self) -> int:
        """Files of the source that are no photos by their names."""
        return self._release.other_files

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the source's files, in sentences."""
        return self._release.notes

    @property
    def boxes(self) -> pd.DataFrame:
        """All boxes: BOX_COLUMNS, in the order of the images and in that of the release within one."""
        return pd.concat(self.box_parts(), ignore_index=True)

    def box_parts(self, rows: int = 1 << 19) -> Iterator[pd.DataFrame]:
        """Yield the boxes by so many rows: at full size their ids as text would not fit beside the release."""
        ids, labels = self.images["image_id"], self.classes["label"]
        for start in range(0, max(1, len(self._rows)), rows):
            part = slice(start, start + rows)
            texts = {"image_id": ids.array[self._image[part]], "label": labels.array[self._label[part]]}
            values = {name: self._release.boxes[name].to_numpy()[self._rows[part]] for name in BOX_COLUMNS[2:]}
            yield pd.DataFrame(texts | values)


class Selection:
    """Which images, classes and boxes are still in; counted over the distinct (image, class) pairs of a split."""

    def __init__(self, release: Release, bad_boxes: BadBoxes) -> None:
        self.release, self.bad_boxes = release, bad_boxes
        self.image = positions(release.boxes["image_id"], pd.Index(release.images["image_id"]))
        self.label = positions(release.boxes["label"], pd.Index(release.classes["label"]))
        if len(self.image) and (self.image.min() < 0 or self.label.min() < 0):
            raise ValueError("the release has boxes of images or labels it does not list")
        self.in_split = {split: (release.images["split"] == split).to_numpy() for split in SPLITS}
        self.images_in = np.ones(len(release.images), bool)
        self.labels_in = {split: np.ones(len(release.classes), bool) for split in SPLITS}
        self.boxes_in = np.ones(len(release.boxes), bool)  # by their flags alone
        self.steps: list[dict[str, str | int]] = []
        # Of each split that was looked at: image, class and number of boxes of its pairs.
        self._pairs: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def find_pairs(self, split: str) -> None:
        """Find the pairs of all boxes whose flags let them in; later filters only leave some of them out."""
        classes = len(self.release.classes)
        kind = np.int32 if len(self.images_in) * classes < 2**31 else np.int64
        rows = self.boxes_in & self.in_split[split][self.image]
        # Sorting in place is several times faster than hashing, and half the memory.
        keys = self.image[rows].astype(kind, copy=False)
        keys *= kind(classes)
        keys += self.label[rows]
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        counts = np.diff(first, append=len(keys))
        keys = keys[first]
        self._pairs[split] = keys // classes, keys % classes, counts

    def _filter_pairs(self, split: str, keep: np.ndarray) -> None:
        image, label, counts = self._pairs[split]
        self._pairs[split] = image[keep], label[keep], counts[keep]

    def classes_per_image(self, split: str) -> np.ndarray:
        """Number of distinct classes (images,)."""
        return np.bincount(self._pairs[split][0], minlength=len(self.images_in))

    def images_per_class(self, split: str) -> np.ndarray:
        """Number of images of a split that show each class (classes,)."""
        return np.bincount(self._pairs[split][1], minlength=len(self.release.classes))

    def boxes_per_class(self, split: str) -> np.ndarray:
        """Number of boxes of each class in a split (classes,)."""
        _, label, counts = self._pairs[split]
        return np.bincount(label, weights=counts, minlength=len(self.release.classes)).astype(np.int64)

    def shows(self, split: str, classes: np.ndarray) -> np.ndarray:
        """Flag of every image: has it a box of one of these classes?"""
        image, label, _ = self._pairs[split]
        result = np.zeros(len(self.images_in), bool)
        result[image[classes[label]]] = True
        return result

    def sample(self, split: str, count: int, seed: int) -> np.ndarray:
        """Flags of `count` of the images left in a split, drawn uniformly; of all where there are no more."""
        rows = np.flatnonzero(self.images_in & self.in_split[split])
        # By id, so that the order of the annotation file has no say.
        rows = rows[_by_id(self.release.images["image_id"].iloc[rows])]
        if len(rows) > count:
            rows = np.random.default_rng(seed).choice(rows, count, replace=False)
        result = np.zeros(len(self.images_in), bool)
        result[rows] = True
        return result

    def keep_images(self, split: str, keep: np.ndarray) -> None:
        """Leave out images of a split whose flag (images,) is not set."""
        self.images_in &= keep | ~self.in_split[split]
        self._filter_pairs(split, self.images_in[self._pairs[split][0]])

    def keep_labels(self, split: str, keep: np.ndarray) -> None:
        """Leave out, in a split, boxes of the classes whose flag (classes,) is not set."""
        self.labels_in[split] &= keep
        self._filter_pairs(split, keep[self._pairs[split][1]])

    def narrow(self, split: str, options: Options, wanted: np.ndarray | None) -> None:
        """The steps every split begins with: the boxes that count, and the images that have one."""
        self.find_pairs(split)
        self.record(split, "listed")
        for flag, choice, step in (
            ("is_group_of", options.group_of, "boxes of single objects"),
            ("is_depiction", options.depictions, "boxes of no depictions"),
        ):
            if choice == "drop":
                if flag not in self.release.boxes:
                    raise ValueError(
                        f"the source does not mark its boxes ({flag}), so that the step {step!r} cannot be done: "
                        "leave that option of data.subset out"
                    )
                self.boxes_in &= ~self.release.boxes[flag].to_numpy(bool) | ~self.in_split[split][self.image]
                self.find_pairs(split)
                self.record(split, step)
        if wanted is not None:
            self.keep_labels(split, wanted)
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
            "boxes": int(self._pairs[split][2].sum()),
        }
        if not (left["images"] and left["boxes"]):
            before = "the release lists none"
            if self.steps and self.steps[-1]["split"] == split:
                counts = ", ".join(f"{self.steps[-1][key]} {key}" for key in ("images", "classes", "boxes"))
                before = f"{counts} were left before it; loosen this filter or use a larger release"
            raise EmptySubsetError(f"the subset has no {split} images: the step {step!r} left nothing, {before}")
        self.steps.append(left)

    def result(self, chosen: np.ndarray) -> Subset:
        """Put together what is left; chosen: flags of the classes that are."""
        release = self.release
        classes = release.classes.assign(
            train_images=self.images_per_class("train"), train_boxes=self.boxes_per_class("train")
        )[chosen]
        order = np.concatenate([self._split_rows(split) for split in sorted(SPLITS)])
        rank = np.full(len(self.images_in), -1, np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        for split in SPLITS:
            if not self.labels_in[split].all():
                self.boxes_in &= self.labels_in[split][self.label] | ~self.in_split[split][self.image]
        self.boxes_in &= self.images_in[self.image]
        rows = np.flatnonzero(self.boxes_in).astype(np.int32)
        place = rank[self.image[rows]]
        if (place[1:] < place[:-1]).any():
            by_place = np.argsort(place, kind="stable")
            rows, place = rows[by_place], place[by_place]
        images = release.images[IMAGE_COLUMNS]
        if release.sizes is not None and release.own_sizes is not None:
            known = np.where(release.own_sizes > 0, release.own_sizes, release.sizes).round().astype(np.int32)
            images = images.assign(width=known[:, 0], height=known[:, 1])
        images = images.iloc[order].reset_index(drop=True)
        number = (np.cumsum(chosen) - 1).astype(np.int16 if len(chosen) < 2**15 else np.int32)
        label = number[self.label[rows]]
        return Subset(images, classes.reset_index(drop=True), self.steps, release, rows, place, label, self.bad_boxes)

    def _split_rows(self, split: str) -> np.ndarray:
        """Rows of the images left in a split, by id."""
        rows = np.flatnonzero(self.images_in & self.in_split[split])
        return rows[_by_id(self.release.images["image_id"].iloc[rows])]


def _by_id(ids: pd.Series) -> np.ndarray:
    """Order that sorts ids; the official files are sorted already, which is cheap to see."""
    text = pa.chunked_array(pa.array(ids)).combine_chunks()
    if pc.all(pc.less(text[:-1], text[1:])).as_py():
        return np.arange(len(text))
    return pc.sort_indices(text).to_numpy()
