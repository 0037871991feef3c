"""What the processes of one run tell each other; a run of one process says nothing and gets its own back.

The batch of a step is dealt out in equal parts, one to each process of torch's default group (one card each).
Gradients are averaged by hand, once a step: every objective here is a mean over the batch, so that the mean over the
processes is what one process would have computed from the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined(gpus: bool) -> Iterator[str]:
    """Join the processes that torchrun started, and give this one's device; alone there is nothing to join.

    Talks over NCCL between cards and over gloo on the host, so that decisions there wait for no card.
    """
    if "LOCAL_RANK" not in os.environ:
        yield "cuda" if gpus else "cpu"
        return
    own = int(os.environ["LOCAL_RANK"])
    if gpus:
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    try:
        yield f"cuda:{own}" if gpus else "cpu"
    finally:
        dist.destroy_process_group()


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


class _Sum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return summed(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])


def gathered_with_gradient(part: Tensor) -> Tensor:
    """Stack every process's part: (world, *part.shape). Each gets the gradients of all for its own."""
    rows = [part if row == rank() else torch.zeros_like(part) for row in range(world())]
    stacked: Tensor = _Sum.apply(torch.stack(rows))
    return stacked


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


def most(value: int) -> int:
    """The largest of the processes' numbers; it is asked for on the host, so that no card is waited for."""
    if world() == 1:
        return value
    answer = torch.tensor(value)
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return int(answer)


def total(value: int) -> int:
    """The sum of the processes' numbers."""
    return int(summed(torch.tensor(value)))


def wait_for_all() -> None:
    """Go on when every process has come here."""
    most(0)
