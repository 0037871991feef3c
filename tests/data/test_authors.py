"""The dict files of the paper's authors as a source: what they hold, and what our own subset becomes again."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from oac.data import authors, dicts, openimages, synthetic
from oac.data.subset import Subset, select

COUNTS = {"train": 80, "validation": 10, "test": 40}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    synthetic.write_release(folder, seed=3, size=48, **COUNTS)
    return folder


@pytest.fixture(scope="module")
def chosen(release: Path) -> Subset:
    found = select(openimages.read_release(release, ["train", "test"]), min_images_per_class=8)
    assert (found.images["rotation"] != 0).any()
    return found


def write(folder: Path, found: Subset) -> None:
    boxes = found.boxes
    split = boxes["image_id"].map(found.images.set_index("image_id")["split"])
    dicts.save(dicts.labels_dict(boxes[split == "train"]), folder / authors.LABELS)
    dicts.save(dicts.features_dict(boxes[split == "train"]), folder / authors.FEATURES)
    dicts.save(dicts.labels_dict(boxes[split == "test"]), folder / authors.TEST)


def test_our_own_dicts_give_our_subset_again(release: Path, chosen: Subset, tmp_path: Path) -> None:
    write(tmp_path, chosen)
    again = select(authors.read_release(tmp_path, release), min_classes_per_image=1, min_images_per_class=1)
    assert again.images.equals(chosen.images)
    assert again.classes.equals(chosen.classes)
    key = ["image_id", "label", "xmin", "ymin"]
    first, second = (table.boxes.sort_values(key, ignore_index=True) for table in (chosen, again))
    np.testing.assert_allclose(
        first[["xmin", "xmax", "ymin", "ymax"]], second[["xmin", "xmax", "ymin", "ymax"]], atol=1e-6
    )
    for column in ("image_id", "label", "is_group_of"):
        assert first[column].tolist() == second[column].tolist()
    # And their files are the same bytes.
    (tmp_path / "again").mkdir()
    write(tmp_path / "again", again)
    for name in (authors.LABELS, authors.FEATURES, authors.TEST):
        assert dicts.load(tmp_path / name) == dicts.load(tmp_path / "again" / name)


def test_rows_of_the_official_files_are_turned_with_their_photo(
    release: Path, chosen: Subset, tmp_path: Path
) -> None:
    write(tmp_path, chosen)
    labels = dicts.load(tmp_path / authors.LABELS)
    # As the authors have them: every column of the official file, as text, and rows of labels that were not chosen.
    lines = (release / openimages.box_file("train")).read_text().splitlines()[1:]
    features: dict = {}
    for line in lines:
        row = line.split(",")
        features.setdefault(row[0], {"data": []})["data"].append(row)
    dicts.save(features, tmp_path / authors.FEATURES)
    again = select(authors.read_release(tmp_path, release), min_classes_per_image=1, min_images_per_class=1)
    train = chosen.images["image_id"][chosen.images["split"] == "train"]
    mine, theirs = (table.boxes[table.boxes["image_id"].isin(train)] for table in (chosen, again))
    assert set(theirs["image_id"]) == set(labels)
    np.testing.assert_allclose(
        mine[["xmin", "xmax", "ymin", "ymax"]], theirs[["xmin", "xmax", "ymin", "ymax"]], atol=1e-6
    )
    assert mine["is_group_of"].tolist() == theirs["is_group_of"].tolist()


def test_dicts_that_contradict_each_other_are_named(release: Path, chosen: Subset, tmp_path: Path) -> None:
    write(tmp_path, chosen)
    good = {name: dicts.load(tmp_path / name) for name in (authors.LABELS, authors.FEATURES, authors.TEST)}
    first = next(iter(good[authors.LABELS]))
    test = next(iter(good[authors.TEST]))
    wrong = [
        (authors.LABELS, {"0000": ["/m/x"]}, r"images_selected_new\.npy has the image '0000', which .*train-images"),
        (authors.TEST, {"0000": ["/m/x"]}, r"test_40k\.npy has the image '0000', which .*test-images"),
        (authors.LABELS, {first: ["/m/x"]}, rf"image '{first}' has the label '/m/x' and no box of it"),
        (authors.TEST, {test: ["/m/x"]}, rf"image '{test}' has the label '/m/x', and .* has no box of it"),
        (authors.FEATURES, {}, r"all_features\.npy: image .* has no rows of boxes"),
        (authors.FEATURES, {first: {"data": [["x", 1]]}}, r"all_features\.npy: image .* has no rows of boxes"),
    ]
    for name, content, named in wrong:
        dicts.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=named):
            authors.read_release(tmp_path, release)
        dicts.save(good[name], tmp_path / name)


class Call:
    def __reduce__(self) -> tuple:
        return os.system, ("touch ran",)


def test_a_hostile_dict_is_refused(
    release: Path, chosen: Subset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, chosen)
    boxed = np.empty((), object)
    boxed[()] = {"a": Call()}
    with open(tmp_path / authors.TEST, "wb") as file:
        np.save(file, boxed, allow_pickle=True)
    with pytest.raises(dicts.UnsafePickleError, match=r"test_40k\.npy is refused: .*\.system"):
        authors.read_release(tmp_path, release)
    assert not Path("ran").exists()
    assert pickle.dumps(Call())


@pytest.mark.parametrize(
    ("flag", "group"),
    [(1, True), ("1", True), (1.0, True), ("1.0", True), (True, True), (0, False), ("0.0", False), (-1, False)],
)
def test_flags_are_read_in_every_form_a_table_writes_them(flag: object, group: bool) -> None:
    row = ["a", "canonical", "/m/x", 1, 0.1, 0.2, 0.3, 0.4, -1, -1, flag, -1, -1]
    boxes = authors._train_boxes({"a": ["/m/x"]}, {"a": {"data": [row]}}, {"a": 0}, Path("features.npy"))
    assert boxes["is_group_of"].tolist() == [group]
    assert boxes["is_group_of"].dtype == bool


def test_a_flag_that_is_none_is_named() -> None:
    row = ["a", "canonical", "/m/x", 1, 0.1, 0.2, 0.3, 0.4, -1, -1, 7, -1, -1]
    with pytest.raises(ValueError, match=r"features\.npy: image 'a' .*'7'"):
        authors._train_boxes({"a": ["/m/x"]}, {"a": {"data": [row]}}, {"a": 0}, Path("features.npy"))
