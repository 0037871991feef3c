"""byol/utils/schedules.py and optimizers.py of BYOL's authors, with numpy for JAX, beside our schedules and LARS."""

import types
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from oac.pretrain.lars import LARS
from oac.pretrain.methods.byol import target_momentum
from oac.pretrain.optimizer import OptimizerOptions, learning_rate


class Transformation(NamedTuple):
    init: Any
    update: Any


def tree_map(function, *trees):
    if isinstance(trees[0], dict):
        return {key: tree_map(function, *(tree[key] for tree in trees)) for key in trees[0]}
    return function(*trees)


def with_path(function, tree, path=()):
    if isinstance(tree, dict):
        return {key: with_path(function, value, (*path, key)) for key, value in tree.items()}
    return function(path, tree)


def chain(*parts):
    def update(gradients, states, params):
        after = []
        for part, state in zip(parts, states, strict=True):
            gradients, state = part.update(gradients, state, params)
            after.append(state)
        return gradients, after

    return Transformation(lambda params: [part.init(params) for part in parts], update)


def scale(factor):
    return Transformation(lambda _: None, lambda given, state, _: (tree_map(lambda g: factor * g, given), state))


def stand_ins():
    """What of JAX, optax and dm-tree the two files use, over numpy arrays in dictionaries."""
    optax = types.ModuleType("optax")
    optax.Updates = optax.Params = dict
    optax.GradientTransformation, optax.chain, optax.scale = Transformation, chain, scale
    tree, jax = types.ModuleType("tree"), types.ModuleType("jax")
    tree.map_structure_with_path, jax.tree_map, jax.numpy = with_path, tree_map, np
    tree.__spec__ = ModuleSpec("tree", None)  # torch asks whether it is installed
    return {"jax": jax, "jax.numpy": np, "optax": optax, "tree": tree}


@pytest.mark.parametrize(("warmup", "steps"), [(10, 200), (0, 60)])
def test_rates_and_momenta_of_every_step(original, warmup, steps):
    theirs = original("deepmind-research/byol/utils/schedules.py", absent=stand_ins())
    for step in range(steps):
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = theirs.learning_schedule(np.int64(step), 4096, 0.3, steps, warmup)
        assert learning_rate(OptimizerOptions(4.8, warmup=warmup / steps), step, steps) == pytest.approx(
            rate, rel=1e-6
        )
        assert target_momentum(0.99, step / steps) == pytest.approx(theirs.target_ema(step, 0.99, steps), rel=1e-12)


def test_lars_over_ten_steps_with_changing_rates(original):
    theirs = original("deepmind-research/byol/utils/optimizers.py", absent=stand_ins())
    torch.manual_seed(0)
    net = nn.ModuleDict({"linear": nn.Linear(6, 5), "batchnorm": nn.BatchNorm1d(5)}).double()
    keys = {"weight": "w", "bias": "b"}

    def tree(values):
        """Haiku's names: modules, and in them w and b."""
        return {name: {keys[key]: values(p) for key, p in part.named_parameters()} for name, part in net.items()}

    params = tree(lambda p: p.detach().numpy().copy())
    optimizer = LARS(net.parameters(), 1.0, 0.9, weight_decay=1e-2)
    excluded = theirs.exclude_bias_and_norm
    state = theirs.lars(0.0, 1e-2).init(params)
    for step in range(10):
        rate = optimizer.param_groups[0]["lr"] = 0.01 * (step + 1) ** 2
        optimizer.zero_grad()
        net["batchnorm"](net["linear"](torch.randn(8, 6, dtype=torch.double))).pow(3).mean().backward()
        gradients = tree(lambda p: p.grad.numpy().copy())
        optimizer.step()
        rule = theirs.lars(rate, 1e-2, weight_decay_filter=excluded, lars_adaptation_filter=excluded)
        updates, state = rule.update(gradients, state, params)
        params = tree_map(lambda p, u: p + u, params, updates)
        found = tree(lambda p: p.detach().numpy())
        for name, part in params.items():
            for key, value in part.items():
                np.testing.assert_allclose(found[name][key], value, rtol=1e-12, atol=1e-12)
        for name, part in net.items():  # so that the next step starts from equal bits
            for key, parameter in part.named_parameters():
                parameter.data.copy_(torch.from_numpy(params[name][keys[key]]))
