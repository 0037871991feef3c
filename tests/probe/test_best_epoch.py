"""The best epoch on the test photos, against trainings that end at each epoch."""

import pytest
import torch

from oac.probe.best_epoch import best_epoch
from oac.probe.metrics import batch_averaged_map, mean_average_precision
from oac.probe.solvers import SGD, identity, moments, sgd

STEPS = {"lr": 5.0, "milestones": [3, 5], "batch_size": 32, "seed": 3}
WEIGHT_DECAY = 1e-4


@pytest.fixture
def data():
    torch.manual_seed(0)
    features, weight = torch.randn(900, 12), torch.randn(12, 5)
    targets = (features @ weight + 2 * torch.randn(900, 5) > 2).int()
    return (features[:400], targets[:400]), (features[400:], targets[400:])


@pytest.mark.parametrize("standardize", [False, True])
def test_the_numbers_are_those_of_trainings_that_end_at_each_epoch(data, standardize):
    train, test = data
    result = best_epoch(train, test, epochs=7, standardize=standardize, weight_decay=WEIGHT_DECAY, **STEPS)
    shift = moments(train[0]) if standardize else identity(train[0])
    maps, batches = [], []
    for epochs in range(8):
        weight, bias = sgd(train[0], train[1].float(), *shift, SGD(epochs=epochs, **STEPS), WEIGHT_DECAY)
        scores = (test[0] - shift[0]) / shift[1] @ weight.T + bias
        maps.append(mean_average_precision(scores, test[1]))
        batches.append(batch_averaged_map(scores, test[1], 256))
    assert result["last"] == pytest.approx({"map": maps[-1], "map_batch_256": batches[-1]})
    # The released code tests before an epoch: what the last one gives is never looked at.
    assert result["best"] == pytest.approx({"map": max(maps[:-1]), "map_batch_256": max(batches[:-1])})
    assert result["epoch"] == batches.index(max(batches[:-1]))
    assert maps[0] < maps[-1], "the training must teach something for the test to mean something"


def test_a_weight_that_goes_on_changing_does_not_change_what_was_seen(data):
    """The solver changes its weight in place; each test is of the numbers of its epoch."""
    train, test = data
    short = best_epoch(train, test, epochs=1, standardize=False, weight_decay=WEIGHT_DECAY, **STEPS)
    assert short["epoch"] == 0
    assert short["best"]["map"] != short["last"]["map"]
