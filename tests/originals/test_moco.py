"""moco/builder.py beside `oac.pretrain.methods.moco`, in one process and in two."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oac.pretrain import distributed
from oac.pretrain.loader import Batch
from oac.pretrain.methods.moco import MoCo, MoCoOptions, _interleave
from oac.pretrain.nn import NarrowResNet

STEPS, PHOTOS, PLACES, PROCESSES = 6, 8, 24, 2  # 48 keys into 24 places


class Encoder(NarrowResNet):
    """The narrow network with the classifier `fc` that the authors replace by their head."""

    def __init__(self, num_classes):
        super().__init__(8, nn.BatchNorm2d)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        return self.fc(super().forward(x))


@pytest.fixture
def theirs(original):
    torch.manual_seed(0)
    return original("moco/moco/builder.py").MoCo(Encoder, dim=6, K=PLACES, m=0.9, T=0.2, mlp=True).double()


def ours_of(theirs, splits):
    """Ours with the weights and the queue of theirs."""
    options = MoCoOptions(queue=PLACES, key_momentum=0.9, dim=6, hidden=64, bn_splits=splits)
    ours = MoCo({"name": "narrow", "width": 8}, options).double()
    for mine, own in ((ours.encoder, theirs.encoder_q), (ours.key_encoder, theirs.encoder_k)):
        mine.load_state_dict({name: value for name, value in own.state_dict().items() if not name.startswith("fc")})
    for mine, own in ((ours.heads[0], theirs.encoder_q.fc), (ours.key_heads[0], theirs.encoder_k.fc)):
        mine.load_state_dict(own.state_dict())
    ours.queue.copy_(theirs.queue.T)
    return ours


def views(rank=0, processes=1):
    """A process's part of the queries and keys of all steps."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.randn(STEPS, 2, PHOTOS, 3, 16, 16, generator=generator, dtype=torch.double)
    return whole.chunk(processes, dim=2)[rank]


def descent(model):
    """Give a function that does a step of SGD."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, 0.9)

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def flat(*modules):
    return torch.cat([p.detach().reshape(-1) for module in modules for p in module.parameters()])


def train_theirs(theirs, steps):
    """Loss, networks, queue and its pointer in every step, as main_moco.py trains."""
    model = DistributedDataParallel(theirs) if distributed.world_size() > 1 else theirs
    step, seen = descent(theirs), []
    for query, key in steps:
        loss = F.cross_entropy(*model(query, key))
        keys = flat(theirs.encoder_k)  # moved as the pass begins
        step(loss)
        networks = {"key": keys, "query": flat(theirs.encoder_q)}
        seen.append({"loss": loss.detach(), **networks, "queue": theirs.queue.T.clone(), "at": int(theirs.queue_ptr)})
    return seen


def train_ours(ours, steps):
    """The same of ours, as our loop trains."""
    model = distributed.data_parallel(ours)
    step, seen = descent(ours), []
    for number, (query, key) in enumerate(steps):
        swapped = torch.zeros(len(query), dtype=torch.bool)
        loss, _ = model(query, key, Batch(query, key, None, None, None, swapped, None, 0))
        keys = flat(ours.key_encoder, ours.key_heads)  # moved when the step before ended
        step(loss)
        ours.after_step(number / STEPS)
        networks = {"key": keys, "query": flat(ours.encoder, ours.heads)}
        seen.append({"loss": loss.detach(), **networks, "queue": ours.queue.clone(), "at": int(ours.pointer)})
    return seen


def test_loss_encoders_and_queue_over_six_steps(theirs, alone):
    ours = ours_of(theirs, splits=1)
    for found, expected in zip(train_ours(ours, views()), train_theirs(theirs, views()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    states = ours.encoder.state_dict(), theirs.encoder_q.state_dict()
    assert any("running_var" in name for name in states[0])
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-12, atol=1e-12)


def train_both(rank, folder, theirs):
    """Train theirs and ours as one of two processes, and keep what was seen."""
    torch.set_num_threads(1)  # a forked process has no pool of compute threads to wait for
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    ours, own = ours_of(theirs, splits=PROCESSES), views(rank, PROCESSES)
    torch.save((train_theirs(theirs, own), train_ours(ours, own)), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_with_shuffled_keys(theirs, monkeypatch, tmp_path):
    """Batch norm is of each process's half, of the queries as they come and of the keys as they are shuffled.

    Their order of the keys is drawn anew in each step; ours deals them out in turn, always alike. Theirs is given it.
    """
    monkeypatch.setattr(torch, "randperm", lambda count: _interleave(count, PROCESSES, torch.device("cpu")))
    ours = ours_of(theirs, splits=PROCESSES)
    mp.start_processes(train_both, (tmp_path, theirs), nprocs=PROCESSES, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES))
    for expected, found in (first, second):
        for mine, own in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, own, rtol=1e-12, atol=1e-12)
    # One process with two splits of the batch is the same.
    for step, seen in enumerate(train_ours(ours, views())):
        expected = first[0][step] | {"loss": (first[0][step]["loss"] + second[0][step]["loss"]) / 2}
        torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)
