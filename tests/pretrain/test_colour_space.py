"""Lab against published colours and a slow reference, one pixel at a time."""

import numpy as np
import pytest
import torch

from oac.pretrain import augment
from oac.pretrain.colour_space import normalised_to_lab, rgb_to_lab


def slow_lab(rgb):
    """CIE 1976 Lab of one sRGB colour under D65."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    r, g, b = linear
    x = 0.412453 * r + 0.357580 * g + 0.180423 * b
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = 0.019334 * r + 0.119193 * g + 0.950227 * b

    def f(t):
        return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116

    fx, fy, fz = f(x / 0.95047), f(y), f(z / 1.08883)
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)]


@pytest.mark.parametrize(
    ("rgb", "lab"),  # as colour tables give them, two decimals
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(rgb, lab):
    ours = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten().tolist()
    assert ours == pytest.approx(lab, abs=0.02)


def test_any_colour_equals_the_slow_reference():
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)) ** 3  # dark ones too, where f is a line
    ours = rgb_to_lab(x).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    expected = [slow_lab(pixel) for pixel in x.permute(0, 2, 3, 1).reshape(-1, 3).double().tolist()]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=2e-3)


def test_normalised_photos_fill_about_minus_one_to_one():
    grid = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, 12)] * 3, indexing="ij")).reshape(1, 3, 12, 144)
    scaled = normalised_to_lab(augment.normalise(grid))
    for channel in scaled[0]:
        assert channel.min() == pytest.approx(-1, abs=0.01)
        assert channel.max() == pytest.approx(1, abs=0.01)


def test_black_has_a_finite_gradient():
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    rgb_to_lab(x).sum().backward()
    assert x.grad.isfinite().all()
