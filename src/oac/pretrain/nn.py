"""Networks: backbones, the two-stream encoder, projection heads, and the file an encoder is kept in."""

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
from oac.pretrain import timm_networks
from oac.pretrain.colour_space import normalised_to_lab
from oac.pretrain.norm import SplitBatchNorm1d, SplitBatchNorm2d
from oac.studies import TIMM

Norm = Callable[[int], nn.Module]


class NarrowResNet(nn.Module):
    """A ResNet of four narrow stages for small views, small photos and a CPU.

    One basic block a stage, widths (1, 2, 4, 8) times `width`, a 3 x 3 stem of stride 2 and no max-pool: total
    stride 16, so that a view of 48 px ends as 3 x 3.
    """

    def __init__(self, width: int, norm: Norm, channels: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm(width)
        self.layer1 = _BasicBlock(width, width, 1, norm)
        self.layer2 = _BasicBlock(width, 2 * width, 2, norm)
        self.layer3 = _BasicBlock(2 * width, 4 * width, 2, norm)
        self.layer4 = _BasicBlock(4 * width, 8 * width, 2, norm)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 8 * width)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., CVPR 2016), under torchvision's names.

    The shortcut has a projection where the shape changes. From 8, 24, ... channels it takes every other pixel first:
    PyTorch 2.14's gradient of a strided 1 x 1 convolution of 8 channels writes past its memory on a CPU with AVX-512.
    """

    def __init__(self, inside: int, outside: int, stride: int, norm: Norm):
        super().__init__()
        shortcut = None
        self.step = stride if inside % 16 else 1
        if stride > 1 or inside != outside:
            shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride // self.step, bias=False), norm(outside))
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn1 = norm(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = norm(outside)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inside, H, W) to (B, outside, H / stride, W / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.downsample is not None:
            if self.step > 1:
                x = x[:, :, :: self.step, :: self.step].contiguous(memory_format=torch.channels_last)
            x = self.downsample(x)
        return F.relu(y + x, inplace=True)


def backbone(
    name: str, *, width: int = 0, bn_splits: int = 1, channels: int = 3, halved: bool = False
) -> tuple[nn.Module, int]:
    """Build an untrained backbone without classifier; return it with the length of its feature vector.

    name: a ResNet of torchvision, whose `width` is fixed, narrow (`width` channels at the stem), or timm/ and a name
    of timm's (`timm_networks`).
    halved: whether widths are divided by two, for an input of `channels`; a ResNet's stem keeps its 64 filters, as in
    CMC's code, and the narrow network's is halved.

    Raises ValueError for another name, and for a narrow width that is no multiple of 8: PyTorch 2.14's channels-last
    convolutions of 4 or 6 channels write past their memory on a CPU with AVX2.
    """

    def norm(features: int) -> nn.Module:
        return SplitBatchNorm2d(features, bn_splits)

    if name.startswith(TIMM):
        if halved:
            raise ValueError(
                f"backbone.name {name}: CMC halves widths, which only narrow and torchvision's ResNets let it"
            )
        return timm_networks.build(name, bn_splits)
    if name != "narrow":
        return _resnet(name, norm, halved, channels)
    width //= 1 + halved
    if width < 8 or width % 8:
        raise ValueError(
            f"backbone width {width}: the narrow network takes multiples of 8, and a method of two streams halves its"
            " width"
        )
    return NarrowResNet(width, norm, channels), 8 * width


def compile_backbones(method: nn.Module) -> None:
    """Compile the backbones of a method in place; names of parameters stay what they are."""
    for module in method.modules():
        # The last stage, in a narrow one as in torchvision's ResNets; and what all networks of timm have.
        if hasattr(module, "layer4") or hasattr(module, "forward_features"):
            # For each size of views by itself: kernels for any size are slower, and fail on some networks.
            module.compile(dynamic=False)


class TwoStream(nn.Module):
    """Two networks of half the width, one for the lightness of a photo and one for its colours (CMC).

    Tian et al., ECCV 2020, arXiv 1906.05849, section 4.1: Lab space is split into L and ab. The features of both,
    side by side, are as long as those of the whole network.
    """

    def __init__(self, name: str, *, width: int = 0):
        """Take the names and widths of `backbone`; a narrow width is halved, and must be a multiple of 16."""
        super().__init__()
        self.lightness, self.features = backbone(name, width=width, channels=1, halved=True)
        self.colour, _ = backbone(name, width=width, channels=2, halved=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised photos (B, 3, H, W) to both streams' features, (B, 2 * features)."""
        return torch.cat([self.of_lightness(x), self.of_colour(x)], dim=1)

    def of_lightness(self, x: Tensor) -> Tensor:
        """Features (B, features) of the lightness of normalised photos (B, 3, H, W)."""
        y: Tensor = self.lightness(normalised_to_lab(x)[:, :1].contiguous(memory_format=torch.channels_last))
        return y

    def of_colour(self, x: Tensor) -> Tensor:
        """Features (B, features) of the colours of normalised photos (B, 3, H, W)."""
        y: Tensor = self.colour(normalised_to_lab(x)[:, 1:].contiguous(memory_format=torch.channels_last))
        return y


