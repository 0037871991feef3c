from __future__ import annotations

import pandas as pd
import pytest

from oac.data.subset import EmptySubsetError, select
from oac.data.subset_summary import OHMS, names_alike, notes, page, subset_summary
from oac.data.tables import BOX_COLUMNS, Release


def test_the_account_counts_the_subset_and_stands_beside_the_papers() -> None:
    rows = [(f"i{n}", label, 0.1, 0.2, 0.3, 0.9, False) for n in range(6) for label in ("/a", "/a", "/b")]
    rows += [("i0", "/c", 0.1, 0.2, 0.3, 0.9, False), ("t0", "/a", 0.1, 0.2, 0.3, 0.9, False)]
    rows += [("t0", "/b", 0.1, 0.2, 0.3, 0.9, False)]
    images = [(f"i{n}", "train", f"train/i{n}.jpg", 0) for n in range(6)] + [("t0", "test", "test/t0.jpg", 0)]
    release = Release(
        pd.DataFrame(images, columns=["image_id", "split", "path", "rotation"]),
        pd.DataFrame(rows, columns=BOX_COLUMNS),
        pd.DataFrame({"label": ["/a", "/b", "/c"], "name": ["Ant", "Bee", "Cat"]}),
    )
    options = {"source": "openimages", "subset": {"min_images_per_class": 2}}
    found = subset_summary("mine", options, select(release, **options["subset"]))
    assert found["ours"] == {
        "train_images": 6,
        "classes": 2,
        "objects_per_image": 3.0,
        "fewest_images_of_a_class": 6,
        "most_images_of_a_class": 6,
        "test_images": 1,
    }
    assert found["ours"].keys() == OHMS.keys()
    assert (found["splits"], found["classes"], found["boxes"]) == ({"test": 1, "train": 6}, 2, 20)
    text = page(found)
    assert "| train images | 6 | 212,753 |" in text
    assert "| objects a train image (mean) | 3.0 | about 12 |" in text
    assert "| train | classes with at least 2 images | 6 | 2 | 18 |" in text
    assert "min_images_per_class: 2" in text


def test_names_that_differ_in_case_alone_are_named_together() -> None:
    assert names_alike(["Dog", "cat", "dog", "DOG", "CAR"]) == [["DOG", "Dog", "dog"]]
    assert names_alike(["STRASSE", "Straße", "tree"]) == [["STRASSE", "Straße"]]
    nfd, wide, hidden = "cafe\u0301", "\uff43af\u00e9", "caf\u00e9\u200b"
    assert names_alike(["caf\u00e9", nfd, "cafe", wide, hidden]) == [sorted(["caf\u00e9", nfd, wide, hidden])]
    found = notes({"names_alike": [["Dog", "dog"], ["Cat", "cat"]]})
    assert len(found) == 1
    assert "differ in case" in found[0]
    assert "Dog, dog; Cat, cat" in found[0]
    assert notes({"names_alike": []}) == notes({}) == []


def release_of(rows: list[tuple[str, str, str]]) -> Release:
    """A release of boxes: photo, split, class."""
    images = list(dict.fromkeys((image, split, image, 0) for image, split, _ in rows))
    names = sorted({label for _, _, label in rows})
    return Release(
        pd.DataFrame(images, columns=["image_id", "split", "path", "rotation"]),
        pd.DataFrame([(image, label, 0.1, 0.2, 0.3, 0.9, False) for image, _, label in rows], columns=BOX_COLUMNS),
        pd.DataFrame({"label": names, "name": names}),
    )


@pytest.mark.parametrize("other", ["Caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("least", [1, 2])
def test_a_class_that_test_alone_spells_so_is_named_with_its_boxes(other: str, least: int) -> None:
    rows = [("a", "train", "caf\u00e9"), ("b", "train", "dog"), ("c", "train", "dog"), ("t", "test", "dog")]
    rows += [("t", "test", other)] * 3 + [("v", "validation", "ox"), ("v", "validation", "dog")]
    found = subset_summary(
        "s",
        {"source": "voc", "subset": {}},
        select(release_of(rows), min_classes_per_image=1, min_images_per_class=least),
    )
    assert found["names_alike"] == [sorted(["caf\u00e9", other])]  # also of classes that the filters leave out
    assert found["not_in_train"] == {"validation": {"ox": 1}, "test": {other: 3}}
    assert f"{other} (3)" in " ".join(notes(found))


def test_a_split_of_which_train_has_no_class_says_which() -> None:
    rows = [("a", "train", "dog"), ("t", "test", "Dog")]
    with pytest.raises(EmptySubsetError, match=r"Classes that train lacks: Dog$"):
        select(release_of(rows), min_classes_per_image=1, min_images_per_class=1)


def test_a_class_of_train_that_is_too_rare_is_not_said_to_be_absent() -> None:
    rows = [("a", "train", "ox"), ("b", "train", "dog"), ("c", "train", "dog"), ("t", "test", "dog")]
    rows += [("t", "test", "ox")]
    assert select(release_of(rows), min_classes_per_image=1, min_images_per_class=2).not_in_train == {}
