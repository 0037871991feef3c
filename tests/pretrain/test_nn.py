import copy
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import nn

from oac.pretrain import methods
from oac.pretrain.nn import (
    NarrowResNet,
    backbone,
    compile_backbones,
    load_encoder,
    projection_head,
    save_encoder,
)
from oac.pretrain.norm import SplitBatchNorm1d, SplitBatchNorm2d
from oac.studies import schema

# The one reduction of a GPU and of compiled networks, and a CPU's part by part.
IMPLEMENTATIONS = ("_together", "_part_by_part")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_split_batch_norm_equals_a_batch_norm_per_split(memory, implementation):
    torch.manual_seed(0)
    x = (torch.randn(12, 5, 4, 4, dtype=torch.float64) * 3 + 1).to(memory_format=memory).requires_grad_()
    y = x.detach().clone().requires_grad_()
    ours, theirs = SplitBatchNorm2d(5, bn_splits=3).double(), nn.BatchNorm2d(5).double()
    nn.init.uniform_(ours.weight)
    nn.init.uniform_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    theirs.momentum = 1 - (1 - ours.momentum) ** (1 / 3)
    result = getattr(ours, implementation)(x)
    expected = torch.cat([theirs(part) for part in y.split(4)])
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=memory)
    # Splits are different, so the whole batch's statistics would give something else.
    assert not torch.allclose(theirs(y), expected, atol=1e-3)
    for norm in (ours, theirs):
        norm.zero_grad()
    weights = torch.randn_like(result)
    (result * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_running_statistics_are_the_mean_of_those_of_as_many_processes(implementation):
    torch.manual_seed(0)
    ours, processes = SplitBatchNorm1d(3, bn_splits=4), [nn.BatchNorm1d(3) for _ in range(4)]
    for _ in range(3):
        x = torch.randn(20, 3) * 2 + torch.arange(20)[:, None]
        getattr(ours, implementation)(x)
        for norm, part in zip(processes, x.split(5), strict=True):
            norm(part)
        for name in ("running_mean", "running_var"):
            mean = torch.stack([getattr(norm, name) for norm in processes]).mean(0)
            torch.testing.assert_close(getattr(ours, name), mean)


def test_one_reduction_keeps_half_precision_outside_and_float32_inside():
    torch.manual_seed(0)
    x = (torch.randn(8, 4, 6, 6) * 0.1 + 10).to(torch.bfloat16)  # a mean that bfloat16 would round to 1/16
    norm = SplitBatchNorm2d(4, bn_splits=2)
    result = norm._together(x)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), norm._part_by_part(x.float()), atol=0.02, rtol=0)


@pytest.mark.parametrize(("name", "width"), [("narrow", 8), ("resnet18", 0), ("resnet50", 0)])
def test_networks_compile_without_a_graph_break(name, width):
    net, features = backbone(name, width=width, bn_splits=2)
    head = projection_head(features, 8, 4, batch_norm=True, bn_splits=2)
    x = torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for module, given in ((net, x), (head, torch.randn(4, features))):
        found = torch._dynamo.explain(module)(given)
        assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


def test_a_compiled_network_is_the_uncompiled_one():
    """By the compiler that a GPU's runs use, which here writes code for the CPU."""
    torch.manual_seed(0)
    net = backbone("narrow", width=8, bn_splits=4)[0].double().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(net)
    compile_backbones(net)
    for _ in range(2):
        x = torch.randn(16, 3, 32, 32, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
        ours, theirs = net(x), plain(x)
        torch.testing.assert_close(ours, theirs)
        ours.square().sum().backward()
        theirs.square().sum().backward()
    for (name, a), b in zip(net.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    torch.testing.assert_close(dict(net.named_buffers()), dict(plain.named_buffers()), atol=1e-6, rtol=1e-6)


def test_running_statistics_move_as_far_as_one_ordinary_update_moves_them():
    torch.manual_seed(0)
    part = torch.randn(8, 3, 4, 4) * 2 + 5
    split, ordinary = SplitBatchNorm2d(3, bn_splits=4), nn.BatchNorm2d(3)
    split(part.repeat(4, 1, 1, 1))  # four equal splits
    ordinary(part)
    torch.testing.assert_close(split.running_mean, ordinary.running_mean)
    torch.testing.assert_close(split.running_var, ordinary.running_var)


def test_evaluation_is_that_of_an_ordinary_batch_norm_and_weights_move_freely():
    split, ordinary = SplitBatchNorm2d(3, bn_splits=2), nn.BatchNorm2d(3)
    split(torch.randn(4, 3, 2, 2))
    ordinary.load_state_dict(split.state_dict())
    x = torch.randn(3, 3, 2, 2)
    torch.testing.assert_close(split.eval()(x), ordinary.eval()(x))


def test_a_batch_that_does_not_divide_into_the_splits_is_refused():
    with pytest.raises(ValueError, match="10 does not divide into 4"):
        SplitBatchNorm2d(3, bn_splits=4)(torch.randn(10, 3, 2, 2))


@pytest.mark.parametrize(("name", "width", "features"), [("narrow", 8, 64), ("resnet18", 0, 512)])
def test_an_encoder_comes_back_from_its_file(tmp_path, name, width, features):
    torch.manual_seed(0)
    net, length = backbone(name, width=width, bn_splits=2)
    net(torch.randn(4, 3, 32, 32))  # moves the running statistics
    recipe = {"backbone": {"name": name, "width": width}, "seed": 7}
    save_encoder(net, recipe, tmp_path / "encoder.safetensors")
    loaded = load_encoder(tmp_path / "encoder.safetensors")
    x = torch.randn(3, 3, 40, 40)
    assert loaded(x).shape == (3, features) == (3, length)
    torch.testing.assert_close(loaded(x), net.eval()(x))
    assert not loaded.training


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnext50_32x4d"])
def test_resnet_weights_have_torchvisions_names_and_meaning(name):
    net, _ = backbone(name, bn_splits=4)
    theirs = torchvision.models.get_model(name)
    theirs.fc = nn.Identity()
    theirs.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(theirs.eval()(x), net.eval()(x))


RESNETS = [name for name in torchvision.models.list_models(module=torchvision.models) if "resne" in name]


@pytest.mark.parametrize("name", RESNETS)
def test_every_resnet_of_torchvision_is_a_backbone_of_the_schema_and_can_be_halved(name):
    assert re.fullmatch(schema()["properties"]["backbone"]["properties"]["name"]["pattern"], name)
    assert len(RESNETS) == 10
    with torch.device("meta"):  # the largest has half a gigabyte of weights
        net, features = backbone(name)
        theirs = torchvision.models.get_model(name)
        x = torch.randn(2, 3, 64, 64)
        assert net(x).shape == (2, features) == (2, theirs.fc.in_features)
        theirs.fc = nn.Identity()
        shapes = {key: value.shape for key, value in net.state_dict().items()}
        assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}
        half, length = backbone(name, channels=1, halved=True)
        assert half(x[:, :1]).shape == (2, features / 2) == (2, length)


def test_a_file_without_a_recipe_and_an_unknown_backbone_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"note": json.dumps("x")})
    with pytest.raises(ValueError, match=r"other\.safetensors carries no recipe"):
        load_encoder(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="resnet51"):
        backbone("resnet51")
    with pytest.raises(ValueError, match="multiples of 8"):
        backbone("narrow", width=12)


