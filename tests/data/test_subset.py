from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oac.data import subset
from oac.data.tables import BOX_COLUMNS, Release

LABELS = ["/a", "/b", "/c", "/d"]


def make_release(boxes: list[tuple[str, str, bool]], images: dict[str, str], categorical: bool = False) -> Release:
    """boxes: (image, label, group-of); images: id -> split."""
    frame = pd.DataFrame(
        [(i, c, 0.1, 0.2, n / 1000, 0.9, g) for n, (i, c, g) in enumerate(boxes)], columns=BOX_COLUMNS
    )
    if categorical:
        frame = frame.astype({"image_id": "category", "label": "category"})
    table = pd.DataFrame(
        [(i, s, f"{s}/{i}.jpg", 0) for i, s in images.items()],
        columns=["image_id", "split", "path", "rotation"],
    )
    return Release(table, frame, pd.DataFrame({"label": LABELS, "name": ["Ant", "Bee", "Cat", "Dog"]}))


def plain_select(boxes: list, images: dict[str, str], least: int, often: int, rare: str, group: str) -> tuple:
    """The filters again, one box at a time: (image ids by split, boxes by split, class labels, steps)."""
    steps = []
    kept: dict[str, list] = {}

    def note(split: str, ids: list[str], rows: list) -> None:
        steps.append((split, len(ids), len({c for _, c, _ in rows}), len(rows)))

    def classes_of(image_id: str, rows: list) -> set[str]:
        return {c for i, c, _ in rows if i == image_id}

    chosen: set[str] = set()
    for split in ("train", "validation", "test"):
        ids = [i for i, s in images.items() if s == split]
        if not ids:
            continue
        rows = [row for row in boxes if row[0] in ids]
        note(split, ids, rows)
        if group == "drop":
            rows = [row for row in rows if not row[2]]
            note(split, ids, rows)
        ids = [i for i in ids if classes_of(i, rows)]
        note(split, ids, rows)
        if split != "train":
            rows = [row for row in rows if row[1] in chosen]
            note(split, ids, rows)
        ids = [i for i in ids if len(classes_of(i, rows)) >= least]
        rows = [row for row in rows if row[0] in ids]
        note(split, ids, rows)
        if split == "train":
            frequent = {c for c in LABELS if sum(c in classes_of(i, rows) for i in ids) >= often}
            ids = [i for i in ids if classes_of(i, rows) & frequent]
            rows = [row for row in rows if row[0] in ids and (rare == "keep" or row[1] in frequent)]
            note(split, ids, rows)
            chosen = {c for _, c, _ in rows}
        kept[split] = [sorted(ids), sorted(rows)]
    return kept, [c for c in LABELS if c in chosen], steps


IMAGES = st.dictionaries(
    st.sampled_from("abcdefghij"), st.sampled_from(["train", "train", "validation", "test"]), min_size=1
)


@settings(max_examples=200)
@given(
    st.data(),
    IMAGES,
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from(["keep", "drop"]),
    st.booleans(),
)
def test_the_filters_are_the_plain_ones(
    data: st.DataObject, images: dict, least: int, often: int, rare: str, group: str, categorical: bool
) -> None:
    row = st.tuples(st.sampled_from(sorted(images)), st.sampled_from(LABELS), st.booleans())
    boxes = data.draw(st.lists(row, max_size=40))
    release = make_release(boxes, images, categorical)
    kept, labels, steps = plain_select(boxes, images, least, often, rare, group)
    options = {
        "min_classes_per_image": least,
        "min_images_per_class": often,
        "rare_labels": rare,
        "group_of": group,
    }
    if "train" not in kept or any(counts[1] == 0 or counts[3] == 0 for counts in steps):
        with pytest.raises(subset.EmptySubsetError):
            subset.select(release, **options)
        return
    found = subset.select(release, **options)
    assert [(s["split"], s["images"], s["classes"], s["boxes"]) for s in found.steps] == steps
    assert found.classes["label"].tolist() == labels
    for split, (ids, rows) in kept.items():
        part = found.images[found.images["split"] == split]
        assert part["image_id"].tolist() == ids
        mine = found.boxes[found.boxes["image_id"].isin(ids)]
        assert sorted(zip(mine["image_id"], mine["label"], mine["is_group_of"], strict=True)) == rows
    train = kept["train"][1]
    assert found.classes["train_boxes"].tolist() == [sum(c == label for _, c, _ in train) for label in labels]
    assert found.classes["train_images"].tolist() == [len({i for i, c, _ in train if c == label}) for label in labels]
    # Boxes follow the order of the images, and within one the order of the release.
    rank = {image_id: n for n, image_id in enumerate(found.images["image_id"])}
    keys = [(rank[i], y) for i, y in zip(found.boxes["image_id"], found.boxes["ymin"], strict=True)]
    assert keys == sorted(keys)


