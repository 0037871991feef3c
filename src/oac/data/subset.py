"""Chooses the photos and classes of a study: the filters of OHMS, the paper's hard multi-object subset.

The paper takes, in this order, images with boxes, of them those with at least two distinct classes, and of
the classes those with at least 900 images (section on OHMS; 212,753 images and 208 classes remain of Open
Images). What it leaves open is an option here, and every step is accounted for, so that a reader can see what
it cost.

Decisions the paper leaves open, and what is done here by default:
- Classes are chosen on train alone. `count_classes` says among which images: "boxed", all with boxes, before the
  filter on images; "multi_class" (default), those that passed it, as the order of the text suggests; "sample", those
  of the sample of `max_images`, which is then drawn before the classes are chosen.
- `passes`. "one" (default) applies each filter once, so that with `rare_labels="drop"` an image may be left with a
  single class. "fixed_point" applies the filters on images and on classes in turn until both hold.
- `rare_labels`. "drop" (default) removes the boxes of classes below the threshold: 208 classes, as published. "keep"
  leaves them on the chosen images: the 576 outputs of the released probe. The train images are the same in
  both (with one pass): those that show at least one class above the threshold.
- `group_of` and `depictions`: boxes around groups, and of drawings and the like, count as any other ("keep").
- `validation` and `test` keep the images with at least `min_classes_per_image` distinct chosen classes;
  `max_test_images` bounds test by a seeded sample (the authors' has 40,000).
- The sample of `max_images` is drawn from train only and, unless classes are counted in it, last. Class counts hold
  before it then; a class that no image of the sample shows is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from oac.data.bad_boxes import EXAMPLES, BadBoxes, mend
from oac.data.selection import EmptySubsetError, Options, Selection, Subset
from oac.data.tables import IMAGE_COLUMNS, SPLITS, Release

__all__ = ["EmptySubsetError", "Options", "Subset", "assign_shards", "check_one_label", "check_scorable", "select"]


def select(release: Release, **options: Any) -> Subset:
    """Apply the filters to a release; `options` are the fields of `Options`, see there and the module's text.

    Raises EmptySubsetError, naming the step and what was left before it, where a split runs empty, and ValueError
    for options that cannot be.
    """
    chosen = Options(**options)
    if release.classes.empty:
        return _unlabelled(release, chosen)
    work = Selection(*mend(release, chosen.bad_boxes, chosen.max_bad_boxes))
    wanted = None if chosen.class_list is None else _wanted_classes(release.classes, chosen.class_list)
    _choose_train(work, chosen, wanted)
    shown = work.images_per_class("train") > 0
    only = _not_in_train(work)
    for split in SPLITS[1:]:
        if work.in_split[split].any():
            work.narrow(split, chosen, wanted)
            work.keep_labels(split, shown)
            try:
                work.record(split, "boxes of the chosen classes")
            except EmptySubsetError as error:
                if split not in only:
                    raise
                first = ", ".join(list(only[split])[:EXAMPLES])
                raise EmptySubsetError(f"{error}. Classes that train lacks: {first}") from None
            _enough_classes(work, split, chosen)
            if split == "test":
                _sample(work, split, chosen.max_test_images, chosen.seed)
    return replace(work.result(shown), not_in_train=only)


def _not_in_train(work: Selection) -> dict[str, dict[str, int]]:
    """The names of classes that other splits have and train does not, and how many boxes these have there."""
    names = work.release.classes["name"]
    counts = {
        split: np.bincount(work.label[rows[work.image]], minlength=len(names))
        for split, rows in work.in_split.items()
    }
    absent = counts["train"] == 0
    only = {
        split: {names.iloc[row]: int(counts[split][row]) for row in np.flatnonzero(absent & (counts[split] > 0))}
        for split in SPLITS[1:]
    }
    return {split: found for split, found in only.items() if found}


def _unlabelled(release: Release, options: Options) -> Subset:
    """All photos of a source without labels, or a seeded sample of them."""
    images = release.images[IMAGE_COLUMNS].sort_values("image_id", ignore_index=True)
    counts = {"files": len(images) + release.other_files, "photos, by their names": len(images)}
    if options.max_images is not None and len(images) > options.max_images:
        rows = np.random.default_rng(options.seed).choice(len(images), options.max_images, replace=False)
        images = images.iloc[np.sort(rows)].reset_index(drop=True)
        counts[f"sample of at most {options.max_images} images"] = len(images)
    steps: list[dict[str, str | int]] = [
        {"split": "train", "step": step, "images": count, "classes": 0, "boxes": 0} for step, count in counts.items()
    ]
    nothing = np.zeros(0, np.int32)
    classes = release.classes.assign(train_images=nothing, train_boxes=nothing)
    return Subset(images, classes, steps, release, nothing, nothing, nothing, BadBoxes(0))


def _choose_train(work: Selection, options: Options, wanted: np.ndarray | None) -> None:
    """The filters on train, in the paper's order."""
    work.narrow("train", options, wanted)
    boxed = work.images_per_class("train")
    _enough_classes(work, "train", options)
    if options.count_classes == "sample":
        _sample(work, "train", options.max_images, options.seed)
    while True:
        counts = boxed if options.count_classes == "boxed" else work.images_per_class("train")
        frequent = counts >= options.min_images_per_class
        work.keep_images("train", work.shows("train", frequent))
        if options.rare_labels == "drop":
            work.keep_labels("train", frequent)
        work.record("train", f"classes with at least {options.min_images_per_class} images")
        if options.passes == "one" or not _enough_classes(work, "train", options, again=True):
            break
    if options.count_classes != "sample":
        _sample(work, "train", options.max_images, options.seed)


