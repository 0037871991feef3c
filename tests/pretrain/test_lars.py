"""LARS, LARC and the schedules against their equations, one parameter at a time."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from oac.pretrain.lars import LARC, LARS
from oac.pretrain.nn import projection_head
from oac.pretrain.optimizer import OptimizerOptions, build_optimizer, learning_rate

LR, MOMENTUM, DECAY, TRUST = 2.0, 0.9, 0.1, 0.001


def reference_step(weights, gradients, velocity, rate):
    """The update of BYOL's authors: momentum sums what is adapted, and the step's rate multiplies the sum.

    A vector is a bias or a batch norm parameter.
    """
    for name, w in weights.items():
        u = gradients[name]
        if w.ndim > 1:
            u = u + DECAY * w
            long = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
            u = u * (TRUST * long[0] / long[1] if min(long) > 0 else 1.0)
        velocity[name] = MOMENTUM * velocity.get(name, 0.0) + u
        weights[name] = w - rate * velocity[name]


def larc_step(weights, gradients, velocity, rate):
    """The update of apex's LARC without clipping around SGD: every parameter that has a length is adapted."""
    for name, w in weights.items():
        u = gradients[name]
        long = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
        if min(long) > 0:
            u = (u + DECAY * w) * TRUST * long[0] / (long[1] + DECAY * long[0] + 1e-8)
        velocity[name] = MOMENTUM * velocity.get(name, 0.0) + u
        weights[name] = w - rate * velocity[name]


@pytest.mark.parametrize(("kind", "reference"), [(LARS, reference_step), (LARC, larc_step)])
def test_several_steps_equal_the_equations_also_for_biases_batch_norm_and_weights_of_zero(kind, reference):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    nn.init.zeros_(net[0].weight)
    optimizer = kind(net.parameters(), LR, MOMENTUM, DECAY)
    weights = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    start, velocity = copy.deepcopy(weights), {}
    for step in range(5):
        rate = optimizer.param_groups[0]["lr"] = LR * (step + 1) ** 2 / 9  # one that rises shows what it multiplies
        loss = (net(torch.randn(6, 3, 8, 8, dtype=torch.double)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: p.grad.numpy().copy() for name, p in net.named_parameters()}
        optimizer.step()
        reference(weights, gradients, velocity, rate)
        for name, p in net.named_parameters():
            np.testing.assert_allclose(p.detach().numpy(), weights[name], rtol=1e-9, atol=1e-12, err_msg=name)
            assert np.array_equal(p.grad.numpy(), gradients[name]), "gradients belong to the caller"
    assert {"1.weight", "1.bias", "3.bias", "0.weight"} <= {n for n in weights if (weights[n] != start[n]).any()}


def test_the_step_of_a_layer_does_not_depend_on_the_size_of_its_gradient_but_that_of_a_bias_does():
    moved = []
    for scale in (1.0, 1000.0):
        torch.manual_seed(0)
        layer = nn.Linear(6, 4)
        before = copy.deepcopy(layer)
        (scale * layer(torch.ones(2, 6)).sum()).backward()
        LARS(layer.parameters(), LR, MOMENTUM).step()
        moved.append([(a - b).norm().item() for a, b in zip(layer.parameters(), before.parameters(), strict=True)])
    assert moved[0][0] == pytest.approx(LR * TRUST * before.weight.norm().item(), rel=1e-3)
    assert moved[1][0] == pytest.approx(moved[0][0], rel=1e-3)
    assert moved[1][1] == pytest.approx(1000 * moved[0][1], rel=1e-3)


def test_parameters_without_a_gradient_stay_and_the_state_goes_through_a_checkpoint():
    torch.manual_seed(0)
    first = projection_head(6, 5, 4, batch_norm=True)
    first[0].requires_grad_(False)
    held = first[0].weight.clone()
    x = torch.randn(8, 6)
    optimizer = LARS(first.parameters(), LR, MOMENTUM, DECAY)

    def step(net, optimizer):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()

    step(first, optimizer)
    second = copy.deepcopy(first)
    other = LARS(second.parameters(), LR, MOMENTUM, DECAY)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(first, optimizer)
    step(second, other)
    assert torch.equal(first[0].weight, held)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_recipe_chooses_the_optimizer_and_an_unknown_one_is_named():
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    built = [
        build_optimizer(OptimizerOptions(0.1, **named), net)
        for named in ({}, {"optimizer": "lars"}, {"optimizer": "larc"})
    ]
    assert [type(optimizer) for optimizer in built] == [torch.optim.SGD, LARS, LARC]
    for optimizer in built:
        (group,) = optimizer.param_groups
        assert [id(p) for p in group["params"]] == [id(net.weight)]
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 1e-4)
    with pytest.raises(ValueError, match=r"'adam': choose sgd, lars, larc"):
        build_optimizer(OptimizerOptions(0.1, optimizer="adam"), net)


@pytest.mark.parametrize(("warmup", "steps"), [(0.05, 200), (0.29, 100), (0.0, 50), (0.05, 1)])
def test_every_rate_of_a_run_is_that_of_byols_authors(warmup, steps):
    """`learning_schedule` of byol/utils/schedules.py, whose warm-up is a whole number of steps."""
    rise = int(warmup * steps + 1e-9)
    for step in range(steps):
        expected = (
            4.8 * step / rise if step < rise else 4.8 * 0.5 * (1 + np.cos(np.pi * (step - rise) / (steps - rise)))
        )
        assert learning_rate(OptimizerOptions(4.8, warmup=warmup), step, steps) == pytest.approx(expected, abs=1e-12)


def test_a_cosine_falls_from_the_peak_to_its_end_after_the_warm_up():
    rates = [learning_rate(OptimizerOptions(0.6, final_lr=0.1, warmup=0.1), step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.06 * step for step in range(10)])
    assert rates[10] == 0.6
    assert rates[55] == pytest.approx((0.6 + 0.1) / 2)
    assert rates[99] == pytest.approx(0.1, abs=1e-3)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_drops_divide_the_rate_by_ten_each():
    rates = [learning_rate(OptimizerOptions(0.03, drops=(0.5, 0.75)), step, 8) for step in range(8)]
    assert rates == pytest.approx([0.03] * 4 + [0.003] * 2 + [0.0003] * 2)