PLAIN = [("a", "/a", False), ("a", "/b", False), ("b", "/a", False), ("b", "/c", False), ("c", "/a", False)]


def test_the_two_readings_choose_the_same_images() -> None:
    release = make_release(PLAIN, dict.fromkeys("abc", "train"))
    published = subset.select(release, min_images_per_class=2)
    released = subset.select(release, min_images_per_class=2, rare_labels="keep")
    assert published.images.equals(released.images)
    assert published.images["image_id"].tolist() == ["a", "b"]
    assert published.classes["label"].tolist() == ["/a"]
    assert released.classes["label"].tolist() == ["/a", "/b", "/c"]


def test_an_empty_subset_names_the_step_and_what_was_left() -> None:
    release = make_release(PLAIN, dict.fromkeys("abc", "train"))
    with pytest.raises(
        subset.EmptySubsetError,
        match=r"'classes with at least 900 images' left nothing, 2 images, 3 classes, 4 boxes were left",
    ):
        subset.select(release)
    with pytest.raises(
        subset.EmptySubsetError, match=r"'boxes of the class list' left nothing, 3 images, 3 classes, 5 boxes"
    ):
        subset.select(release, class_list=["/d"])
    with pytest.raises(subset.EmptySubsetError, match="no train images: the step 'listed' left nothing"):
        subset.select(make_release(PLAIN, dict.fromkeys("abc", "test")))


def test_a_class_list_holds_labels_or_names() -> None:
    release = make_release(PLAIN, dict.fromkeys("abc", "train"))
    found = subset.select(release, min_images_per_class=1, class_list=["/a", "Bee"])
    assert found.images["image_id"].tolist() == ["a"]
    assert found.classes["label"].tolist() == ["/a", "/b"]
    with pytest.raises(ValueError, match="the class list names Elk, Fox, which"):
        subset.select(release, class_list=["Fox", "/a", "Elk"])


def test_the_sample_depends_on_the_images_alone() -> None:
    ids = [f"i{n:03}" for n in range(200)]
    boxes = [(i, c, False) for i in ids for c in ("/a", "/b")]
    release = make_release(boxes, dict.fromkeys(ids, "train"))
    turned = make_release(boxes[::-1], dict.fromkeys(ids[::-1], "train"))
    options = {"min_images_per_class": 150, "max_images": 50}
    first = subset.select(release, **options)
    assert len(first.images) == 50
    assert first.images.equals(subset.select(turned, **options).images)
    assert not first.images.equals(subset.select(release, **options, seed=1).images)
    assert first.steps[-1] == {
        "split": "train",
        "step": "sample of at most 50 images",
        "images": 50,
        "classes": 2,
        "boxes": 100,
    }
    assert len(subset.select(release, min_images_per_class=150, max_images=500).images) == 200


@pytest.mark.parametrize(
    "option", [{"max_images": 0}, {"min_classes_per_image": 0}, {"rare_labels": "some"}, {"group_of": "no"}]
)
def test_impossible_options_are_refused(option: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        subset.select(make_release(PLAIN, dict.fromkeys("abc", "train")), **option)


def test_shards_are_filled_in_order_split_by_split() -> None:
    images = pd.DataFrame({"image_id": [f"{n}" for n in range(7)], "split": ["test"] * 2 + ["train"] * 5})
    shards = subset.assign_shards(images, photos_per_shard=2)["shard"].tolist()
    assert shards == ["test-000", "test-000", "train-000", "train-000", "train-001", "train-001", "train-002"]
    many = pd.DataFrame({"image_id": np.arange(1001).astype(str), "split": "train"})
    assert subset.assign_shards(many, photos_per_shard=1)["shard"].iloc[-1] == "train-1000"
