from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score

from oac.probe.jackknife import interval, pseudo_values
from oac.probe.metrics import mean_average_precision


def scored(images=50, frequencies=(0.3,) * 4, gain=1.0, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((images, len(frequencies))) < frequencies
    return torch.from_numpy((rng.standard_normal(targets.shape) + gain * targets).round(1)), torch.from_numpy(targets)


def slow_map(scores, targets):
    present = np.flatnonzero(targets.any(0) & ~targets.all(0))
    return np.mean([average_precision_score(targets[:, c], scores[:, c]) for c in present])


@pytest.mark.parametrize("frequencies", [(0.3,) * 4, (0.02, 0.02, 0.3), (0.9, 0.0, 1.0)])
def test_pseudo_values_are_those_of_leaving_each_image_out(frequencies):
    """With scores that are often equal, and classes of one positive image, of none and of all."""
    scores, targets = (part.numpy() for part in scored(frequencies=frequencies))
    if frequencies[0] < 0.1:
        targets[:, 0] = np.arange(50) == 7
    whole = slow_map(scores, targets)
    expected = [
        50 * whole - 49 * slow_map(np.delete(scores, i, axis=0), np.delete(targets, i, axis=0)) for i in range(50)
    ]
    found = pseudo_values(torch.from_numpy(scores), torch.from_numpy(targets))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_interval_is_students_of_the_pseudo_values():
    values = np.random.default_rng(0).random(30)
    assert interval(values) == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval()))


@pytest.mark.parametrize(
    ("frequencies", "gain"),
    [((0.3, 0.3), 1.0), (tuple(np.geomspace(0.03, 0.3, 8)), 0.5), (tuple(np.geomspace(0.02, 0.1, 8)), 1.5)],
)
def test_the_interval_covers_the_map_of_all_photos_as_often_as_it_says(frequencies, gain):
    """Of 400 test sets out of one population 380 intervals of 95 % hold its mAP, and the bound is the binomial's.

    It is passed by 99.9 % of what true 95 % intervals give, and by those of 85 % once in a thousand. Classes are as
    frequent as VOC2007's, and rarer, where an interval around the uncorrected mAP fails.
    """
    sets, size = 400, 300
    least = stats.binom.ppf(0.001, sets, 0.95)
    assert stats.binom.sf(least - 1, sets, 0.85) < 1e-3
    scores, targets = scored(sets * size, frequencies, gain)
    truth = mean_average_precision(scores, targets)
    held, uncorrected = 0, 0
    for part in range(sets):
        rows = slice(size * part, size * (part + 1))
        low, high = interval(pseudo_values(scores[rows], targets[rows]))
        held += low <= truth <= high
        uncorrected += abs(mean_average_precision(scores[rows], targets[rows]) - truth) <= (high - low) / 2
    print(f"{held / sets:.3f} hold it, around the uncorrected mAP {uncorrected / sets:.3f}")
    assert held >= least
    if min(frequencies) < 0.1:
        assert uncorrected < least


def test_one_positive_image_is_no_sample():
    targets = torch.zeros(30, 1)
    targets[0] = 1
    with pytest.raises(ValueError, match="only one of 30 images is positive"):
        pseudo_values(torch.randn(30, 1), targets)
