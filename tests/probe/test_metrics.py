from __future__ import annotations

import math
import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from oac.probe import metrics
from oac.probe.metrics import (
    average_precision,
    average_precision_by_size,
    batch_averaged_map,
    mean_average_precision,
    top_k_accuracy,
)


@st.composite
def scored(draw, max_images=40, max_classes=4):
    """Scores with many ties (a handful of levels) or almost none, and targets with empty and full classes."""
    shape = (draw(st.integers(1, max_images)), draw(st.integers(1, max_classes)))
    levels = draw(st.sampled_from([1, 2, 4, 1000]))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(-levels, levels))) / 7.0
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    chance = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    return scores.astype(draw(st.sampled_from([np.float32, np.float64]))), (chance <= share).astype(np.uint8)


def sklearn_ap(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """scikit-learn's AP class by class, NaN where it has no positive or no negative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [
                average_precision_score(targets[:, c], scores[:, c]) if 0 < targets[:, c].mean() < 1 else math.nan
                for c in range(scores.shape[1])
            ]
        )


def long_tailed(images: int, classes: int, separation: float, seed: int = 0):
    """Scores N(0, 1) of absent and N(separation, 1) of present classes, which follow Zipf's law."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, classes + 1)
    targets = rng.random((images, classes)) < np.minimum(3.4 * frequency / frequency.sum(), 0.6)
    scores = rng.standard_normal((images, classes)) + separation * targets
    return torch.from_numpy(scores), torch.from_numpy(targets)


@settings(max_examples=200)
@given(scored())
def test_average_precision_is_that_of_scikit_learn(data):
    scores, targets = data
    ours = average_precision(torch.from_numpy(scores), torch.from_numpy(targets))
    np.testing.assert_allclose(ours.numpy(), sklearn_ap(scores, targets), rtol=1e-12)


def test_blocks_of_classes_do_not_change_the_result(monkeypatch):
    scores, targets = long_tailed(300, 7, 1.0)
    whole = average_precision(scores, targets)
    monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 650)  # two classes at a time, and one left over
    assert torch.equal(average_precision(scores, targets), whole)


