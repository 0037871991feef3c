"""The numbers of a run's metrics against slow plain ones: which photos, which classifier, which mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score

from oac.probe.evaluate import evaluate, images_seen
from oac.probe.features import Features
from oac.probe.linear import fit, hold_out

OPTIONS = {
    "solver": "lbfgs",
    "standardize": True,
    "weight_decays": [0.05],
    "lr": 0.5,
    "epochs": 6,
    "milestones": [3, 5],
    "batch_size": 16,
    "size_edges": [0.0, 0.5, 1.0],
    "knn": 5,
}
RECIPE = {"method": "random_init", "seed": 3, "crops": {"policy": "scene-scene"}}
COUNTS = {"train": 60, "validation": 40, "test": 600}
CLASSES = pd.DataFrame({"label": list("abc"), "name": list("ABC"), "train_images": 20})


@pytest.fixture(scope="module")
def made():
    """Features, boxes and targets of photos of three classes; objects of the last are large."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((3, 8))
    features, targets, rows = {}, {}, []
    for split, count in COUNTS.items():
        shown = rng.random((count, 3)) < 0.3
        ids = [f"{split}{n}" for n in range(count)]
        values = rng.standard_normal((count, 8)) + 0.8 * shown @ centres
        features[split], targets[split] = Features(torch.from_numpy(values).float(), ids), shown
        for photo, label in np.argwhere(shown):
            width = rng.uniform(0.7, 1.0) if label == 2 else rng.uniform(0.1, 1.0)
            rows.append((ids[photo], "abc"[label], 0.0, width, 0.0, 0.9))
    boxes = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax"])
    return features, boxes, targets


def evaluated(made, *, validation=True, **options):
    features, boxes, _ = made
    kept = {split: part for split, part in features.items() if validation or split != "validation"}
    return evaluate(kept, boxes, CLASSES, RECIPE, study="s", crops="c", options=OPTIONS | options)


def scores_of(made, rows=slice(None)):
    """Scores of the test photos by a classifier of some rows of train, and their truth."""
    features, _, targets = made
    probe = fit(
        features["train"].values[rows],
        torch.from_numpy(targets["train"][rows]),
        solver="lbfgs",
        standardize=True,
        weight_decay=0.05,
    )
    return probe.scores(features["test"].values).numpy(), targets["test"]


def mean_ap(scores, truth):
    present = truth.any(0)
    return np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in np.flatnonzero(present)])


def test_the_batch_averaged_map_is_taken_with_every_size(made):
    scores, truth = scores_of(made)
    found = evaluated(made).metrics["map_batch"]
    assert set(found) == {"32", "64", "256"}
    for size in (32, 64, 256):
        parts = [slice(start, start + size) for start in range(0, len(truth), size)]
        means = [mean_ap(scores[part], truth[part]) for part in parts]
        weights = [len(truth[part]) for part in parts]
        assert found[str(size)] == pytest.approx(np.average(means, weights=weights), abs=1e-6)
    assert found["32"] > found["64"] > found["256"]


def test_after_a_fifth_was_held_out_the_classifier_is_trained_on_all_of_train(made):
    kept, _ = hold_out(COUNTS["train"], seed=0)
    whole, part = (mean_ap(*scores_of(made, rows)) for rows in (slice(None), kept))
    found = evaluated(made, validation=False).metrics["map"]
    assert abs(whole - part) > 1e-3, "the held out photos must matter for the test to mean something"
    assert found == pytest.approx(whole, abs=1e-4)


def test_the_last_epoch_is_that_of_the_sgd_probe_on_the_test_photos(made):
    """Where the study's solver is SGD the two are one training: the same photos, weight decay and seed."""
    found = evaluated(made, solver="sgd", best_epoch=True).metrics
    last = found["best_epoch"]["last"]
    assert last["map"] == pytest.approx(found["map"], abs=1e-6)
    assert last["map_batch_256"] == pytest.approx(found["map_batch"]["256"], abs=1e-6)
    weak = evaluated(made, solver="sgd", best_epoch=True, weight_decays=[0.0]).metrics["best_epoch"]["last"]
    assert abs(weak["map"] - last["map"]) > 1e-3, "the weight decay must matter for the test to mean something"


def test_the_interval_over_photos_is_the_jackknifes_of_the_test_photos(made):
    scores, truth = scores_of(made)
    found, n = evaluated(made, jackknife=True).metrics["jackknife"], len(truth)
    without = [mean_ap(np.delete(scores, i, axis=0), np.delete(truth, i, axis=0)) for i in range(n)]
    values = n * mean_ap(scores, truth) - (n - 1) * np.array(without)
    assert found["map"] == pytest.approx(values.mean(), abs=1e-4)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_the_mean_of_a_size_is_over_the_classes_that_have_it(made):
    scores, truth = scores_of(made)
    _, boxes, _ = made
    table = evaluated(made).ap_by_size
    widths = boxes.set_index(["image_id", "label"]).xmax
    area = np.full(truth.shape, np.nan)
    for photo, label in np.argwhere(truth):
        area[photo, label] = 0.9 * widths[f"test{photo}", "abc"[label]]
    for row, (inside, present) in enumerate(((area < 0.5, [0, 1]), (area >= 0.5, [0, 1, 2]))):
        expected = []
        for c in present:
            used = ~truth[:, c] | inside[:, c]
            expected.append(average_precision_score(inside[used, c], scores[used, c]))
        assert table.ap[row] == pytest.approx(np.mean(expected), abs=1e-6)
        assert table.classes[row] == len(present)


@pytest.mark.parametrize(("asked", "seen"), [(1000, 768), (1024, 1024), (256, 256), (511, 256)])
def test_a_run_sees_whole_batches(asked, seen):
    photos = [str(number) for number in range(50)]
    boxes = pd.DataFrame({"image_id": [*photos, *photos, "another split's"]})
    options = {"options": {"batch_size": 256}}
    assert images_seen(options | {"images_seen": asked}, photos[:7], boxes) == seen
    assert images_seen(options | {"epochs": asked / 50}, photos, boxes) == seen
    assert images_seen(options | {"epochs": asked / 100, "budget": "boxes"}, photos, boxes) == seen
    assert images_seen({"method": "random_init"}, photos, boxes) == 0
