from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from oac.probe import knn
from oac.probe.knn import TEMPERATURE, knn_scores


def problem(train=50, test=30, width=8, classes=3):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(train + test, width, generator=generator) * torch.logspace(-1, 1, width) + 0.5
    targets = (features[:, :classes] > 0.5).long()
    return features[:train], targets[:train], features[train:]


@pytest.mark.parametrize("k", [1, 5, 50])
def test_scores_are_those_of_scikit_learn(k, monkeypatch):
    monkeypatch.setattr(knn, "_BLOCK_ELEMENTS", 7 * 50)  # 30 test photos in blocks of 7
    train, targets, test = problem()
    oracle = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / TEMPERATURE)
    ).fit(train.numpy(), targets.numpy())
    expected = np.stack([share[:, 1] for share in oracle.predict_proba(test.numpy())], axis=1)
    np.testing.assert_allclose(knn_scores(train, targets, test, k), expected, atol=1e-4)


def test_single_labels_are_predicted_as_by_the_unnormalised_sum():
    train, _, test = problem()
    targets = torch.nn.functional.one_hot(torch.arange(len(train)) % 4)
    similarity = torch.cosine_similarity(test[:, None], train[None], dim=2)
    top = similarity.topk(5).values[:, -1:]
    votes = torch.where(similarity >= top, (similarity / TEMPERATURE).exp(), 0.0) @ targets.float()
    assert torch.equal(knn_scores(train, targets, test, 5).argmax(1), votes.argmax(1))


def test_more_neighbours_than_photos_are_all_photos():
    train, targets, test = problem()
    assert torch.equal(knn_scores(train, targets, test, 1000), knn_scores(train, targets, test, 50))


@pytest.mark.parametrize(("photos", "k"), [(50, 0), (0, 3)])
def test_wrong_input_is_refused(photos, k):
    train, targets, test = problem()
    with pytest.raises(ValueError, match="k of at least 1"):
        knn_scores(train[:photos], targets[:photos], test, k)