def test_scores_and_targets_stay_as_they_are():
    """A single class is the case in which a transposed array needs no copy, and could be sorted by mistake."""
    scores, targets = long_tailed(50, 1, 1.0)
    before, area = scores.clone(), torch.rand(50, 1).where(targets, torch.nan)
    average_precision(scores, targets)
    batch_averaged_map(scores, targets, 7)
    average_precision_by_size(scores, targets, area, [0.0, 1.0])
    assert torch.equal(scores, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_any_type_of_scores(dtype):
    scores, targets = long_tailed(200, 3, 1.0)
    scores = (10 * scores).round().to(dtype)
    assert torch.equal(average_precision(scores, targets), average_precision(scores.double(), targets))


@settings(max_examples=50)
@given(scored(), st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(data, random):
    scores, targets = (torch.from_numpy(part) for part in data)
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = average_precision(scores[order], targets[order])
    assert torch.allclose(shuffled, average_precision(scores, targets), rtol=1e-12, equal_nan=True)


def test_monotone_change_of_scores_does_not_matter():
    scores, targets = long_tailed(200, 5, 1.0)
    assert torch.equal(average_precision(scores.sigmoid(), targets), average_precision(scores, targets))


def test_thousands_of_photos_have_the_oracles_ap_with_ties_empty_and_full_classes():
    scores, targets = long_tailed(5000, 6, 1.0)
    scores[:, 1:3] = scores[:, 1:3].round(decimals=1)
    scores[:, 3] = 0.0
    targets[:, 4], targets[:, 5] = False, True
    found = average_precision(scores, targets).numpy()
    np.testing.assert_allclose(found, sklearn_ap(scores.numpy(), targets.numpy()), rtol=0, atol=1e-12)
    assert np.isnan(found[4:]).all()


def test_infinite_scores_are_ordered_like_any_other():
    scores = torch.tensor([[math.inf], [math.inf], [0.0], [-math.inf]])
    targets = torch.tensor([[1], [0], [0], [1]])
    # Both infinite scores form one step: precision 1/2 at recall 1/2, then 2/4 at recall 1.
    assert average_precision(scores, targets).item() == pytest.approx(0.5)


def test_empty_class_is_nan_and_left_out_of_the_mean():
    scores, targets = torch.tensor([[0.9, 0.1], [0.2, 0.3]]), torch.tensor([[0, 0], [1, 0]])
    assert average_precision(scores, targets).isnan().tolist() == [False, True]
    assert mean_average_precision(scores, targets) == pytest.approx(0.5)


def test_a_class_that_every_image_shows_is_nan_and_left_out_of_the_mean():
    """Its AP would be 1 for any scores; the released, batch-averaged metric counts it."""
    scores, targets = torch.tensor([[0.9, 0.1], [0.2, 0.3]]), torch.tensor([[0, 1], [1, 1]])
    assert average_precision(scores, targets).isnan().tolist() == [False, True]
    assert mean_average_precision(scores, targets) == pytest.approx(0.5)
    assert batch_averaged_map(scores, targets, 2) == pytest.approx(0.75)
    area = torch.tensor([[math.nan, 0.1], [0.2, 0.9]])
    by_size = average_precision_by_size(scores, targets, area, [0.0, 0.5, 1.0])
    assert by_size.ap.isnan().tolist() == [[False, True], [True, True]]
    with pytest.raises(ValueError, match="no class has a positive image and one that is not"):
        mean_average_precision(scores[:, 1:], targets[:, 1:])


def test_no_images_and_no_positive_at_all():
    assert average_precision(torch.zeros(0, 3), torch.zeros(0, 3)).isnan().all()
    with pytest.raises(ValueError, match="no class has a positive"):
        mean_average_precision(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no class has a positive"):
        batch_averaged_map(torch.zeros(2, 3), torch.zeros(2, 3), 1)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (torch.tensor([[0.0, math.nan]]), torch.ones(1, 2), "image 0, class 1"),
        (torch.zeros(2, 3), torch.zeros(3, 2), r"\(2, 3\) and \(3, 2\)"),
        (torch.zeros(3), torch.zeros(3), "images, classes"),
        (torch.zeros(1, 1), -torch.ones(1, 1), "0 or 1"),
    ],
)
def test_wrong_input_is_refused(scores, targets, message):
    for metric in (average_precision, lambda *both: batch_averaged_map(*both, 2)):
        with pytest.raises(ValueError, match=message):
            metric(scores, targets)


def released_map(scores: np.ndarray, targets: np.ndarray, batch_size: int) -> float:
    """The batch-averaged mAP from its description: a running mean, weighted by the images of a batch."""
    total, count = 0.0, 0
    for start in range(0, len(scores), batch_size):
        batch, truth = scores[start : start + batch_size], targets[start : start + batch_size]
        aps = []
        for c in range(scores.shape[1]):
            ranked = truth[np.argsort(-batch[:, c]), c]
            found = np.flatnonzero(ranked)
            if len(found):
                aps.append(np.mean([(i + 1) / (rank + 1) for i, rank in enumerate(found)]))
        total, count = total + np.mean(aps) * len(batch), count + len(batch)
    return total / count


@settings(max_examples=40)
@given(st.integers(1, 120), st.sampled_from([256, 64, 32, 8]), st.integers(1, 9))
def test_batch_average_for_any_number_of_gpus(images, total, gpus):
    """The released loader gives each GPU batches of 256 / GPUs and every rank scores the whole set."""
    scores, targets = long_tailed(images, 5, 1.0, seed=images)
    targets[:, 0] = True
    size = max(1, total // gpus)
    expected = released_map(scores.numpy(), targets.numpy(), size)
    assert batch_averaged_map(scores, targets, size) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 100, 1000])
def test_batch_average_is_the_released_metric(batch_size):
    scores, targets = long_tailed(100, 12, 1.0)
    targets[:, 0] = True  # no batch without any label, as in images chosen for their labels; and no ties
    expected = released_map(scores.numpy(), targets.numpy(), batch_size)
    assert batch_averaged_map(scores, targets, batch_size) == pytest.approx(expected, rel=1e-12)


def test_last_short_batch_weighs_by_its_images():
    scores = torch.tensor([[2.0], [1.0], [0.0], [5.0], [4.0]])
    targets = torch.tensor([[0], [1], [0], [1], [0]])
    # Batches of 3 and 2 with AP 1/2 and 1.
    assert batch_averaged_map(scores, targets, 3) == pytest.approx((3 * 0.5 + 2 * 1.0) / 5)


def test_batch_without_a_label_is_left_out():
    scores, targets = torch.tensor([[2.0], [1.0], [3.0], [4.0]]), torch.tensor([[0], [1], [0], [0]])
    assert batch_averaged_map(scores, targets, 2) == pytest.approx(0.5)


def test_one_batch_is_the_data_set_mean():
    scores, targets = long_tailed(150, 6, 1.0)
    assert batch_averaged_map(scores, targets, 150) == pytest.approx(
        mean_average_precision(scores, targets), rel=1e-12
    )


def test_small_batches_inflate_the_mean():
    """The batch mean is far above the data set's, most so for small batches, and even at chance."""
    chance = long_tailed(4096, 100, 0.0)
    assert batch_averaged_map(*chance, 32) > 4 * mean_average_precision(*chance)
    better = long_tailed(4096, 100, 1.5)
    whole, *batches = (
        mean_average_precision(*better),
        *(batch_averaged_map(*better, n) for n in (256, 128, 64, 32)),
    )
    assert whole + 0.05 < batches[0]
    assert batches == sorted(batches)
    assert batches[-1] > whole + 0.25


