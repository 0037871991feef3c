"""The optimiser of a run and its learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from oac.pretrain.lars import LARC, LARS


@dataclass(frozen=True)
class OptimizerOptions:
    """SGD with momentum and a cosine schedule without restarts (MoCo-v2's; no warm-up by default).

    lr: the peak. final_lr: where the cosine ends. warmup: share of the steps over which lr rises linearly. drops:
    shares of the run after each of which lr falls to a tenth, in place of the cosine. optimizer: sgd, lars for large
    batches, or larc.
    """

    lr: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.0
    final_lr: float = 0.0
    drops: Sequence[float] = ()
    optimizer: str = "sgd"


def build_optimizer(settings: OptimizerOptions, method: nn.Module) -> torch.optim.Optimizer:
    """Build the optimiser of what a method trains by gradient. Raises ValueError for an unknown one."""
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "lars": LARS, "larc": LARC}
    if settings.optimizer not in kinds:
        raise ValueError(f"unknown optimizer {settings.optimizer!r}: choose {', '.join(kinds)}")
    return kinds[settings.optimizer](
        [p for p in method.parameters() if p.requires_grad],
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def learning_rate(settings: OptimizerOptions, step: int, steps: int) -> float:
    """Rate of step 0 .. steps - 1.

    A warm-up begins at 0 and reaches lr at the step behind it, as `learning_schedule` of byol/utils/schedules.py of
    BYOL's authors has it.
    """
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.lr * step / rise
    if settings.drops:
        return settings.lr * 0.1 ** sum(step >= drop * steps for drop in settings.drops)
    fall = settings.lr - settings.final_lr
    return settings.final_lr + fall * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
