"""Communication between the processes of one run, under torch.distributed's names; one process keeps what it has.

The batch of a step is dealt out in equal parts, one to each process of torch's default group (one GPU each).
Every objective here is a mean over the batch, so that the mean of the processes' gradients, which
DistributedDataParallel takes, is what one process would have computed from the whole batch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def process_group(gpus: bool) -> Iterator[str]:
    """Join the processes that torchrun started, and give this one's device; alone there is nothing to join.

    Communicates over NCCL between GPUs and over gloo on the host, so that decisions there wait for no GPU.
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


def world_size() -> int:
    """How many processes train this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def data_parallel(module: nn.Module) -> nn.Module:
    """Wrap a module so that backward passes average its gradients over the processes; one alone it stays as it is.

    Every parameter that requires a gradient must get one in every backward pass. Buffers are not broadcast: queues
    and memory banks are equal in all processes, and running statistics are averaged by the training loop.
    """
    if world_size() == 1:
        return module
    with warnings.catch_warnings():
        # torch 2.14 calls the option forward_sync_buffers, which 2.11 does not know.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)


def averaging(model: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Forward and backward passes after which gradients are averaged over the processes, or only added up."""
    if now or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    waiting: AbstractContextManager[None] = model.no_sync()
    return waiting


def convert_sync_batchnorm(module: nn.Module) -> None:
    """Put torch's SyncBatchNorm, which there is for GPUs only, in the place of a method's batch norms that need it.

    Those have their statistics over all processes (`synchronised`): all of a method's batch norms or none.
    """
    if any(getattr(child, "synchronised", False) for child in module.modules()):
        nn.SyncBatchNorm.convert_sync_batchnorm(module)


@torch.no_grad()
def all_gather(part: Tensor) -> Tensor:
    """Join every process's part (n, ...) along the first axis, in the order of their ranks; no gradient flows."""
    if world_size() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


class _Sum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return all_reduce_sum(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return all_reduce_sum(gradients[0])


def all_gather_with_gradient(part: Tensor) -> Tensor:
    """Stack every process's part: (world size, *part.shape). Each gets the gradients of all for its own."""
    rows = [part if row == rank() else torch.zeros_like(part) for row in range(world_size())]
    stacked: Tensor = _Sum.apply(torch.stack(rows))
    return stacked


@torch.no_grad()
def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum a tensor over the processes; no gradient flows."""
    if world_size() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


@torch.no_grad()
def average_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one type by their means over the processes, in one message."""
    tensors = list(tensors)
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    means = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [mean.view_as(tensor) for tensor, mean in zip(tensors, means, strict=True)])


def all_reduce_max(value: int) -> int:
    """The largest of the processes' numbers; it is asked for on the host, so that no GPU is waited for."""
    if world_size() == 1:
        return value
    result = torch.tensor(value)
    dist.all_reduce(result, dist.ReduceOp.MAX)
    return int(result)


def barrier() -> None:
    """Go on when every process has come here."""
    all_reduce_max(0)
