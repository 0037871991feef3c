from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score

from oac.probe.evaluate import evaluate
from oac.probe.features import TRAIN_VIEWS, Features

OPTIONS = {
    "solver": "lbfgs",
    "standardize": True,
    "weight_decays": [1e-3, 1e-2],
    "lr": 30.0,
    "epochs": 100,
    "milestones": [60, 80],
    "batch_size": 256,
    "size_edges": [0.0, 0.5, 1.0],
    "knn": 5,
}
RECIPE = {"method": "random_init", "seed": 3, "crops": {"policy": "scene-scene"}}


def study(seed: int = 0) -> tuple[dict[str, Features], pd.DataFrame, pd.DataFrame]:
    """Features of 80 train and 60 test photos, their boxes and two classes."""
    rng = np.random.default_rng(seed)
    features, rows = {}, []
    for split, count in (("train", 80), ("test", 60)):
        shown = rng.random((count, 2)) < 0.5
        values = rng.standard_normal((count, 6)) + 1.5 * shown @ rng.standard_normal((2, 6))
        ids = [f"{split}{n}" for n in range(count)]
        features[split] = Features(torch.from_numpy(values).float(), ids)
        rows += [(ids[n], "ab"[c], 0.0, rng.uniform(0.2, 1), 0.0, 0.9) for n, c in np.argwhere(shown)]
    boxes = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax"])
    return features, boxes, pd.DataFrame({"label": ["a", "b"], "name": ["A", "B"], "train_images": [40, 40]})


def metrics(features, boxes, classes, **options):
    return evaluate(features, boxes, classes, RECIPE, study="s", crops="c", options=OPTIONS | options).metrics


def test_absent_options_leave_no_trace():
    found = metrics(*study())
    assert not {"ridge", "jackknife"} & set(found)
    assert found["probe"].keys() == {*OPTIONS, "weight_decay", "validation_map"}


def test_checks_change_no_other_number():
    data = study()
    plain, checked = metrics(*data), metrics(*data, ridge=True, jackknife=True)
    del plain["probe"], checked["probe"]
    ridge, over_photos = checked.pop("ridge"), checked.pop("jackknife")
    assert checked == plain
    assert ridge["map"] == pytest.approx(plain["map"], abs=0.05)
    assert over_photos["low"] < over_photos["map"] < over_photos["high"]
    assert over_photos["map"] == pytest.approx(np.mean(over_photos["pseudo_values"]), abs=1e-6)


def test_the_commit_is_told_and_changes_nothing_else(monkeypatch):
    found = []
    for name in ("0123456789ab", "unknown"):
        monkeypatch.setattr("oac.probe.evaluate.commit", lambda name=name: name)
        found.append(metrics(*study()))
    assert [entry.pop("commit") for entry in found] == ["0123456789ab", "unknown"]
    assert found[0] == found[1]


def test_runs_of_the_same_photos_can_be_paired():
    features, boxes, classes = study()
    first = metrics(features, boxes, classes, jackknife=True)["jackknife"]["images"]
    assert metrics(features, boxes, classes, jackknife=True)["jackknife"]["images"] == first
    test = features["test"]
    fewer = features | {"test": Features(test.values[1:], test.image_ids[1:])}
    assert metrics(fewer, boxes, classes, jackknife=True)["jackknife"]["images"] != first


@pytest.mark.parametrize("validation", [False, True])
def test_the_classifier_is_trained_on_the_views_and_tested_on_the_test_view(validation):
    features, boxes, classes = study()
    if validation:
        features["validation"] = features["train"]
    train = features["train"]
    same = metrics(
        features | {TRAIN_VIEWS: Features(train.values.expand(3, -1, -1), train.image_ids)}, boxes, classes
    )
    plain = metrics(features, boxes, classes)
    assert same["map"] == pytest.approx(plain["map"], abs=1e-3)
    # Views of the opposite sign teach the opposite.
    turned = metrics(features | {TRAIN_VIEWS: Features(-train.values[None], train.image_ids)}, boxes, classes)
    assert turned["map"] < plain["map"] - 0.2


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("validation", [False, True])
def test_the_last_epoch_is_the_headline_of_the_sgd_probe(validation, views):
    """Trained on the same views of the same photos in the same order, with the chosen weight decay."""
    features, boxes, classes = study()
    if validation:
        features["validation"] = features["test"]
    if views:
        noise = torch.randn(3, *features["train"].values.shape, generator=torch.Generator().manual_seed(1))
        features[TRAIN_VIEWS] = Features(features["train"].values + noise, features["train"].image_ids)
    few = {"epochs": 5, "milestones": [3], "batch_size": 16, "lr": 1.0}
    found = metrics(features, boxes, classes, solver="sgd", best_epoch=True, **few)
    assert found["best_epoch"]["last"]["map"] == pytest.approx(found["map"], abs=1e-9)
    assert found["best_epoch"]["last"]["map_batch_256"] == pytest.approx(found["map_batch"]["256"], abs=1e-9)


