"""Batch norm over equal parts of a batch, and over several processes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oac.pretrain.distributed import all_gather_with_gradient, world_size


class _SplitBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm with statistics of `bn_splits` equal parts of the batch: what that many GPUs do, on one.

    MoCo shuffles keys among GPUs so that a query and its key never share their statistics (He et al., CVPR 2020,
    section 3.3); its code calls this SplitBatchNorm. Parameters, running statistics and evaluation are those of an
    ordinary batch norm, so weights move to one freely. Works in channels_last.

    `bn_splits` counts those of the whole batch. Where several processes share it each has its part of the splits; one
    split has its statistics over all processes. Running statistics move towards the mean of the splits' statistics,
    over several processes by the training loop, which averages them.

    Raises ValueError when a training batch does not divide into the splits, or the splits among the processes.
    """

    def __init__(self, channels: int, bn_splits: int = 1):
        super().__init__(channels)
        if bn_splits > 1 and bn_splits % world_size():
            raise ValueError(
                f"bn_splits: {bn_splits} does not divide among {world_size()} processes: set it to a multiple of"
                f" {world_size()}, or to 1 for statistics over all of them"
            )
        self.splits = max(1, bn_splits // world_size())
        self.synchronised = bn_splits == 1 and world_size() > 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C) or (B, C, H, W)."""
        if self.training and self.synchronised:
            return self._over_processes(x)
        if not self.training or self.splits == 1:
            return super().forward(x)
        if len(x) % self.splits:
            raise ValueError(f"a batch of {len(x)} does not divide into {self.splits} batch norm splits")
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        # Uncompiled, PyTorch's own kernel part by part is faster than arithmetic over all parts (docs/speed.md).
        return self._together(x) if torch.compiler.is_compiling() else self._part_by_part(x)

    def _together(self, x: Tensor) -> Tensor:
        """Normalise all splits by one reduction over (split, batch / split, pixels), which a compiler can fuse."""
        parts = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (self.splits, -1))
        axes, shape = [1, *range(3, parts.ndim)], [1, 1, -1] + [1] * (parts.ndim - 3)
        variance, mean = torch.var_mean(parts, dim=axes, correction=0, keepdim=True)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            count = parts.numel() / (self.splits * parts.shape[2])
            for running, value in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
                running.lerp_(value.detach().view(self.splits, -1).mean(0), self.momentum)
        scale = self.weight.view(shape) * torch.rsqrt(variance + self.eps)
        y = (parts - mean) * scale + self.bias.view(shape)
        return y.to(x.dtype).flatten(0, 1)

    def _part_by_part(self, x: Tensor) -> Tensor:
        """Normalise one split after the other."""
        running = (self.running_mean, self.running_var)
        # With a momentum of 1 / k the k-th update leaves the mean of k splits.
        means = [None if value is None else torch.zeros_like(value) for value in running]
        parts = [
            F.batch_norm(part, means[0], means[1], self.weight, self.bias, True, 1 / (number + 1), self.eps)
            for number, part in enumerate(x.chunk(self.splits))
        ]
        for value, mean in zip(running, means, strict=True):
            if value is not None and mean is not None and self.momentum is not None:
                value.lerp_(mean, self.momentum)
        return torch.cat(parts)

    def _over_processes(self, x: Tensor) -> Tensor:
        """Normalise by mean and variance of the batches of all processes, which are equally large."""
        axes, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
        variance, mean = torch.var_mean(x.float(), dim=axes, correction=0)
        means, variances = all_gather_with_gradient(torch.stack([mean, variance])).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            count = x.numel() / x.shape[1] * world_size()
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        y = (x.float() - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)


class SplitBatchNorm1d(_SplitBatchNorm, nn.BatchNorm1d):
    """Batch norm of feature vectors (B, C) over parts of the batch."""


class SplitBatchNorm2d(_SplitBatchNorm, nn.BatchNorm2d):
    """Batch norm of feature maps (B, C, H, W) over parts of the batch."""
