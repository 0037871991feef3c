"""main_swav.py with apex/parallel/LARC.py beside `oac.pretrain.methods.swav` and `oac.pretrain.lars.LARC`."""

import copy
import math
import time
import types

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from oac.pretrain.lars import LARC
from oac.pretrain.methods.swav import SwAV, SwAVOptions
from oac.pretrain.optimizer import OptimizerOptions, learning_rate

STEPS, BATCH = 8, 4
# A decay that float32 has exactly, as which `torch.where` takes a number, and large enough to be seen.
SCHEDULE = OptimizerOptions(0.6, final_lr=0.006, optimizer="larc", weight_decay=2**-7)


class Meter:
    avg = 0.0

    def update(self, *_):
        pass


class Theirs(nn.Module):
    """Our networks as the authors' loop calls theirs; views of one size share a pass."""

    def __init__(self, ours):
        super().__init__()
        self.encoder, self.projector, self.prototypes = ours.encoder, ours.projector, ours.prototypes

    @property
    def module(self):
        return self

    def forward(self, inputs):
        features = [self.encoder(torch.cat(inputs[:2])), self.encoder(torch.cat(inputs[2:]))]
        z = F.normalize(self.projector(torch.cat(features)), dim=1)
        return z, self.prototypes(z)


def test_the_training_loop_with_multi_crop_queue_and_larc(original, monkeypatch):
    args = types.SimpleNamespace(
        crops_for_assign=[0, 1], nmb_crops=[2, 2], temperature=0.1, epsilon=0.05, sinkhorn_iterations=3, world_size=1,
        freeze_prototypes_niters=2, use_fp16=False, rank=1,
    )  # fmt: skip
    around = {
        "torch": torch, "nn": nn, "F": F, "np": np, "time": time, "math": math, "AverageMeter": Meter, "args": args,
        "dist": types.SimpleNamespace(all_reduce=lambda value: value),
    }  # fmt: skip
    loop = original("swav/main_swav.py", only=("train", "distributed_sinkhorn"), around=around)
    larc = original("apex/apex/parallel/LARC.py").LARC
    torch.manual_seed(0)
    options = SwAVOptions(prototypes=7, dim=5, hidden=12, queue=2 * BATCH, queue_from=0.0, freeze=2 / STEPS)
    ours = SwAV({"name": "narrow", "width": 8}, options).double()
    ours._normalise_prototypes()  # to unit length in float64
    theirs = Theirs(copy.deepcopy(ours))
    steps = [[torch.randn(BATCH, 3, side, side, dtype=torch.double) for side in (16, 16, 8, 8)] for _ in range(STEPS)]
    rates = [learning_rate(SCHEDULE, step, STEPS) for step in range(STEPS)]
    # The authors' schedule, from main_swav.py without warm-up.
    assert rates == [0.006 + 0.5 * (0.6 - 0.006) * (1 + math.cos(math.pi * t / STEPS)) for t in range(STEPS)]
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.6, momentum=0.9, weight_decay=SCHEDULE.weight_decay)
    queue = torch.zeros(2, options.queue, options.dim, dtype=torch.double)
    _, queue = loop.train(steps, theirs, larc(sgd, trust_coefficient=0.001, clip=False), 0, rates, queue)
    optimizer = LARC(ours.parameters(), lr=0.6, momentum=0.9, weight_decay=SCHEDULE.weight_decay)
    start = copy.deepcopy(ours.state_dict())
    for step, (query, key, *small) in enumerate(steps):
        loss, _ = ours.loss(query, key, types.SimpleNamespace(small=torch.cat(small)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.param_groups[0]["lr"] = rates[step]
        ours.before_step(step / STEPS)
        optimizer.step()
        ours.after_step(step / STEPS)
    theirs.prototypes.weight.data = F.normalize(theirs.prototypes.weight.data, dim=1)  # they do it as a step begins
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(
            ours.state_dict()[name], value, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )
    moved = [
        float((value - start[name]).abs().max()) for name, value in ours.state_dict().items() if "weight" in name
    ]
    assert min(moved) > 1e-4, "a weight that does not move shows nothing"
    for mine, own in zip(ours.queue, queue, strict=True):  # theirs has the newest batch first
        torch.testing.assert_close(torch.cat(mine.split(BATCH)[::-1]), own, rtol=1e-10, atol=1e-10)
