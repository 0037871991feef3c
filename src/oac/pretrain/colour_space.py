"""Photos in CIE Lab: lightness apart from colour, as CMC contrasts them.

The constants are those of sRGB (IEC 61966-2-1) and of CIE 1976 Lab under daylight D65, 2 degree observer.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from oac.pretrain.augment import MEAN, STD, channels

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
# Middle and half range of L, a and b over all sRGB colours.
_MIDDLE, _HALF_RANGE = (50.0, 6.025, -6.6895), (50.0, 92.208, 101.1675)


def rgb_to_lab(x: Tensor) -> Tensor:
    """Convert sRGB (B, 3, H, W) in [0, 1] to L in [0, 100] and a, b in about [-108, 98], in float32."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.float().clamp(0, 1)
        linear = torch.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
        xyz = torch.einsum("ij,bjhw->bihw", _to_xyz(x.device), linear)
        f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-6) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
        fx, fy, fz = f.unbind(1)
        return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def normalised_to_lab(x: Tensor) -> Tensor:
    """Convert photos as encoders take them (`augment.normalise`) to Lab, each channel in about [-1, 1]."""
    lab = rgb_to_lab(x * channels(STD, x) + channels(MEAN, x))
    return (lab - channels(_MIDDLE, lab)) / channels(_HALF_RANGE, lab)


@functools.cache  # a constant is copied to a device once: each copy waits for it
def _to_xyz(device: torch.device) -> Tensor:
    """Linear RGB to XYZ as a share of the white point's."""
    return torch.tensor(_TO_XYZ, device=device) / torch.tensor(_WHITE, device=device)[:, None]
