"""Photometric augmentation of a batch on its device, with parameters of its own for every sample.

MoCo-v2's recipe (Chen et al., 2003.04297): colour jitter, grayscale, Gaussian blur, flip; and BYOL's solarization
(Grill et al., 2006.07733). The functions are torchvision's (brightness, contrast, saturation, hue and solarize of
`torchvision.transforms`), applied to a batch at once.
Cropping is not done here: the loader cuts (see crops.py) and hands over uint8 views.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oac.pretrain.recipe import VIEWS
from oac.pretrain.rng import uniform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in RGB order
DRAWS = 14  # random numbers a view takes: see `draw_parameters`
LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, rounded as torchvision rounds it


@dataclass(frozen=True)
class Augmentation:
    """Strengths and probabilities; the defaults are MoCo-v2's.

    A factor is drawn from [1 - s, 1 + s] for brightness, contrast and saturation, from [-hue, hue] turns for hue.
    blur_sigma is in pixels of a full-size view of 224 px and scales with that size.
    """

    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grayscale: float = 0.2
    blur: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    flip: float = 0.5
    solarize: float = 0.0


@dataclass(frozen=True)
class Parameters:
    """What is done to each of n views; the arrays stay on the host, where they were drawn.

    order: (n, 4) permutation of brightness, contrast, saturation, hue; factors: (n, 4) in that naming;
    jitter, grayscale, flip, solarize: (n,) bool; sigma: (n,) pixels, 0 where the view is not blurred.
    """

    order: np.ndarray
    factors: np.ndarray
    jitter: np.ndarray
    grayscale: np.ndarray
    flip: np.ndarray
    solarize: np.ndarray
    sigma: np.ndarray


def of_views(settings: dict[str, Any]) -> tuple[Augmentation, Augmentation]:
    """Read a recipe's augmentation of query and key: one for both views, or one for each under its name."""
    query, key = (Augmentation(**settings.get(view, settings)) for view in VIEWS)
    return query, key


