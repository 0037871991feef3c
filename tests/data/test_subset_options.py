"""What the paper leaves open: each reading against a plain loop over boxes, or against what it promises."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oac.data import subset
from oac.data.tables import BOX_COLUMNS, Release

LABELS = ["/a", "/b", "/c", "/d"]
ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(LABELS), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


def make_release(rows: list[tuple], splits: dict[str, str] | None = None) -> Release:
    """rows: (image, label, group-of, depiction)."""
    splits = splits or dict.fromkeys(sorted({row[0] for row in rows}), "train")
    boxes = pd.DataFrame([(i, c, 0.1, 0.2, 0.3, 0.9, g) for i, c, g, _ in rows], columns=BOX_COLUMNS)
    boxes["is_depiction"] = [row[3] for row in rows]
    images = pd.DataFrame(
        [(i, s, f"{s}/{i}.jpg", 0) for i, s in splits.items()], columns=["image_id", "split", "path", "rotation"]
    )
    return Release(images, boxes, pd.DataFrame({"label": LABELS, "name": LABELS}))


def selected(rows: list[tuple], **options: object) -> subset.Subset | None:
    try:
        return subset.select(make_release(rows), **options)
    except subset.EmptySubsetError:
        return None


def classes_of(rows: list[tuple]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for image_id, label, *_ in rows:
        found.setdefault(image_id, set()).add(label)
    return found


@settings(max_examples=150)
@given(ROWS, st.integers(1, 3), st.integers(1, 4))
def test_classes_counted_before_the_image_filter(rows: list, least: int, often: int) -> None:
    shown = classes_of(rows)
    frequent = {c for c in LABELS if sum(c in classes for classes in shown.values()) >= often}
    kept = {i for i, classes in shown.items() if len(classes) >= least and classes & frequent}
    found = selected(rows, min_classes_per_image=least, min_images_per_class=often, count_classes="boxed")
    assert (set() if found is None else set(found.images["image_id"])) == kept


@settings(max_examples=150)
@given(ROWS, st.integers(1, 3), st.integers(1, 4), st.sampled_from(["keep", "drop"]))
def test_the_fixed_point_is_the_largest_subset_where_both_filters_hold(
    rows: list, least: int, often: int, rare: str
) -> None:
    kept = list(rows)
    while True:
        before = len(kept)
        shown = classes_of(kept)
        kept = [row for row in kept if len(shown[row[0]]) >= least]
        shown = classes_of(kept)
        frequent = {c for c in LABELS if sum(c in classes for classes in shown.values()) >= often}
        kept = [r for r in kept if shown[r[0]] & frequent and (rare == "keep" or r[1] in frequent)]
        if len(kept) == before:
            break
    options = {"min_classes_per_image": least, "min_images_per_class": often, "rare_labels": rare}
    found = selected(rows, passes="fixed_point", **options)
    assert (0 if found is None else len(found.boxes)) == len(kept)
    if found is not None:
        assert sorted(zip(found.boxes["image_id"], found.boxes["label"], strict=True)) == sorted(r[:2] for r in kept)
        once = selected(rows, **options)
        assert once is not None
        assert set(found.images["image_id"]) <= set(once.images["image_id"])


@settings(max_examples=100)
@given(ROWS, st.sampled_from(["keep", "drop"]), st.sampled_from(["keep", "drop"]))
def test_flagged_boxes_can_be_left_out(rows: list, group_of: str, depictions: str) -> None:
    kept = [r for r in rows if not (r[2] and group_of == "drop") and not (r[3] and depictions == "drop")]
    options = {"min_classes_per_image": 1, "min_images_per_class": 1, "group_of": group_of, "depictions": depictions}
    found = selected(rows, **options)
    assert (0 if found is None else len(found.boxes)) == len(kept)
    if found is not None:
        assert list(found.boxes.columns) == BOX_COLUMNS
        assert sorted(found.boxes["image_id"]) == sorted(r[0] for r in kept)


MANY = [(f"i{n:03}", label, False, False) for n in range(100) for label in ("/a", "/b" if n % 2 else "/c")]


def test_classes_counted_in_the_sample() -> None:
    # 50 images show /b and 50 show /c; of 40 images about 20 do, so that none of them is left.
    found = selected(MANY, min_images_per_class=40, max_images=40, count_classes="sample")
    assert found is not None
    assert found.classes["label"].tolist() == ["/a"]
    assert [step["step"] for step in found.steps[-2:]] == [
        "sample of at most 40 images",
        "classes with at least 40 images",
    ]
    last = selected(MANY, min_images_per_class=40, max_images=40)
    assert last is not None
    assert last.classes["label"].tolist() == ["/a", "/b", "/c"]
    # The same seed draws the same images from the same set.
    assert found.images.equals(last.images)


def test_the_test_split_can_be_sampled() -> None:
    rows = MANY + [(f"t{n:03}", label, False, False) for n in range(60) for label in ("/a", "/b")]
    splits = {row[0]: "train" if row[0][0] == "i" else "test" for row in rows}
    found = subset.select(make_release(rows, splits), min_images_per_class=10, max_test_images=25)
    assert found.images["split"].value_counts().to_dict() == {"train": 100, "test": 25}
    assert found.steps[-1] == {
        "split": "test",
        "step": "sample of at most 25 images",
        "images": 25,
        "classes": 2,
        "boxes": 50,
    }


@pytest.mark.parametrize("option", [{"count_classes": "twice"}, {"passes": "two"}, {"depictions": "no"}])
def test_impossible_options_are_refused(option: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        subset.select(make_release(MANY), **option)


def test_boxes_come_in_parts_that_make_the_whole() -> None:
    found = selected(MANY, min_images_per_class=10)
    assert found is not None
    parts = list(found.box_parts(7))
    assert [len(part) for part in parts] == [7] * 28 + [4]
    assert pd.concat(parts, ignore_index=True).equals(found.boxes)


@pytest.mark.parametrize(("option", "flag"), [("depictions", "is_depiction"), ("group_of", "is_group_of")])
def test_what_a_source_does_not_mark_cannot_be_left_out(option: str, flag: str) -> None:
    """Otherwise the summary would name a step that nothing was done in."""
    release = make_release(MANY)
    unmarked = Release(release.images, release.boxes.drop(columns=flag), release.classes)
    with pytest.raises(ValueError, match=f"does not mark its boxes .{flag}."):
        subset.select(unmarked, min_images_per_class=1, **{option: "drop"})


def shown_by(rows: list[tuple], label: str) -> int:
    return len({row[0] for row in rows if row[1] == label})


@settings(max_examples=100)
@given(ROWS, st.integers(1, 3), st.integers(1, 4), st.sampled_from(["keep", "drop"]))
def test_classes_counted_among_all_boxed_images_are_counted_once(
    rows: list, least: int, often: int, rare: str
) -> None:
    """Also where the filters are repeated: the images with boxes do not become fewer."""
    frequent = {label for label in LABELS if shown_by(rows, label) >= often}
    kept = list(rows)
    while True:
        before = len(kept)
        shown = classes_of(kept)
        kept = [row for row in kept if len(shown[row[0]]) >= least and shown[row[0]] & frequent]
        kept = [row for row in kept if rare == "keep" or row[1] in frequent]
        if len(kept) == before:
            break
    options = {"min_classes_per_image": least, "min_images_per_class": often, "rare_labels": rare}
    found = selected(rows, count_classes="boxed", passes="fixed_point", **options)
    assert (0 if found is None else len(found.boxes)) == len(kept)


def test_repeated_filters_do_not_count_boxed_images_anew() -> None:
    # /b is on two images with boxes, of which one has no second class; counted anew it would be too rare.
    rows = [("a", "/a", False, False), ("a", "/b", False, False), ("b", "/b", False, False)]
    rows += [("c", "/a", False, False), ("c", "/c", False, False)]
    found = selected(rows, min_images_per_class=2, count_classes="boxed", passes="fixed_point")
    assert found is not None
    assert found.images["image_id"].tolist() == ["a"]


def test_the_seed_draws_the_sample_of_test_too() -> None:
    rows = MANY + [(f"t{n:03}", label, False, False) for n in range(60) for label in ("/a", "/b")]
    splits = {row[0]: "train" if row[0][0] == "i" else "test" for row in rows}

    def drawn(seed: int) -> list[str]:
        options = {"min_images_per_class": 10, "max_test_images": 25, "seed": seed}
        images = subset.select(make_release(rows, splits), **options).images
        return images["image_id"][images["split"] == "test"].tolist()

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(4)}) == 4


@pytest.mark.parametrize(
    ("test", "scored"),
    [
        ({"e": "/a", "f": "/b"}, True),
        ({"e": "/a", "f": "/a"}, False),
        ({"e": "/a"}, False),
        ({}, True),  # a study may have no test photos
    ],
)
def test_a_test_split_in_which_no_class_has_an_average_precision_is_refused_before_training(test, scored):
    shown = {"a": "/a", "b": "/b"} | test
    rows = [(image, label, False, False) for image, label in shown.items() for _ in range(2)]  # two boxes each
    splits = {image: "test" if image in test else "train" for image in shown}
    chosen = subset.select(make_release(rows, splits), min_classes_per_image=1, min_images_per_class=1)
    if scored:
        subset.check_scorable(chosen)
    else:
        with pytest.raises(ValueError, match="no average precision"):
            subset.check_scorable(chosen)


def test_photos_without_exactly_one_label_are_named_where_a_key_asks_for_one():
    shown = {"a": ["/a"], "b": ["/a", "/b"], "c": ["/b"], "v": ["/b", "/a"], "t": ["/a"]}
    rows = [(image, label, False, False) for image, labels in shown.items() for label in labels for _ in range(2)]
    splits = dict.fromkeys("abc", "train") | {"v": "validation", "t": "test"}
    chosen = subset.select(make_release(rows, splits), min_classes_per_image=1, min_images_per_class=1)
    said = r"probe.task is single_label, but 2 of 5 photos .* label: b of train has 2; v of validation has 2\. Leave"
    with pytest.raises(ValueError, match=said):
        subset.check_one_label(chosen, "probe.task")
    with pytest.raises(ValueError, match=r"objective is single_label, but 1 of 3 photos .* b of train has 2\. Leave"):
        subset.check_one_label(chosen, "methods.supervised.objective")
    rows = [row for row in rows if row[:2] not in (("b", "/b"), ("v", "/b"))]
    chosen = subset.select(make_release(rows, splits), min_classes_per_image=1, min_images_per_class=1)
    for key in ("probe.task", "methods.supervised.objective"):
        subset.check_one_label(chosen, key)
