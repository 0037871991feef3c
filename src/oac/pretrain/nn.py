"""Networks: backbones, projection heads, grouped batch norm, and the file an encoder is kept in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from oac.atomic import writing
from oac.pretrain.distributed import gathered_with_gradient, world

Norm = Callable[[int], nn.Module]


class _Grouped(nn.modules.batchnorm._BatchNorm):
    """Batch norm with statistics of `groups` equal parts of the batch: what `groups` cards do, on one.

    MoCo shuffles keys among cards so that a query and its key never share their statistics (He et al., CVPR 2020,
    section 3.3). Here the groups stand in for the cards. Parameters, running statistics and evaluation are those
    of an ordinary batch norm, so weights move to one freely. Works in channels_last.

    `groups` counts those of the whole batch. Where several processes share it each has its part of the groups; one
    group has its statistics over all processes. Running statistics are then left to the training loop to average.

    Raises ValueError when a training batch does not divide into the groups, or the groups among the processes.
    """

    def __init__(self, channels: int, groups: int = 1):
        super().__init__(channels)
        if groups > 1 and groups % world():
            raise ValueError(
                f"{groups} batch norm groups do not divide among {world()} processes: set `groups` to a multiple of"
                f" {world()}, or to 1 for statistics over all of them"
            )
        self.groups = max(1, groups // world())
        self.synchronised = groups == 1 and world() > 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C) or (B, C, H, W)."""
        if self.training and self.synchronised:
            return self._over_processes(x)
        if not self.training or self.groups == 1:
            return super().forward(x)
        if len(x) % self.groups:
            raise ValueError(f"a batch of {len(x)} does not divide into {self.groups} batch norm groups")
        # After `groups` updates the running statistics have moved as far as one ordinary update moves them.
        momentum = 1 - (1 - self.momentum) ** (1 / self.groups) if self.momentum is not None else 0.0
        parts = [
            F.batch_norm(part, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)
            for part in x.chunk(self.groups)
        ]
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return torch.cat(parts)

    def _over_processes(self, x: Tensor) -> Tensor:
        """Normalise by mean and variance of the batches of all processes, which are equally large."""
        axes, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
        variance, mean = torch.var_mean(x.float(), dim=axes, correction=0)
        means, variances = gathered_with_gradient(torch.stack([mean, variance])).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            count = x.numel() / x.shape[1] * world()
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        y = (x.float() - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)


class GroupedBatchNorm1d(_Grouped, nn.BatchNorm1d):
    """Grouped batch norm of feature vectors (B, C)."""


class GroupedBatchNorm2d(_Grouped, nn.BatchNorm2d):
    """Grouped batch norm of feature maps (B, C, H, W)."""


class NarrowResNet(nn.Module):
    """A ResNet of four narrow stages for small views, small photos and a CPU.

    One basic block a stage, widths (1, 2, 4, 8) times `width`, a 3 x 3 stem of stride 2 and no max-pool: total
    stride 16, so that a view of 48 px ends as 3 x 3.
    """

    def __init__(self, width: int, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm(width)
        self.layer1 = _stage(width, width, 1, norm)
        self.layer2 = _stage(width, 2 * width, 2, norm)
        self.layer3 = _stage(2 * width, 4 * width, 2, norm)
        self.layer4 = _stage(4 * width, 8 * width, 2, norm)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 8 * width)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., CVPR 2016), under torchvision's names."""

    def __init__(self, inside: int, outside: int, stride: int, shortcut: nn.Module | None, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn1 = norm(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = norm(outside)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inside, H, W) to (B, outside, H / stride, W / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


def _stage(inside: int, outside: int, stride: int, norm: Norm) -> _BasicBlock:
    """One basic block, with a projection on its shortcut where the shape changes."""
    shortcut = None
    if stride > 1 or inside != outside:
        shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), norm(outside))
    return _BasicBlock(inside, outside, stride, shortcut, norm)


def backbone(name: str, *, width: int = 0, groups: int = 1) -> tuple[nn.Module, int]:
    """Build an untrained backbone without classifier; return it with the length of its feature vector.

    name: resnet50, resnet18 (torchvision's, whose `width` is fixed) or narrow (`width` channels at the stem).

    Raises ValueError for another name, and for a narrow width that is no multiple of 8: PyTorch 2.14's channels-last
    convolutions of 4 or 6 channels write past their memory on a CPU with AVX2.
    """
    if name == "narrow" and (width < 8 or width % 8):
        raise ValueError(f"backbone width {width}: the narrow network takes multiples of 8")

    def norm(channels: int) -> nn.Module:
        return GroupedBatchNorm2d(channels, groups)

    if name == "narrow":
        return NarrowResNet(width, norm), 8 * width
    # Takes two seconds to import, which the narrow network's many short processes do without.
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    if name == "resnet18":
        net, features = ResNet(BasicBlock, [2, 2, 2, 2], norm_layer=norm), 512
    elif name == "resnet50":
        net, features = ResNet(Bottleneck, [3, 4, 6, 3], norm_layer=norm), 2048
    else:
        raise ValueError(f"unknown backbone {name!r}: choose resnet50, resnet18 or narrow")
    net.fc = nn.Identity()
    return net, features


def projection_head(features: int, hidden: int, dim: int, *, batch_norm: bool, groups: int = 1) -> nn.Sequential:
    """Two-layer projection head (Chen et al., 2003.04297); grouped batch norm between the layers where asked for."""
    layers: list[nn.Module] = [nn.Linear(features, hidden, bias=not batch_norm)]
    if batch_norm:
        layers.append(GroupedBatchNorm1d(hidden, groups))
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Linear(hidden, dim))


def save_encoder(net: nn.Module, recipe: dict[str, Any], path: str | Path) -> None:
    """Write a backbone's weights, under torchvision's names, with the recipe in the file's metadata."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    # One key only: safetensors orders several by chance, and equal encoders must be equal bytes.
    content = serialize(tensors, metadata={"recipe": json.dumps(recipe, sort_keys=True)})
    with writing(path) as temporary:
        # safetensors' own writer makes files that only their owner may read.
        temporary.write_bytes(content)


def encoder_recipe(path: str | Path) -> dict[str, Any]:
    """Read the recipe that an encoder file was trained with."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "recipe" not in metadata:
        raise ValueError(f"{path} carries no recipe: it was not written by this package")
    recipe: dict[str, Any] = json.loads(metadata["recipe"])
    return recipe


def load_encoder(path: str | Path) -> nn.Module:
    """Load an encoder in evaluation mode: normalised photos (B, 3, H, W) to features (B, D)."""
    recipe = encoder_recipe(path)
    net, _ = backbone(**recipe["backbone"])
    with safe_open(path, framework="pt") as file:
        net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    return net.eval()