def test_projection_head_normalises_its_hidden_layer_only_where_asked():
    kinds = [[type(layer) for layer in projection_head(8, 6, 4, batch_norm=norm)] for norm in (False, True)]
    assert kinds == [[nn.Linear, nn.ReLU, nn.Linear], [nn.Linear, SplitBatchNorm1d, nn.ReLU, nn.Linear]]


def test_the_narrow_networks_block_is_torchvisions_by_name_and_value():
    from torchvision.models.resnet import BasicBlock

    torch.manual_seed(0)
    net, _ = backbone("narrow", width=8)
    ours = net.layer2
    shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    theirs = BasicBlock(8, 16, 2, shortcut)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 8, 6, 6)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("method", ["moco_v2", "cmc"])
def test_a_compiled_method_has_the_same_parameters_and_features(method, monkeypatch):
    """Without generating code: what is asked for is that every ResNet is compiled, where it stands."""
    recipe = {"method": method, "seed": 0, "backbone": {"name": "narrow", "width": 16}, "crops": {"policy": "x"}}
    options = {"queue": 8, "dim": 8, "hidden": 8} if method == "moco_v2" else {"dim": 8, "negatives": 4}
    net = methods.build(recipe | {"options": options}, np.zeros((4, 1)))
    x = torch.randn(2, 3, 32, 32)
    names, features = list(net.state_dict()), net.eval().encoder(x)
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compiled.append(type(module).__name__))
    compile_backbones(net)
    assert compiled == ["NarrowResNet"] * 2  # query and key, or lightness and colours
    monkeypatch.undo()
    for module in net.modules():
        if isinstance(module, NarrowResNet):
            module.compile(backend="eager")
    assert list(net.state_dict()) == names
    torch.testing.assert_close(net.encoder(x), features)


SAFE = """
import torch
import torch.nn.functional as F
from oac.pretrain.nn import TwoStream, backbone
builds = [lambda width=width: backbone("narrow", width=width)[0] for width in (8, 16, 24, 32, 40)]
builds += [lambda width=width: TwoStream("narrow", width=width) for width in (16, 32)]
for build in builds:
    network = build().to(memory_format=torch.channels_last)
    for side in (32, 96, 128, 224):
        network(torch.randn(4, 3, side, side).contiguous(memory_format=torch.channels_last)).sum().backward()
"""


def test_narrow_widths_train_on_larger_views_without_a_crash():
    """In a process of its own: on a CPU with AVX-512, strided 1 x 1 convolutions of 8 channels end in a fault."""
    done = subprocess.run([sys.executable, "-c", SAFE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("width", [8, 16, 24])
def test_a_narrow_shortcut_is_the_strided_convolution_of_a_resnet(width):
    torch.manual_seed(0)
    block = NarrowResNet(width, lambda features: SplitBatchNorm2d(features, 1)).layer2.double()
    x = torch.randn(4, width, 10, 10, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    main = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(y)))))
    strided = F.conv2d(y, block.downsample[0].weight, stride=2)
    expected = F.relu(main + block.downsample[1](strided))
    result = block(x)
    torch.testing.assert_close(result, expected)
    (result.square().sum() + expected.square().sum()).backward()
    torch.testing.assert_close(x.grad, y.grad)
