"""What is measured: a network and the size of its work, by what the machine at hand can do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from machine import cpu_flags


@dataclass(frozen=True)
class Setting:
    """What is measured: a network, views of `view_size` px, `batch_size` photos a step, `photos` in the store."""

    backbone: str
    width: int
    view_size: int
    batch_size: int
    photos: int
    queue: int
    threads: int
    device: str
    steps: int  # of one turn
    turns: int
    precision: str = "auto"
    photo_size: tuple[int, int] = (512, 341)  # as the full study stores them

    @classmethod
    def of_machine(cls) -> Setting:
        """ResNet-50 at 224 px where there is a GPU, else ResNet-18 at 64 px on all cores.

        In bfloat16 on a processor that multiplies it: a study must ask for that, and whoever wants speed will.
        """
        cores = len(os.sched_getaffinity(0))
        if torch.cuda.is_available():
            return cls("resnet50", 0, 224, 256, 1024, 65536, cores, "cuda", 40, 5)
        precision = "bf16" if cpu_flags() & {"avx512_bf16", "amx_bf16"} else "fp32"
        return cls("resnet18", 0, 64, 64, 384, 16384, cores, "cpu", 6, 9, precision)

    def recipe(self, policy: str = "scene-scene") -> dict[str, Any]:
        """The run that is measured: MoCo-v2 as published, but for the queue's length."""
        return {
            "method": "moco_v2",
            "seed": 0,
            "backbone": {"name": self.backbone} | ({"width": self.width} if self.width else {}),
            "crops": {"policy": policy},
            "view_size": self.view_size,
            "precision": self.precision,
            "augment": {},
            "options": {"batch_size": self.batch_size, "lr": 0.03, "queue": self.queue, "bn_splits": 8},
        }
