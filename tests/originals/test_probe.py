"""main_lincls.py of the paper's authors beside `oac.probe.metrics.batch_averaged_map`."""

import math
import time
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from oac.probe.metrics import batch_averaged_map

PHOTOS, CLASSES = 205, 30
ONLY = ("validate", "map", "AverageMeter", "ProgressMeter")


@pytest.fixture
def validate(original):
    """Give a function that lets their test loop print the mAP of scores that a network has already given."""
    theirs = original(
        "object-cropping-ssl/main_lincls.py", only=ONLY, around={"np": np, "time": time, "torch": torch}
    )
    args = types.SimpleNamespace(gpu=None, print_freq=10)

    def run(scores, targets, batch_size):
        loader = DataLoader(TensorDataset(scores, targets), batch_size=batch_size, shuffle=False)
        return theirs.validate(loader, nn.Identity(), nn.BCEWithLogitsLoss(), args)

    return run


def photos():
    """Scores without ties that say a little about labels, from classes that no photo has to one that all have."""
    generator = torch.Generator().manual_seed(0)
    share = torch.linspace(0, 1, CLASSES) ** 4
    targets = (torch.rand(PHOTOS, CLASSES, generator=generator) < share).double()
    return targets + torch.randn(PHOTOS, CLASSES, generator=generator, dtype=torch.double), targets


@pytest.mark.parametrize("batch_size", [2, 8, 32, 64, PHOTOS, 256])
def test_batch_averaged_map(validate, batch_size):
    scores, targets = photos()
    assert targets.sum(0).min() == 0
    assert targets.sum(0).max() == PHOTOS
    expected = validate(scores, targets, batch_size)
    assert batch_averaged_map(scores, targets, batch_size) == pytest.approx(expected, rel=1e-12)
    if batch_size < PHOTOS:
        assert PHOTOS % batch_size, "the last batch is smaller"
        assert abs(expected - validate(scores, targets, PHOTOS)) > 0.01, "the batch matters"


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_one_batch_without_a_label_makes_theirs_nan_and_is_left_out_here(validate):
    scores, targets = photos()
    targets[64:96] = 0
    assert math.isnan(validate(scores, targets, 32))
    others = torch.cat([torch.arange(64), torch.arange(96, PHOTOS)])
    expected = validate(scores[others], targets[others], 32)
    assert batch_averaged_map(scores, targets, 32) == pytest.approx(expected, rel=1e-12)