def encoder(recipe: dict[str, Any]) -> nn.Module:
    """Build the untrained encoder that a run of this recipe keeps, or of an adopted one that its training kept."""
    if recipe.get("pretraining", recipe).get("method") == "cmc":
        return TwoStream(**recipe["backbone"])
    return backbone(**recipe["backbone"])[0]


def _resnet(name: str, norm: Norm, halved: bool, channels: int) -> tuple[nn.Module, int]:
    """torchvision's ResNet without classifier, or one of half its width."""
    # Takes two seconds to import, which the narrow network's many short processes do without.
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    shapes: dict[str, tuple[list[int], dict[str, int]]] = {
        "resnet18": ([2, 2, 2, 2], {}),
        "resnet34": ([3, 4, 6, 3], {}),
        "resnet50": ([3, 4, 6, 3], {}),
        "resnet101": ([3, 4, 23, 3], {}),
        "resnet152": ([3, 8, 36, 3], {}),
        "resnext50_32x4d": ([3, 4, 6, 3], {"groups": 32, "width_per_group": 4}),
        "resnext101_32x8d": ([3, 4, 23, 3], {"groups": 32, "width_per_group": 8}),
        "resnext101_64x4d": ([3, 4, 23, 3], {"groups": 64, "width_per_group": 4}),
        "wide_resnet50_2": ([3, 4, 6, 3], {"width_per_group": 128}),
        "wide_resnet101_2": ([3, 4, 23, 3], {"width_per_group": 128}),
    }
    if name not in shapes:
        raise ValueError(
            f"unknown backbone {name!r}: choose {', '.join(shapes)}, narrow, or timm/ and a name of timm's"
        )
    block, features = (BasicBlock, 512) if name in ("resnet18", "resnet34") else (Bottleneck, 2048)
    layers, widths = shapes[name]

    class Halved(ResNet):
        """Half the width in all stages behind the stem (width 0.5 of models/resnet.py of HobbitLong/CMC)."""

        def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> nn.Sequential:
            made: nn.Sequential = super()._make_layer(block, planes // 2, *arguments, **options)
            return made

    net = (Halved if halved else ResNet)(block, layers, norm_layer=norm, **widths)
    if halved:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        features //= 2
    net.fc = nn.Identity()
    return net, features


def projection_head(features: int, hidden: int, dim: int, *, batch_norm: bool, bn_splits: int = 1) -> nn.Sequential:
    """Two-layer projection head (Chen et al., 2003.04297); split batch norm between the layers where asked for."""
    layers: list[nn.Module] = [nn.Linear(features, hidden, bias=not batch_norm)]
    if batch_norm:
        layers.append(SplitBatchNorm1d(hidden, bn_splits))
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
    net = encoder(encoder_recipe(path))
    with safe_open(path, framework="pt") as file:
        net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    return net.eval()
