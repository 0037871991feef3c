"""Backbones of timm by name, an extra: pip install -e ".[timm]" in a clone."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from oac.pretrain.norm import SplitBatchNorm1d, SplitBatchNorm2d
from oac.studies import TIMM, require_timm

_ANY_SIZE = {"dynamic_img_size": True, "dynamic_img_pad": True}  # of vision transformers, whose size is fixed else


def build(name: str, bn_splits: int) -> tuple[nn.Module, int]:
    """Build an untrained network of timm without classifier; return it with the length of its feature vector.

    name: timm/ and timm's name. Parameters have timm's names; batch norms are split as the others here.

    Raises ConfigError where timm is not installed, and ValueError for a name that it does not have and for a network
    with batch norms of another kind.
    """
    require_timm(name)
    import timm

    own = name.removeprefix(TIMM)
    if not timm.is_model(own):
        close = difflib.get_close_matches(own, timm.list_models(), 1)
        hint = f"did you mean {TIMM}{close[0]}?" if close else "timm.list_models() lists all"
        raise ValueError(f"backbone.name {name}: timm {timm.__version__} has no such network; {hint}")
    try:
        net = timm.create_model(own, num_classes=0, **_ANY_SIZE)
    except TypeError:  # the networks that take photos of any size have no such option
        net = timm.create_model(own, num_classes=0)
    for path, module in list(net.named_modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            net.set_submodule(path, _split(module, name, bn_splits))
    return net, int(getattr(net, "head_hidden_size", net.num_features))


def check_views(net: nn.Module, recipe: dict[str, Any], sides: Iterable[int]) -> None:
    """Raise ValueError where a network of timm makes no feature vectors of views of these sides, in pixels.

    The other networks take views of any size.
    """
    name = recipe["backbone"]["name"]
    if not name.startswith(TIMM):
        return
    training = net.training
    for side in sides:
        try:
            with torch.no_grad():
                features = net.eval()(torch.zeros(1, 3, side, side, device=next(net.parameters()).device))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"backbone.name {name} takes no views of {side} px: {reason}") from None
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise ValueError(f"backbone.name {name} makes no feature vectors: choose another network")
    net.train(training)


class _WithActivation(SplitBatchNorm2d):
    """timm's BatchNormAct2d, a batch norm with dropout and activation behind it, in splits."""

    def __init__(self, norm: Any, bn_splits: int):
        super().__init__(norm.num_features, bn_splits)
        self.drop, self.act = norm.drop, norm.act

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) and activate."""
        y: Tensor = self.act(self.drop(super().forward(x)))
        return y


def _split(norm: nn.modules.batchnorm._BatchNorm, name: str, bn_splits: int) -> nn.Module:
    """The same batch norm in splits."""
    from timm.layers import BatchNormAct2d

    kinds: dict[type, Any] = {
        nn.BatchNorm1d: lambda: SplitBatchNorm1d(norm.num_features, bn_splits),
        nn.BatchNorm2d: lambda: SplitBatchNorm2d(norm.num_features, bn_splits),
        BatchNormAct2d: lambda: _WithActivation(norm, bn_splits),
    }
    if type(norm) not in kinds or not (norm.affine and norm.track_running_stats):
        raise ValueError(f"backbone.name {name} has batch norms of its own kind: choose another network")
    made = kinds[type(norm)]()
    if made.synchronised and isinstance(made, _WithActivation):
        raise ValueError(
            f"backbone.name {name}: its batch norms have no statistics over several processes: set bn_splits to a"
            " multiple of their number, or gpu to 1"
        )
    made.eps, made.momentum = norm.eps, norm.momentum
    made.load_state_dict(norm.state_dict())
    return made
