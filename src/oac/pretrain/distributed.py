"""What the processes of one run tell each other; a run of one process says nothing and gets its own back.

The batch of a step is dealt out in equal parts, one to each process of torch's default group (one card each).
Gradients are averaged by hand, once a step: every objective here is a mean over the batch, so that the mean over the
processes is what one process would have computed from the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """How many processes train this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The place of this process among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@torch.no_grad()
def gathered(part: Tensor) -> Tensor:
    """Join every process's part (n, ...) along the first axis, in the order of their ranks; no gradient flows."""
    if world() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(world())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


@torch.no_grad()
def summed(value: Tensor) -> Tensor:
    """Sum a tensor over the processes; no gradient flows."""
    if world() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


@torch.no_grad()
def average_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one type by their means over the processes, in one message."""
    tensors = list(tensors)
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
