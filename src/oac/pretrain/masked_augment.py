"""The augmentation of augment.py as arithmetic on the whole batch at once, for a GPU and compiled.

augment.py picks the views of each operation out, changes them and puts them back: least arithmetic, 120 launches.
Here every view goes through every operation, and a mask says which it keeps: four passes over the batch, one for each
place in the order of the jitter, which a compiler makes a kernel each. Uncompiled it is the slower of the two. The
results are those of augment.py but for rounding.

A compiler may compute a value twice and round it otherwise the second time. So nothing here asks whether two computed
values are equal, and where a comparison decides, both sides of it give the same result at its border.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oac.pretrain.augment import LUMA, MEAN, STD, Parameters, channels, solarize

_SHARP = 1e-3  # sigma in pixels that leaves a view as it is: the next pixel's weight is 0


class MaskedAugmentation:
    """Augments as `augment.augment` does."""

    def __init__(self) -> None:
        """Compilation is done at the first use, for each size of views by itself."""
        self.apply = torch.compile(apply, dynamic=False)

    def __call__(self, views: Tensor, parameters: Parameters) -> Tensor:
        """Augment and normalise uint8 views (n, 3, S, S) to float32 of the same shape, in channels-last memory."""
        numbers = torch.from_numpy(table(parameters)).to(views.device, non_blocking=True)
        return self.apply(views, numbers, channels(MEAN, numbers), channels(STD, numbers))


def table(parameters: Parameters) -> np.ndarray:
    """What is done to each of n views, (20, n, 1, 1, 1) float32, so that one copy brings it to the device.

    Four times, for each place in the order: factor, whether of contrast, whether of saturation, turn of the hue (0
    where that place has another operation). Then grayscale, sigma, solarize, flip.
    """
    rows = []
    for position in range(4):
        operation = np.where(parameters.jitter, parameters.order[:, position], -1)
        value = np.take_along_axis(parameters.factors, np.maximum(operation, 0)[:, None], axis=1)[:, 0]
        rows += [
            np.where((operation >= 0) & (operation < 3), value, 1.0),
            operation == 1,
            operation == 2,
            np.where(operation == 3, value, 0.0),
        ]
    rows += [parameters.grayscale, np.maximum(parameters.sigma, _SHARP), parameters.solarize, parameters.flip]
    return np.stack(rows).astype(np.float32)[:, :, None, None, None]


def apply(views: Tensor, numbers: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Augment views (n, 3, S, S) by a `table` (20, n, 1, 1, 1) and normalise them by mean and std (1, 3, 1, 1)."""
    x = views.contiguous().to(torch.float32) / 255
    for position in range(4):
        factor, contrast, saturation, turn = numbers[4 * position : 4 * position + 4]
        gray = _luma(x)
        # Brightness blends with black, contrast with the mean luma, saturation with the luma of each pixel.
        other = contrast * gray.mean((2, 3), keepdim=True) + saturation * gray
        blended = torch.lerp(other, x, factor).clamp(0, 1)
        x = torch.where(turn == 0, blended, turn_hue(x, x.amax(1, keepdim=True), x.amin(1, keepdim=True), turn))
    grayscale, sigma, solarized, flipped = numbers[16:]
    x = torch.where(grayscale > 0, _luma(x), x)
    x = blur(x, sigma)
    x = torch.where(solarized > 0, solarize(x), x)
    x = torch.where(flipped > 0, x.flip(-1), x)
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def _luma(x: Tensor) -> Tensor:
    red, green, blue = x.split(1, dim=1)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def turn_hue(x: Tensor, largest: Tensor, smallest: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of RGB (n, 3, H, W) by `turn` (n, 1, 1, 1) of a circle; largest, smallest: of the three channels.

    As `augment.adjust_hue`. Which channel is the largest is asked of the channels themselves: where two are equal,
    either answer gives the same hue, whereas `largest`, computed again, may differ from both.
    """
    red, green, blue = x.split(1, dim=1)
    chroma = largest - smallest
    reds, greens = red >= torch.maximum(green, blue), green >= blue
    distance = torch.where(reds, green - blue, torch.where(greens, blue - red, red - green))
    hue = distance / chroma.clamp(min=1e-12) + torch.where(reds, 0.0, torch.where(greens, 2.0, 4.0))
    position = torch.arange(5, 0, -2, device=x.device).view(1, 3, 1, 1) + (hue + 6 * turn)
    position = position - 6 * (position / 6).floor()
    return largest - chroma * torch.minimum(position, 4 - position).clamp(0, 1)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each view by its own sigma (n, 1, 1, 1) in pixels, as `augment.gaussian_blur`; _SHARP changes nothing."""
    position = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    weights = torch.exp(-(((position[:, None] - position) / sigma) ** 2) / 2)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ x @ weights.transpose(-1, -2)
