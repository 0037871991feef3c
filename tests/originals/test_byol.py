"""BYOL's authors' byol_experiment.py, with numpy or torch for JAX, beside our BYOL, its schedules and LARS."""

import copy
import types
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from oac.pretrain.lars import LARS
from oac.pretrain.methods.byol import BYOL, BYOLOptions, target_momentum
from oac.pretrain.optimizer import OptimizerOptions, build_optimizer, learning_rate


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


def apply_updates(params, updates):
    return tree_map(lambda p, u: p + u, params, updates)


def stand_ins(numpy=np):
    """What of JAX, optax and dm-tree the files use, over numpy arrays, or torch's tensors, in dictionaries."""
    optax = types.ModuleType("optax")
    optax.Updates = optax.Params = dict
    optax.GradientTransformation, optax.chain, optax.scale = Transformation, chain, scale
    optax.apply_updates = apply_updates
    tree, jax = types.ModuleType("tree"), types.ModuleType("jax")
    tree.map_structure_with_path, jax.tree_map, jax.numpy = with_path, tree_map, numpy
    tree.__spec__ = ModuleSpec("tree", None)  # torch asks whether it is installed
    return {"jax": jax, "jax.numpy": numpy, "optax": optax, "tree": tree}


def torch_for_numpy():
    """What of jax.numpy the files use, over torch's tensors, so that it has gradients; float32 is float64."""
    return types.SimpleNamespace(
        ndarray=torch.Tensor, float32=torch.float64, pi=np.pi, array=torch.tensor, zeros_like=torch.zeros_like,
        sum=torch.sum, mean=torch.mean, square=torch.square, cos=torch.cos, where=torch.where, linalg=torch.linalg,
        minimum=lambda x, most: x.clamp(max=most), maximum=lambda x, least: x.clamp(min=least),
    )  # fmt: skip


def grad(function, argnums, has_aux):
    """jax.grad of a function of a tree of parameters, which also returns other things."""
    assert argnums == 0
    assert has_aux

    def gradients(params, *arguments):
        leaves = []
        params = tree_map(lambda p: leaves.append(p.detach().requires_grad_()) or leaves[-1], params)
        loss, other = function(params, *arguments)
        found = iter(torch.autograd.grad(loss, leaves))
        return tree_map(lambda _: next(found), params), other

    return gradients


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
        params = apply_updates(params, updates)
        found = tree(lambda p: p.detach().numpy())
        for name, part in params.items():
            for key, value in part.items():
                np.testing.assert_allclose(found[name][key], value, rtol=1e-12, atol=1e-12)
        for name, part in net.items():  # so that the next step starts from equal bits
            for key, parameter in part.named_parameters():
                parameter.data.copy_(torch.from_numpy(params[name][keys[key]]))


@pytest.fixture
def experiment(original, monkeypatch):
    """Their class, whose networks, data and devices are replaced; optimiser, schedules and loss are theirs."""
    monkeypatch.setattr(torch.Tensor, "astype", torch.Tensor.to, raising=False)
    modules = stand_ins(torch_for_numpy()) | {name: MagicMock() for name in ("absl", "acme", "acme.jax", "haiku")}
    jax = modules["jax"]
    jax.grad, jax.nn = (
        grad,
        types.SimpleNamespace(one_hot=lambda labels, _: labels, log_softmax=lambda logits: logits),
    )
    jax.lax = types.SimpleNamespace(
        stop_gradient=torch.detach, rsqrt=torch.rsqrt, pmean=lambda value, axis_name: value
    )
    utils = MagicMock()
    utils.augmentations.postprocess = lambda inputs, rng: inputs
    for name in ("helpers", "optimizers", "schedules"):
        setattr(utils, name, original(f"deepmind-research/byol/utils/{name}.py", absent=modules))
    utils.helpers.topk_accuracy = lambda *_, **__: torch.zeros(1)  # of the classifier beside, which is logged
    modules |= {"byol": MagicMock(), "byol.utils": utils}
    return original("deepmind-research/byol/byol_experiment.py", absent=modules)


class Network(nn.Module):
    """Our encoder, projector and predictor as theirs are called: by parameters in a tree that are handed over."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = copy.deepcopy(nn.Sequential(*parts))
        norms = [name for name, part in self.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self.places = {}  # of parameters in a tree: Haiku's names of modules, and in them w and b
        for name, _ in self.named_parameters():
            module, _, kind = name.rpartition(".")
            self.places[name] = module + "_batch_norm" * (module in norms), kind[0]

    def tree(self):
        found = {}
        for name, parameter in self.named_parameters():
            module, kind = self.places[name]
            found.setdefault(module, {})[kind] = parameter.detach()
        return found

    def forward(self, view):
        projection = self.parts[:2](view)
        return projection, self.parts[2](projection)

    def apply(self, *, params, state, inputs, is_training):
        assert is_training
        own = {name: params[module][kind] for name, (module, kind) in self.places.items()}
        outputs = {"logits_view1": torch.zeros_like(inputs["labels"])}
        for view in ("view1", "view2"):
            outputs["projection_" + view], outputs["prediction_" + view] = functional_call(self, own, (inputs[view],))
        return outputs, state


def networks(ours):
    """The trees of the online network and of the target, of which theirs has a predictor that no loss reads."""
    pairs = (ours.encoder, ours.target_encoder), (ours.projector, ours.target_projector)
    return [Network(*parts, ours.predictor).tree() for parts in zip(*pairs, strict=True)]


def test_loss_and_both_networks_over_six_steps(experiment):
    """Their function for one step, six times: the loss of both directions, its gradient, LARS and the target."""
    steps, photos = 6, 8
    torch.manual_seed(0)
    ours = BYOL({"name": "narrow", "width": 8}, BYOLOptions(target_momentum=0.9, dim=5, hidden=12)).double()
    with torch.no_grad():  # as theirs begin: apart, where ours is a copy
        for parameter in (*ours.target_encoder.parameters(), *ours.target_projector.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = object.__new__(experiment.ByolExperiment)
    theirs.__dict__.update(
        _enable_double_transpose=False, _num_classes=1, _batch_size=photos, _max_steps=steps, _base_target_ema=0.9,
        _lr_schedule_config={"base_learning_rate": 8.0 * 256 / photos, "warmup_steps": 2},
        _optimizer_config={"weight_decay": 1e-2, "eta": 1e-3, "momentum": 0.9},
        forward=Network(ours.encoder, ours.projector, ours.predictor),
    )  # fmt: skip
    online, target = networks(ours)
    state = experiment._ByolExperimentState(online, target, None, None, theirs._optimizer(0).init(online))
    schedule = OptimizerOptions(8.0, optimizer="lars", weight_decay=1e-2, warmup=2 / steps)
    optimizer = build_optimizer(schedule, ours)
    for step in range(steps):
        query, key = torch.randn(2, photos, 3, 16, 16, dtype=torch.double)
        inputs = {"view1": query, "view2": key, "labels": torch.zeros(photos, 1)}
        state, logs = theirs._update_fn(state, torch.tensor(step, dtype=torch.double), None, inputs)
        loss, _ = ours.loss(query, key, None)
        torch.testing.assert_close(loss, logs["repr_loss"], rtol=1e-12, atol=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = learning_rate(schedule, step, steps)
        optimizer.step()
        ours.after_step(step / steps)
        online, target = networks(ours)
        torch.testing.assert_close(online, state.online_params, rtol=1e-12, atol=1e-12)
        for name, part in target.items():
            if not name.startswith("parts.2"):
                torch.testing.assert_close(part, state.target_params[name], rtol=1e-12, atol=1e-12)