def brute_by_size(scores, targets, area, edges):
    """AP by size bin through scikit-learn on the images that count."""
    bins, classes = len(edges) - 1, scores.shape[1]
    result = np.full((bins, classes), math.nan)
    for b in range(bins):
        for c in range(classes):
            last = b == bins - 1
            low, high = edges[b], edges[b + 1]
            inside = [bool(low <= a < high or (last and a == high)) for a in area[:, c]]
            kept = [i for i in range(len(scores)) if inside[i] or not targets[i, c]]
            if any(inside) and not targets[:, c].all():
                result[b, c] = average_precision_score(np.array(inside)[kept], scores[kept, c])
    return result


@settings(max_examples=60)
@given(scored(max_images=25, max_classes=3), st.integers(0, 2**32 - 1))
def test_average_precision_by_size_is_the_brute_force(data, seed):
    scores, targets = data
    edges = [0.0, 0.25, 0.5, 1.0]
    area = np.random.default_rng(seed).integers(0, 9, scores.shape) / 8.0  # often on an edge
    area[targets == 0] = math.nan
    result = average_precision_by_size(*(torch.from_numpy(part) for part in (scores, targets, area)), edges)
    np.testing.assert_allclose(result.ap.numpy(), brute_by_size(scores, targets, area, edges), rtol=1e-12)
    assert torch.equal(result.positives.sum(0), torch.from_numpy(targets.astype(np.int64)).sum(0))


def test_one_size_bin_of_everything_is_the_ordinary_average_precision():
    scores, targets = long_tailed(200, 5, 1.0)
    area = torch.rand(200, 5, generator=torch.Generator().manual_seed(0)).where(targets, torch.nan)
    result = average_precision_by_size(scores, targets, area, [0.0, 1.0])
    assert torch.equal(result.ap[0], average_precision(scores, targets))


def test_objects_outside_all_bins_count_nowhere():
    scores, targets = torch.tensor([[3.0], [2.0], [1.0]]), torch.tensor([[1], [0], [1]])
    area = torch.tensor([[0.9], [math.nan], [0.1]])
    result = average_precision_by_size(scores, targets, area, [0.0, 0.5])
    assert result.positives.tolist() == [[1]]
    assert result.ap.item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("area", "edges", "message"),
    [
        (torch.tensor([[math.nan], [math.nan]]), [0, 1], "image 0, class 0"),
        (torch.tensor([[0.5], [0.5]]), [0, 1], "image 1, class 0"),
        (torch.tensor([[0.5], [math.nan]]), [0.5, 0.5], "increasing"),
        (torch.tensor([[0.5], [math.nan]]), [0.5], "increasing"),
        (torch.tensor([0.5, math.nan]), [0, 1], "shape"),
    ],
)
def test_areas_that_do_not_fit_are_refused(area, edges, message):
    with pytest.raises(ValueError, match=message):
        average_precision_by_size(torch.zeros(2, 1), torch.tensor([[1], [0]]), area, edges)


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
def test_top_k_accuracy_is_scikit_learns_without_ties(k):
    rng = np.random.default_rng(k)
    scores, label = rng.standard_normal((300, 7)), rng.integers(0, 7, 300)
    ours = top_k_accuracy(torch.from_numpy(scores), torch.eye(7)[label], k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of k as large as the number of classes
        expected = top_k_accuracy_score(label, scores, k=k, labels=range(7))
    assert ours == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 6), st.lists(st.integers(0, 2), min_size=1, max_size=5), st.data())
def test_classes_of_one_score_are_in_a_fair_order(k, levels, data):
    """Of every order of the classes, which a stable sort by score then keeps among equals: the share with a hit."""
    own = data.draw(st.integers(0, len(levels) - 1))
    orders = list(permutations(range(len(levels))))
    hits = sum(own in sorted(order, key=lambda c: -levels[c])[:k] for order in orders)
    scores, targets = torch.tensor([levels], dtype=torch.float32), torch.eye(len(levels))[[own]]
    assert top_k_accuracy(scores, targets, k) == pytest.approx(hits / len(orders), abs=1e-12)


def test_top_k_accuracy_refuses_what_has_no_answer():
    scores = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        top_k_accuracy(scores, torch.eye(3)[[0, 1, 2, 0]], 0)
    with pytest.raises(ValueError, match="4 of 4 photos"):
        top_k_accuracy(scores, torch.zeros(4, 3), 1)
    with pytest.raises(ValueError, match="scores are NaN"):
        top_k_accuracy(scores / 0, torch.eye(3)[[0, 1, 2, 0]], 1)