def test_photos_of_validation_stand_for_the_test_photos_and_those_are_not_looked_at():
    features, boxes, classes = study()
    features["validation"] = features.pop("test")
    features["test"] = Features(torch.full((3, 6), float("nan")), ["test0", "test1", "test2"])
    found = metrics(features, boxes, classes, test="validation")
    plain = metrics({"train": features["train"], "test": features["validation"]}, boxes, classes)
    assert found["map"] == plain["map"]
    assert found["test_images"] == 60


def test_views_of_other_photos_are_refused():
    features, boxes, classes = study()
    train = features["train"]
    with pytest.raises(ValueError, match="augmented views are of other photos"):
        metrics(features | {TRAIN_VIEWS: Features(train.values[None], train.image_ids[::-1])}, boxes, classes)


def test_the_map_is_that_of_the_test_photos():
    features, boxes, classes = study()
    result = evaluate(features, boxes, classes, RECIPE, study="s", crops="c", options=OPTIONS)
    assert result.metrics["map"] == pytest.approx(result.ap.ap.mean())
    assert result.ap.test_images.sum() == len(boxes[boxes.image_id.str.startswith("test")])


def test_a_class_that_every_test_photo_shows_is_left_out_and_named():
    features, boxes, classes = study()
    before = metrics(features, boxes, classes)
    assert before["shown_by_all"] == []
    everywhere = pd.DataFrame({"image_id": features["test"].image_ids, "label": classes["label"].iloc[0]})
    corners = {"xmin": 0.1, "ymin": 0.1, "xmax": 0.4, "ymax": 0.4}
    boxes = pd.concat([boxes, everywhere.assign(**corners, is_group_of=False)], ignore_index=True)
    found = evaluate(features, boxes, classes, RECIPE, study="s", crops="c", options=OPTIONS)
    assert found.metrics["shown_by_all"] == [classes["name"].iloc[0]]
    assert found.metrics["classes"] == before["classes"] - 1
    assert np.isnan(found.ap["ap"].iloc[0])
    assert found.metrics["map"] == pytest.approx(found.ap["ap"].iloc[1:].mean())


def single_study() -> tuple[dict[str, Features], pd.DataFrame, pd.DataFrame]:
    """Features of photos of one of seven classes each."""
    rng = np.random.default_rng(1)
    names, centres = list("abcdefg"), rng.standard_normal((7, 5))
    features, rows = {}, []
    for split, count in (("train", 210), ("test", 100)):
        label = rng.integers(0, 7, count)
        ids = [f"{split}{n}" for n in range(count)]
        values = torch.from_numpy(centres[label] + rng.standard_normal((count, 5))).float()
        features[split] = Features(values, ids)
        rows += [(ids[n], names[label[n]], 0.0, 1.0, 0.0, 1.0) for n in range(count)]
    boxes = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax"])
    return features, boxes, pd.DataFrame({"label": names, "name": names, "train_images": [30] * 7})


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_photos_of_one_label_each_have_accuracies(solver):
    features, boxes, classes = single_study()
    options = {"task": "single_label", "solver": solver, "weight_decays": [1e-3], "lr": 1.0}
    found = metrics(features, boxes, classes, **options)
    label = {row.image_id: classes.label.tolist().index(row.label) for row in boxes.itertuples()}
    train, test = (np.array([label[name] for name in features[split].image_ids]) for split in ("train", "test"))
    inputs = {split: part.values.double().numpy() for split, part in features.items()}
    mean, scale = inputs["train"].mean(0), inputs["train"].std(0)
    oracle = LogisticRegression(C=1 / (1e-3 * len(train)), tol=1e-8, max_iter=5000)
    oracle.fit((inputs["train"] - mean) / scale, train)
    scores = oracle.decision_function((inputs["test"] - mean) / scale)
    assert found["top1"] == pytest.approx((scores.argmax(1) == test).mean(), abs=0.021)
    assert found["top5"] == pytest.approx(top_k_accuracy_score(test, scores, k=5, labels=range(7)), abs=0.021)
    assert 0.3 < found["top1"] < found["top5"] < 1
    assert found["map"] > 0.3
    assert found["probe"].keys() == {*OPTIONS, "task", "weight_decay", "validation_top1"}


def test_photos_of_several_labels_contradict_the_task():
    with pytest.raises(ValueError, match=r"study s, train: \d+ of 80 photos .*label"):
        metrics(*study(), task="single_label")
    assert "top1" not in metrics(*study(), task="multi_label")
