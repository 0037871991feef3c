"""Training on synthetic images with planted objects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from oac.data.tables import boxes_by_image
from oac.proposals.bing_train import linear_svm, logistic_regression, train
from oac.proposals.box_regression import BORDER_FEATURES, apply_regression, fit_regression, regression_inputs
from oac.proposals.box_sources import ground_truth, random_boxes
from oac.proposals.comparison import detection_rate
from oac.proposals.suppression import pairwise_iou


def planted_images(seed, count, side=128):
    """Noise with a few filled rectangles of 24 to 56 pixels; ground-truth boxes in [0, 1]."""
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
    return train(*planted_images(0, 60), seed=0, negatives=50)


def test_finds_planted_boxes_of_new_images_better_than_random(trained):
    images, truth = planted_images(1, 40)
    rates = detection_rate([trained.propose(image, 100)[0] for image in images], truth, (10, 100))
    ids = [f"{i:03d}" for i in range(len(images))]
    rows = [(ids[i], "x", a, c, b, d, False) for i, box in enumerate(truth) for a, b, c, d in box]
    table = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax", "is_group_of"])
    random = boxes_by_image(random_boxes(ground_truth(table, ids), ids, count=100, seed=0), ids)
    chance = detection_rate(random, truth, (10, 100))
    assert rates[10] > 2 * chance[10]
    assert rates[10] > 0.5
    assert rates[100] > 0.85


def test_the_seed_decides_the_weights(trained):
    again = train(*planted_images(0, 60), seed=0, negatives=50)
    assert again.sizes == trained.sizes
    np.testing.assert_array_equal(again.weights, trained.weights)
    np.testing.assert_array_equal(again.calibration, trained.calibration)
    other = train(*planted_images(0, 60), seed=1, negatives=50)
    assert not np.array_equal(other.weights, trained.weights)


def test_only_sizes_with_enough_positives_are_kept(trained):
    # Objects have sides of 24 to 56 pixels; a window of half or twice the area overlaps them by half at most.
    sides = np.array(trained.sizes)
    assert sides.min() >= 16
    assert sides.max() <= 64
    assert (32, 32) in trained.sizes
    with pytest.raises(ValueError, match="more than 1 positives in 60 images"):
        train(*planted_images(0, 60), seed=0, sides=[256])


def test_a_sample_of_the_images_is_used_where_there_are_many():
    images, boxes = planted_images(2, 30)
    boxes[3] = np.zeros((0, 4))  # a photo without boxes teaches nothing and is no reason to stop
    sampled = train(images, boxes, seed=0, max_images=20, negatives=20)
    assert (sampled.about["images"], sampled.about["boxes"]) == (20, 60)
    everything = train(images, boxes, seed=0, max_images=None, negatives=20)
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


@pytest.mark.parametrize("penalty", [0.1, 5.0])
def test_logistic_regression_equals_scikit_learn(penalty):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(500, 4)) * [1, 3, 0.5, 1]
    labels = features @ [1, -0.5, 2, 0] + rng.logistic(size=500) > 0.7
    weights = logistic_regression(features, labels, penalty)
    oracle = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=10_000).fit(features, labels)
    expected = np.append(oracle.coef_, oracle.intercept_)
    np.testing.assert_allclose(weights, expected, atol=2e-3 * np.abs(expected).max())


def test_scores_are_log_odds_of_an_object(trained):
    images, truth = planted_images(3, 60)
    hits, odds = [], []
    for image, boxes in zip(images, truth, strict=True):
        proposals, scores = replace(trained, regression=None, nms_iou=None).propose(image, 400)
        hits.append(pairwise_iou(proposals, boxes).max(axis=1) >= 0.5)
        odds.append(scores)
    hit, chance = np.concatenate(hits), expit(np.concatenate(odds))
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.6), (0.6, 1.0)):
        inside = (chance >= low) & (chance < high)
        assert inside.sum() > 50
        assert hit[inside].mean() == pytest.approx(chance[inside].mean(), abs=0.12)


def test_without_the_additions_it_is_the_published_method(trained):
    plain = train(*planted_images(0, 60), seed=0, negatives=50, position=False, regression=False, nms_iou=None)
    assert (plain.position, plain.regression, plain.nms_iou) == (None, None, None)
    np.testing.assert_array_equal(plain.weights, trained.weights)
    images, truth = planted_images(1, 40)
    rates = [
        detection_rate([bing.propose(image, 100)[0] for image in images], truth, (10, 100), iou)
        for bing in (plain, trained)
        for iou in (0.5, 0.7)
    ]
    assert rates[0][10] > 0.4
    assert rates[2][10] > rates[0][10] - 0.05  # these images leave the additions no more to find,
    assert rates[3][10] > rates[1][10] + 0.05  # but tighter boxes


def test_the_regression_learns_a_shift_and_a_size_and_moves_stay_inside():
    rng = np.random.default_rng(2)
    low = rng.uniform(0.2, 0.5, (400, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.3, (400, 2))], axis=1)
    cells, size = rng.integers(0, 256, (400, 64)).astype(np.float32), rng.integers(0, 3, 400)
    inputs = regression_inputs(cells, boxes, size, 3)
    assert inputs.shape == (400, 64 + BORDER_FEATURES + 3)
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides * (cells[:, :2] / 255 - 0.5) * 0.4
    true_sides = sides * np.exp([[0.3, -0.2]])
    truth = np.concatenate([centre - true_sides / 2, centre + true_sides / 2], axis=1)
    moved = apply_regression(boxes, inputs, fit_regression(inputs, boxes, truth), 1000, 1000)
    assert np.diagonal(pairwise_iou(moved, truth)).mean() > 0.9
    assert np.diagonal(pairwise_iou(boxes, truth)).mean() < 0.7
    wild = apply_regression(boxes, inputs, rng.normal(size=(inputs.shape[1], 4)) * 100, 20, 7)
    assert (wild >= 0).all()
    assert (wild <= 1).all()
    assert ((wild[:, 2:] - wild[:, :2]) * [20, 7] > 0.999).all()