def _enough_classes(work: Selection, split: str, options: Options, *, again: bool = False) -> bool:
    """Keep the images with enough classes and say whether that took any; of a repetition only this is recorded."""
    least = options.min_classes_per_image
    before = int(work.images_in.sum())
    work.keep_images(split, work.classes_per_image(split) >= least)
    changed = int(work.images_in.sum()) < before
    if changed or not again:
        work.record(split, f"images with at least {least} classes" + (", again" if again else ""))
    return changed


def _sample(work: Selection, split: str, count: int | None, seed: int) -> None:
    if count is not None:
        work.keep_images(split, work.sample(split, count, seed))
        work.record(split, f"sample of at most {count} images")


def check_scorable(subset: Subset) -> None:
    """Raise ValueError where no class has an average precision, which takes a test image with it and one without."""
    images = subset.images.loc[subset.images["split"] == "test", "image_id"]
    if images.empty:
        return
    shown = [part.loc[part["image_id"].isin(images), ["image_id", "label"]] for part in subset.box_parts()]
    counts = pd.concat(shown).drop_duplicates()["label"].value_counts()
    if not (counts < len(images)).any():
        raise ValueError(
            f"every class is shown by all of the {len(images):,} test images or by none of them, so that there is no"
            " average precision: take other images for test, or more of them"
        )


def check_one_label(subset: Subset, key: str) -> None:
    """Raise ValueError where a photo has no label or several, which `key` of the study file asks for.

    Such a key of a method asks it of train alone, the probe's of all splits.
    """
    images = subset.images if key.startswith("probe.") else subset.images[subset.images["split"] == "train"]
    pairs = pd.concat([part[["image_id", "label"]].drop_duplicates() for part in subset.box_parts()])
    counts = images["image_id"].map(pairs.drop_duplicates()["image_id"].value_counts()).fillna(0).astype(int)
    if (wrong := images.assign(labels=counts)[counts != 1]).empty:
        return
    first = "; ".join(f"{row.image_id} of {row.split} has {row.labels}" for row in wrong[:EXAMPLES].itertuples())
    raise ValueError(
        f"{key} is single_label, but {len(wrong):,} of {len(images):,} photos do not have exactly one label: {first}."
        f" Leave {key} out, or correct the labels of these photos"
    )


def assign_shards(images: pd.DataFrame, photos_per_shard: int = 1000) -> pd.DataFrame:
    """The images with a column `shard`: "train-000", "train-001", ... in their order, split by split."""
    if photos_per_shard < 1:
        raise ValueError(f"photos_per_shard must be at least 1, not {photos_per_shard}")
    number = images.groupby("split", sort=False).cumcount() // photos_per_shard
    return images.assign(shard=images["split"].astype("str") + "-" + number.astype("str").str.zfill(3))


def _wanted_classes(classes: pd.DataFrame, class_list: Sequence[str]) -> np.ndarray:
    asked = set(class_list)
    unknown = sorted(asked - set(classes["label"]) - set(classes["name"]))
    if unknown:
        raise ValueError(
            f"the class list names {', '.join(unknown)}, which the release does not have as a label or a name"
        )
    return (classes["label"].isin(asked) | classes["name"].isin(asked)).to_numpy()
