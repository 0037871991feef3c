"""Training on scenes with planted objects."""

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import LinearSVC

from oac.data.tables import boxes_by_image
from oac.proposals.bing_train import linear_svm, train
from oac.proposals.recall import detection_rate
from oac.proposals.sources import ground_truth, random_matched


def scenes(seed, count, side=128):
    """Noise with a few filled rectangles of 24 to 56 pixels; true boxes in [0, 1]."""
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    for _ in range(count):
        image = rng.integers(90, 160, (side, side, 3)).astype(np.uint8)
        corners = rng.integers(0, side - 56, (3, 2))
        sides = rng.integers(24, 57, (3, 2))
        for (x, y), (w, h) in zip(corners, sides, strict=True):
            image[y : y + h, x : x + w] = rng.choice([0, 255], 3)
        images.append(image)
        boxes.append(np.concatenate([corners, corners + sides], axis=1) / side)
    return images, boxes


@pytest.fixture(scope="module")
def trained():
    return train(*scenes(0, 60), seed=0, negatives=50)


def test_finds_planted_boxes_of_new_scenes_better_than_random(trained):
    images, truth = scenes(1, 40)
    found = detection_rate([trained.propose(image, 100)[0] for image in images], truth, (10, 100))
    ids = [f"{i:03d}" for i in range(len(images))]
    rows = [(ids[i], "x", a, c, b, d, False) for i, box in enumerate(truth) for a, b, c, d in box]
    table = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax", "is_group_of"])
    random = boxes_by_image(random_matched(ground_truth(table, ids), ids, count=100, seed=0), ids)
    chance = detection_rate(random, truth, (10, 100))
    assert found[10] > 2 * chance[10]
    assert found[10] > 0.5
    assert found[100] > 0.85


def test_the_seed_decides_the_weights(trained):
    again = train(*scenes(0, 60), seed=0, negatives=50)
    assert again.sizes == trained.sizes
    np.testing.assert_array_equal(again.weights, trained.weights)
    np.testing.assert_array_equal(again.calibration, trained.calibration)
    other = train(*scenes(0, 60), seed=1, negatives=50)
    assert not np.array_equal(other.weights, trained.weights)


def test_only_sizes_with_enough_positives_are_kept(trained):
    # Objects have sides of 24 to 56 pixels; a window of half or twice the area overlaps them by half at most.
    sides = np.array(trained.sizes)
    assert sides.min() >= 16
    assert sides.max() <= 64
    assert (32, 32) in trained.sizes
    with pytest.raises(ValueError, match="more than 1000 positives in 60 images"):
        train(*scenes(0, 60), seed=0, min_positives=1000)


def test_a_sample_of_the_images_is_used_where_there_are_many():
    images, boxes = scenes(2, 30)
    boxes[3] = np.zeros((0, 4))  # a photo without boxes teaches nothing and is no reason to stop
    sampled = train(images, boxes, seed=0, max_images=20, negatives=20)
    assert (sampled.about["images"], sampled.about["boxes"]) == (20, 60)
    everything = train(iter(images), iter(boxes), seed=0, max_images=None, negatives=20)
    assert (everything.about["images"], everything.about["boxes"]) == (29, 87)
    with pytest.raises(ValueError, match="30 images and 29 arrays"):
        train(images, boxes[:-1], seed=0)


@pytest.mark.parametrize("cost", [0.01, 10.0])
def test_linear_svm_equals_scikit_learn(cost):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 5)) * [1, 2, 0.5, 1, 1]
    labels = features @ [1, -1, 2, 0, 0.5] + rng.normal(size=400) > 1
    weights = linear_svm(features, labels, cost)
    oracle = LinearSVC(C=cost, loss="squared_hinge", dual=False, tol=1e-8, max_iter=10_000).fit(features, labels)
    expected = np.append(oracle.coef_, oracle.intercept_)
    np.testing.assert_allclose(weights, expected, atol=2e-3 * np.abs(expected).max())
