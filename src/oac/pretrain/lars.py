"""LARS: each layer's step is a fixed share of its weights' length, whatever the length of its gradient.

You, Gitman and Ginsburg, arXiv 1708.03888, as BYOL uses it (Grill et al., arXiv 2006.07733, implementation details):
biases and batch norm parameters take part neither in the adaptation nor in weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose gradients are scaled layer by layer.

    With weights w, gradient g, rate lr, momentum m, weight decay b and trust coefficient t:

        u = g + b w;   v <- m v + t |w| / |u| u;   w <- w - lr v

    The share is 1 where w or u is zero. Vectors (biases and batch norm) have u = g and share 1. This is the form of
    BYOL's authors (byol/utils/optimizers.py), with lr outside v as in torch's SGD; algorithm 1 of the LARS paper, and
    mmselfsup, have |g| + b |w| for |u| and lr inside v, which differs where lr changes (docs/protocol.md).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust_coefficient}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; nothing waits for the device."""
        for group in self.param_groups:
            updates = {p: p.grad for p in group["params"] if p.grad is not None}
            if not updates:
                continue
            weights = [p for p in updates if self.adapts(p)]
            gradients = [updates[p] for p in weights]
            adapted = self.adapted(weights, gradients, group["weight_decay"], group["trust"]) if weights else []
            updates |= zip(weights, adapted, strict=True)
            for p in updates:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            velocity = [self.state[p]["momentum_buffer"] for p in updates]
            torch._foreach_mul_(velocity, group["momentum"])
            torch._foreach_add_(velocity, list(updates.values()))
            torch._foreach_add_(list(updates), velocity, alpha=-group["lr"])

    @staticmethod
    def adapts(p: Tensor) -> bool:
        """Whether a parameter's step is adapted and decayed; vectors' are not."""
        return p.ndim > 1

    @staticmethod
    def adapted(
        weights: list[Tensor], gradients: list[Tensor], weight_decay: float, trust: float
    ) -> Iterable[Tensor]:
        """Gradients with weight decay, each scaled to `trust` times the norm of its weights."""
        decayed = torch._foreach_add(gradients, weights, alpha=weight_decay)
        lengths = zip(torch._foreach_norm(weights), torch._foreach_norm(decayed), strict=True)
        return torch._foreach_mul(decayed, [torch.where((w > 0) & (u > 0), trust * w / u, 1.0) for w, u in lengths])


class LARC(LARS):
    """The variant of NVIDIA's apex without clipping, which SwAV trains with (Caron et al., 2006.09882, appendix A).

    Vectors are adapted as well, and the two norms are added instead of the vectors:

        u = (g + b w) t |w| / (|g| + b |w| + 1e-8);   v <- m v + u;   w <- w - lr v

    Where w or g is zero, u = g: without weight decay, too.
    """

    @staticmethod
    def adapts(p: Tensor) -> bool:
        """All parameters are adapted."""
        return True

    @staticmethod
    def adapted(
        weights: list[Tensor], gradients: list[Tensor], weight_decay: float, trust: float
    ) -> Iterable[Tensor]:
        """Gradients with weight decay, each scaled by the rate of its layer."""
        lengths = list(zip(torch._foreach_norm(weights), torch._foreach_norm(gradients), strict=True))
        moves = [(w > 0) & (g > 0) for w, g in lengths]
        rates = [trust * w / (g + weight_decay * w + 1e-8) for w, g in lengths]
        decay = torch._foreach_mul(weights, [torch.where(m, weight_decay, 0.0) for m in moves])
        decayed = torch._foreach_add(gradients, decay)
        return torch._foreach_mul(decayed, [torch.where(m, r, 1.0) for m, r in zip(moves, rates, strict=True)])
