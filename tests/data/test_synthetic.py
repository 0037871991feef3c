"""The miniature release: official layout, boxes that fit, and no shortcut from colour or place to the class."""

import hashlib
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

from oac.data import openimages, subset, synthetic, synthetic_images

COUNTS = {"train": 150, "validation": 12, "test": 12}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    synthetic.write_release(folder, seed=3, size=96, **COUNTS)
    return folder


@pytest.fixture(scope="module")
def layouts():
    """A few hundred images as arrays, with the boxes the renderer measured."""
    rng = np.random.default_rng(0)
    composed = synthetic_images.compose(rng, 300, synthetic_images.Design(96))
    canvas = synthetic_images.background(rng, 300, 96, gratings=24)
    before = canvas.copy()
    boxes = synthetic_images.draw_objects(rng, canvas, composed)
    return composed, before, canvas, boxes


def test_files_have_the_official_names_columns_and_counts(release):
    for split, count in COUNTS.items():
        boxes = pd.read_csv(release / openimages.box_file(split))
        assert boxes.columns.tolist() == synthetic.BOX_FILE_COLUMNS
        assert len(boxes.columns) == 13
        images = pd.read_csv(release / openimages.image_list_file(split))
        assert images.columns.tolist() == synthetic.IMAGE_LIST_COLUMNS
        assert len(images) == len(list((release / split).glob("*.jpg"))) == count
        assert set(boxes["ImageID"]) == set(images["ImageID"])


def test_the_release_reads_like_the_real_one_and_gives_the_filters_something_to_drop(release):
    read = openimages.read_release(release, list(COUNTS))
    chosen = subset.select(read, min_classes_per_image=2, min_images_per_class=8)
    train = [step for step in chosen.steps if step["split"] == "train"]
    assert train[0]["images"] == 150
    assert 0 < train[-1]["images"] < 150, "images of one class are dropped"
    assert set(chosen.classes["label"]) == {synthetic.label_name(i) for i in synthetic_images.FREQUENT}
    assert set(read.boxes["label"]) - set(chosen.classes["label"]), "rare classes are there to be dropped"


def test_special_cases_occur(release):
    images = pd.read_csv(release / openimages.image_list_file("train"))
    assert set(images["Rotation"].unique()) & {90.0, 180.0, 270.0}
    assert pd.read_csv(release / openimages.box_file("train"))["IsGroupOf"].sum() > 0
    modes = {Image.open(path).mode for path in (release / "train").glob("*.jpg")}
    assert modes == {"RGB", "L"}


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_the_seed_decides_every_byte(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write_release(tmp_path / name, seed=seed, train=6, validation=2, test=2, size=72)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_boxes_hold_all_that_was_painted_and_fit_tightly(layouts):
    composed, before, canvas, boxes = layouts
    change = np.abs(canvas - before).max(-1)
    changed, covered = change > 0.02, change > 0.5  # a pixel can only change by more than half if covered by more
    for image in range(len(canvas)):
        inside = np.zeros((96, 96), bool)
        for box in boxes[image][composed.label[image] >= 0]:
            x0, y0, x1, y1 = box.astype(int)
            inside[y0:y1, x0:x1] = True
            painted = changed[image, y0:y1, x0:x1]
            edges = [painted[:2], painted[-2:], painted[:, :2], painted[:, -2:]]
            assert all(edge.any() for edge in edges), "a box is looser than its object"
        assert not (covered[image] & ~inside).any()
    sides = (boxes[..., 2:] - boxes[..., :2])[composed.label >= 0]
    assert (sides > 0).all()
    assert ((boxes >= 0) & (boxes <= 96) | np.isnan(boxes)).all()


def test_objects_do_not_cover_one_another(layouts):
    composed, _, _, boxes = layouts
    for image in range(300):
        placed = boxes[image][composed.label[image] >= 0]
        for a, b in itertools.combinations(placed, 2):
            overlap = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert not (overlap > 2).all()


@given(
    st.lists(st.floats(0.05, 0.85), min_size=1, max_size=3),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 5),
)
@settings(max_examples=40)
def test_objects_of_any_design_lie_in_the_image_and_cover_none(sizes, objects, seed):
    if max(objects) * max(sizes) ** 2 > 0.25:
        objects = (1, 1)
    design = synthetic_images.Design(64, sorted(objects), sizes, gratings=0)
    rng = np.random.default_rng(seed)
    composed = synthetic_images.compose(rng, 20, design)
    canvas = synthetic_images.background(rng, 20, 64, design.gratings)
    boxes = synthetic_images.draw_objects(rng, canvas, composed)
    count = (composed.label >= 0).sum(1)
    assert min(objects) <= count.min() <= count.max() <= max(objects)
    for image in range(20):
        placed = boxes[image][composed.label[image] >= 0]
        assert ((placed >= 0) & (placed <= 64)).all()
        for a, b in itertools.combinations(placed, 2):
            overlap = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert not (overlap > 2).all()
    drawn = (composed.side / 64)[composed.label >= 0]
    nearest = np.abs(drawn[:, None] / np.array(sizes) - 1).min(1)
    assert nearest.max() <= synthetic_images.VARIATION + 1e-9


@pytest.mark.parametrize("objects", [(0, 3), (4, 3), (3, 10)])
def test_objects_that_do_not_fit_are_refused(objects):
    with pytest.raises(ValueError, match="within 1 to 9"):
        synthetic_images.Design(objects=objects)


def test_neither_colour_nor_size_nor_place_tells_the_class(layouts):
    """A classifier on mean colour, its deviation, size and place stays near guessing, shape and texture apart."""
    composed, _, canvas, boxes = layouts
    features, labels = [], []
    for image, place in zip(*np.nonzero(composed.label >= 0), strict=True):
        if composed.label[image, place] in synthetic_images.RARE or composed.group[image, place]:
            continue
        x0, y0, x1, y1 = boxes[image, place]
        middle = canvas[
            image,
            int(y0 + (y1 - y0) * 0.35) : int(y1 - (y1 - y0) * 0.2),
            int(x0 * 0.65 + x1 * 0.35) : int(x0 * 0.35 + x1 * 0.65),
        ]
        features.append([*middle.mean((0, 1)), composed.side[image, place], *composed.centre[image, place]])
        labels.append(composed.label[image, place])
    features, labels = np.array(features), np.array(labels)
    features = (features - features.mean(0)) / features.std(0)
    half = len(labels) // 2
    accuracy = (
        LogisticRegression(max_iter=500).fit(features[:half], labels[:half]).score(features[half:], labels[half:])
    )
    assert accuracy < 0.18, "twelve classes: guessing gives 0.08"
