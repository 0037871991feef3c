from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score

from oac.probe import bootstrap
from oac.probe.bootstrap import bootstrap_map
from oac.probe.metrics import mean_average_precision


def scored(images=50, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((images, classes)) < 0.3
    return torch.from_numpy((rng.standard_normal((images, classes)) + targets).round(1)), torch.from_numpy(targets)


def test_a_resample_is_the_map_of_the_images_drawn():
    scores, targets = scored()
    found = bootstrap_map(scores, targets, 20, seed=3)
    rng = np.random.default_rng([3, 50])
    for value in found:
        drawn = rng.integers(0, 50, 50)
        kept, truth = scores[drawn].numpy(), targets[drawn].numpy()
        ap = [average_precision_score(truth[:, c], kept[:, c]) for c in range(4) if truth[:, c].any()]
        assert value == pytest.approx(np.mean(ap), rel=1e-12)


def test_parts_do_not_change_the_resamples(monkeypatch):
    scores, targets = scored()
    whole = bootstrap_map(scores, targets, 10)
    monkeypatch.setattr(bootstrap, "CHUNK", 150)  # three at a time, and one left over
    assert np.array_equal(bootstrap_map(scores, targets, 10), whole)


def test_the_same_resamples_for_every_run_of_the_same_photos():
    """What makes differences paired: two runs that differ little have differences that vary little."""
    scores, targets = scored(images=200)
    other = scores + 0.05 * torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    first, second = (bootstrap_map(run, targets, 100) for run in (scores, other))
    assert np.std(first - second) < 0.3 * np.std(first)


def test_the_interval_covers_the_map_of_all_photos_as_often_as_it_says():
    """Of 400 test sets out of one population 380 intervals of 95 % hold its mAP, and the bounds are the binomial's.

    They hold 99.8 % of what true 95 % intervals give and leave less than a chance in a thousand to intervals of 85 %;
    those of the same resamples fail.
    """
    sets, size = 400, 300
    least, most = stats.binom.interval(0.998, sets, 0.95)
    assert stats.binom.sf(least - 1, sets, 0.85) < 1e-3
    scores, targets = scored(images=sets * size, classes=2)
    truth = mean_average_precision(scores, targets)
    parts = [slice(size * part, size * (part + 1)) for part in range(sets)]
    maps = np.stack([bootstrap_map(scores[rows], targets[rows], 200) for rows in parts])
    held = {}
    for level in (0.95, 0.85):
        low, high = np.quantile(maps, [(1 - level) / 2, (1 + level) / 2], axis=1)
        held[level] = int(((low <= truth) & (truth <= high)).sum())
    assert least <= held[0.95] <= most
    assert held[0.85] < least


def test_a_resample_without_any_positive_image_is_refused():
    targets = torch.zeros(30, 1)
    targets[0] = 1
    with pytest.raises(ValueError, match="no positive one"):
        bootstrap_map(torch.randn(30, 1), targets, 100)