def view_draws(seed: int, epoch: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random numbers (n, DRAWS) for query and key of n photos, a function of (seed, epoch, image)."""
    # Solarization came later than the rest; with a purpose of its own it changes none of the other numbers. The name
    # of the purpose seeds its draws, so it stays as it is.
    u = uniform(seed, epoch, image, 2 * (DRAWS - 1), "augment")
    last = uniform(seed, epoch, image, 2, "solarise")
    return np.hstack([u[:, : DRAWS - 1], last[:, :1]]), np.hstack([u[:, DRAWS - 1 :], last[:, 1:]])


def small_draws(seed: int, epoch: np.ndarray, image: np.ndarray, count: int) -> np.ndarray:
    """Random numbers (count * n, DRAWS) for `count` small views of n photos, all photos' first ones first."""
    u = uniform(seed, epoch, image, count * DRAWS, "smallaug")
    return np.concatenate(np.split(u, count, axis=1))


def draw_parameters(settings: Augmentation, u: np.ndarray, view_size: int) -> Parameters:
    """Turn random numbers (n, DRAWS) in [0, 1) into parameters of n views; full-size ones have `view_size` pixels."""
    spread = np.array([settings.brightness, settings.contrast, settings.saturation, settings.hue])
    centre = np.array([1.0, 1.0, 1.0, 0.0])
    low, high = settings.blur_sigma
    sigma = (low + (high - low) * u[:, 12]) * view_size / 224
    return Parameters(
        order=u[:, :4].argsort(axis=1),
        factors=centre + spread * (2 * u[:, 4:8] - 1),
        jitter=u[:, 8] < settings.jitter,
        grayscale=u[:, 9] < settings.grayscale,
        flip=u[:, 10] < settings.flip,
        solarize=u[:, 13] < settings.solarize,
        sigma=np.where(u[:, 11] < settings.blur, sigma, 0.0),
    )


def augment(views: Tensor, parameters: Parameters) -> Tensor:
    """Augment and normalise uint8 views (n, 3, S, S) to float32 of the same shape, in channels-last memory.

    Mean is about 0, deviation about 1.
    """
    # In planes, because a factor per view or channel is spread over interleaved channels three times as slowly.
    x = views.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    operations = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    for position in range(4):
        for index, operation in enumerate(operations):
            chosen = parameters.jitter & (parameters.order[:, position] == index)
            _apply(x, chosen, operation, parameters.factors[:, index])
    _apply(x, parameters.grayscale, lambda part, _: luma(part).expand_as(part), parameters.sigma)
    _apply(x, parameters.sigma > 0, gaussian_blur, parameters.sigma)
    _apply(x, parameters.solarize, lambda part, _: solarize(part), parameters.sigma)
    _apply(x, parameters.flip, lambda part, _: part.flip(-1), parameters.sigma)
    return normalise(x).contiguous(memory_format=torch.channels_last)


def normalise(x: Tensor) -> Tensor:
    """Bring RGB in [0, 1], (n, 3, H, W), to zero mean and unit deviation of ImageNet."""
    return (x - channels(MEAN, x)).div_(channels(STD, x))


def _apply(x: Tensor, chosen: np.ndarray, operation, values: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Replace the chosen rows of x by operation(rows, values of the rows)."""
    rows = np.flatnonzero(chosen)
    if len(rows):
        # The row numbers are known on the host, so the device is never waited for. Rows are copied whole: indexing
        # with brackets goes through them number by number, which takes a CPU several times as long.
        index = torch.from_numpy(rows).to(x.device, non_blocking=True)
        value = torch.from_numpy(values[rows].astype(np.float32)).to(x.device, non_blocking=True)
        x.index_copy_(0, index, operation(x.index_select(0, index), value.view(-1, 1, 1, 1)))


def luma(x: Tensor) -> Tensor:
    """Luma of RGB (n, 3, H, W) in [0, 1]: (n, 1, H, W)."""
    return (x * channels(LUMA, x)).sum(1, keepdim=True)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Scale; factor: (n, 1, 1, 1)."""
    return (x * factor).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean luma of the view; factor: (n, 1, 1, 1)."""
    return torch.lerp(luma(x).mean((2, 3), keepdim=True), x, factor).clamp_(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grayscale view; factor: (n, 1, 1, 1)."""
    return torch.lerp(luma(x), x, factor).clamp_(0, 1)


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by `turn` (n, 1, 1, 1) of a full circle in HSV space.

    HSV is never formed whole: with value v and chroma c kept, channel k of the result is
    v - c * clamp(min(h_k, 4 - h_k), 0, 1) with h_k = (5, 3, 1)_k + 6 hue, modulo 6 (the usual closed form).
    """
    red, green, blue = x.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # The hue's formula depends on the largest channel. Signs choose it, 0 for the largest: `torch.where` and
    # `remainder` take ten times as long on a CPU, and were half the cost of augmentation.
    not_red, not_green = torch.sign(value - red), torch.sign(value - green)
    by_red, by_green, by_blue = green - blue, blue - red, red - green
    distance = by_red + not_red * (by_green - by_red + not_green * (by_blue - by_green))
    hue = distance / chroma.clamp(min=1e-12) + not_red * (2 + 2 * not_green)
    position = channels((5.0, 3.0, 1.0), x) + (hue + 6 * turn[:, 0])[:, None]
    position -= (position / 6).floor_().mul_(6)
    return value[:, None] - chroma[:, None] * torch.minimum(position, 4 - position).clamp_(0, 1)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each view by its own sigma (n, 1, 1, 1) in pixels.

    Rows and columns are multiplied by a band matrix of Gaussian weights, normalised at the border so that a flat
    view stays flat; two small matrix products are faster than one convolution with a kernel per sample.
    """
    position = torch.arange(x.shape[-1], device=x.device)
    by_distance = torch.exp(-((position / sigma) ** 2) / 2)
    weights = by_distance[..., 0, (position[:, None] - position).abs()]
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ x @ weights.transpose(-1, -2)


def solarize(x: Tensor) -> Tensor:
    """Invert what is brighter than half: x becomes 1 - x from 0.5 on, which is the smaller of the two."""
    return torch.minimum(x, 1 - x)


def channels(values: tuple[float, ...], x: Tensor) -> Tensor:
    """A number for each channel of x (n, 3, H, W), on its device and of its type: (1, 3, 1, 1)."""
    return _constant(values, x.device, x.dtype)


@functools.cache  # a constant is copied to a device once: each copy waits for it
def _constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype).view(1, 3, 1, 1)
