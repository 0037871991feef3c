"""A batch computed in parts that follow each other, for GPUs that are too small for all of it.

Gradients add up, so that a step is that of the whole batch. This holds where no sample's loss depends on samples of
another part: batch norm must be in splits of which each lies in one part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from oac.pretrain.loader import Batch


def prepare(method: nn.Module, parts: int) -> None:
    """Have the batch norms of a method work on one of `parts` equal parts of a batch at a time.

    Their running statistics end a batch where they end it otherwise. Raises ValueError where splits do not divide.
    """
    norms = [module for module in method.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms if parts > 1 else []:
        splits = getattr(norm, "splits", 1)
        if splits % parts or norm.momentum is None:
            raise ValueError(
                f"accumulate: {parts} parts of a batch cannot be computed one after the other, as a batch norm has"
                f" {splits} splits in a process: set bn_splits to a multiple, or accumulate to 1"
            )
        norm.splits = splits // parts  # type: ignore[assignment]
        norm.register_forward_pre_hook(_PartMomentum(norm.momentum, parts))


class _PartMomentum:
    """Sets a batch norm's momentum for each part, so that all parts weigh alike in its running statistics."""

    def __init__(self, whole: float, parts: int):
        self.whole, self.parts, self.left = whole, parts, parts

    def __call__(self, norm: nn.modules.batchnorm._BatchNorm, _: tuple[Tensor, ...]) -> None:
        if norm.training:
            self.left = (self.left or self.parts) - 1
            norm.momentum = self.whole / (self.parts - self.left * self.whole)


def parts_of(query: Tensor, key: Tensor, batch: Batch, count: int) -> Iterator[tuple[Tensor, Tensor, Batch]]:
    """Cut a batch without small views into `count` equal parts."""
    if len(query) % count:
        raise ValueError(f"accumulate: a batch of {len(query)} does not divide into {count} parts")
    keys = [None] * count if batch.keys is None else batch.keys.chunk(count)
    for number, rows in enumerate(np.arange(len(query)).reshape(count, -1)):
        own = slice(rows[0], rows[-1] + 1)
        part = replace(
            batch,
            query=batch.query[own],
            key=batch.key[own],
            epoch=batch.epoch[own],
            item=batch.item[own],
            image=batch.image[own],
            swapped=batch.swapped[own],
            labels=batch.labels[own],
            keys=keys[number],
        )
        yield query[own], key[own], part
