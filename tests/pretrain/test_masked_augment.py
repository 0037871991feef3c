"""Augmentation by masks, as on a GPU, against that of augment.py, compiled and not."""

import numpy as np
import pytest
import torch

from oac.pretrain import augment
from oac.pretrain.augment import Augmentation, draw_parameters
from oac.pretrain.masked_augment import MaskedAugmentation, apply, turn_hue

SIZE, COUNT = 24, 96
GREY_LEVEL = 1 / 255
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")],
    ),
]


@pytest.fixture(scope="module")
def views():
    """Smooth, rough, black, white, gray and two-valued views: many pixels whose channels are equal or nearly so."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(COUNT, 3, 4, 4, generator=generator)
    views = (torch.nn.functional.interpolate(smooth, SIZE, mode="bilinear") * 255).to(torch.uint8)
    views[:8] = torch.randint(0, 256, (8, 3, SIZE, SIZE), generator=generator)
    views[8:24] = torch.randint(0, 3, (16, 3, SIZE, SIZE), generator=generator) * 127
    views[24:32] = views[24:32, :1]
    views[32], views[33] = 0, 255
    return views.contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def parameters():
    strong = Augmentation(brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, solarize=0.3)
    return draw_parameters(strong, np.random.default_rng(1).random((COUNT, augment.DRAWS)), SIZE)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("compiled", [False, True])
def test_views_are_the_references_to_a_grey_level(views, parameters, compiled, device):
    masked = MaskedAugmentation()
    if not compiled:
        masked.apply = apply
    ours = masked(views.to(device), parameters)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert ours.dtype == torch.float32
    difference = (ours.cpu() - augment.augment(views, parameters)) * torch.tensor(augment.STD).view(1, 3, 1, 1)
    assert difference.abs().max() <= GREY_LEVEL


def test_views_that_nothing_is_done_to_stay_as_they_are(views):
    nothing = Augmentation(jitter=0.0, grayscale=0.0, blur=0.0, flip=0.0)
    parameters = draw_parameters(nothing, np.random.default_rng(2).random((COUNT, augment.DRAWS)), SIZE)
    expected = augment.normalise(views.float() / 255)
    masked = MaskedAugmentation()
    masked.apply = apply
    torch.testing.assert_close(masked(views, parameters), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("noise", [1e-7, -1e-7])
def test_rounding_chooses_no_branch_of_the_hue(noise):
    """A fused kernel may compute the largest channel otherwise than the channels it is compared with."""
    levels = torch.linspace(0, 1, 9)
    x = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 27, 27)
    largest, smallest = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    for turn in (-0.5, -0.1, 1e-3, 0.1, 0.37):
        turn = torch.tensor(turn).view(1, 1, 1, 1)
        expected = augment.adjust_hue(x, turn)
        torch.testing.assert_close(turn_hue(x, largest + noise, smallest, turn), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(turn_hue(x, largest, smallest + noise, turn), expected, atol=1e-5, rtol=0)
        moved = x + noise * torch.tensor([1.0, -1.0, 0.5]).view(1, 3, 1, 1)
        torch.testing.assert_close(turn_hue(moved, largest, smallest, turn), expected, atol=1e-5, rtol=0)
