"""Encoders in other programs: torchvision, timm and Detectron2 where they are installed, and Detectron2's names."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from oac.pretrain.export import detectron2_name, to_detectron2
from oac.pretrain.nn import TwoStream, backbone, save_encoder

ROOT = Path(__file__).resolve().parents[2]


def encoder(folder, name="resnet50", **options):
    torch.manual_seed(0)
    net = backbone(name, **options)[0].train()
    net(torch.randn(4, 3, 32, 32))  # moves the running statistics
    net.eval()
    path = folder / "encoder.safetensors"
    save_encoder(net, {"method": "moco_v2", "backbone": {"name": name, **options}}, path)
    return net, path


def snippet(library):
    """The code of docs/export.md that import a library."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.S)
    (block,) = [block for block in blocks if f"import {library}" in block]
    return block


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_the_documented_lines_load_an_encoder_that_gives_the_same_features(library, tmp_path, monkeypatch):
    pytest.importorskip(library, reason=f"{library} is not installed")
    net, _ = encoder(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(snippet(library), names)
    loaded = names["net"].eval()
    if library == "torchvision":
        loaded.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(loaded(x), net(x), rtol=1e-4, atol=1e-4)


class Convolution(torch.nn.Conv2d):
    """A convolution that owns its norm, as Detectron2's `Conv2d(norm=...)` does."""

    def __init__(self, inside, outside, kernel, stride=1):
        super().__init__(inside, outside, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = torch.nn.BatchNorm2d(outside)

    def forward(self, x):
        return self.norm(super().forward(x))


class Block(torch.nn.Module):
    """Detectron2's BasicBlock, or BottleneckBlock with STRIDE_IN_1X1 false where `middle` is given."""

    def __init__(self, inside, outside, stride, middle=None):
        super().__init__()
        self.shortcut = Convolution(inside, outside, 1, stride) if inside != outside else None
        if middle:
            self.conv1 = Convolution(inside, middle, 1)
            self.conv2 = Convolution(middle, middle, 3, stride)
            self.conv3 = Convolution(middle, outside, 1)
        else:
            self.conv1 = Convolution(inside, outside, 3, stride)
            self.conv2 = Convolution(outside, outside, 3)

    def forward(self, x):
        y = self.conv2(self.conv1(x).relu())
        if hasattr(self, "conv3"):
            y = self.conv3(y.relu())
        return (y + (x if self.shortcut is None else self.shortcut(x))).relu()


class Detectron2ResNet(torch.nn.Module):
    """The modules and names of Detectron2's `ResNet` (detectron2/modeling/backbone/resnet.py), written from its API.

    A BasicStem with `conv1` and a max-pool, then the stages res2 to res5, whose blocks are numbered from 0.
    """

    def __init__(self, name):
        super().__init__()
        blocks, expansion = {"resnet18": ((2, 2, 2, 2), 1), "resnet50": ((3, 4, 6, 3), 4)}[name]
        self.stem = torch.nn.Sequential()
        self.stem.conv1 = Convolution(3, 64, 7, 2)
        inside = 64
        for stage, count in enumerate(blocks):
            width = 64 * 2**stage
            made = torch.nn.Sequential()
            for number in range(count):
                stride = 2 if stage and not number else 1
                made.append(Block(inside, width * expansion, stride, width if expansion > 1 else None))
                inside = width * expansion
            setattr(self, f"res{stage + 2}", made)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(self.stem.conv1(x).relu(), 3, 2, padding=1)
        return self.res5(self.res4(self.res3(self.res2(x)))).mean((2, 3))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_network_of_detectron2s_structure_takes_every_tensor_and_gives_the_same_features(name, tmp_path):
    net, path = encoder(tmp_path, name)
    to_detectron2(path, tmp_path / "out.pkl")
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    theirs = Detectron2ResNet(name).eval()
    expected = {key: value.shape for key, value in theirs.state_dict().items() if "num_batches" not in key}
    assert {key: value.shape for key, value in content["model"].items()} == expected
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in content["model"].items()}, strict=False)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(theirs(x), net(x), rtol=1e-4, atol=1e-4)


def test_detectron2_itself_loads_an_encoder(tmp_path):
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling import build_backbone

    net, path = encoder(tmp_path)
    to_detectron2(path, tmp_path / "out.pkl")
    configuration = get_cfg()
    configuration.MODEL.RESNETS.STRIDE_IN_1X1 = False
    configuration.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    configuration.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    model = torch.nn.Module()
    model.backbone = build_backbone(configuration, ShapeSpec(channels=3)).eval()
    DetectionCheckpointer(model).load(str(tmp_path / "out.pkl"))
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model.backbone(x)["res5"].mean((2, 3)), net(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_mean", "stem.conv1.norm.running_mean"),
        ("layer1.0.conv3.weight", "res2.0.conv3.weight"),
        ("layer4.2.bn2.bias", "res5.2.conv2.norm.bias"),
        ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
        ("layer2.0.downsample.1.running_var", "res3.0.shortcut.norm.running_var"),
    ],
)
def test_names_as_detectron2_writes_them(ours, theirs):
    assert detectron2_name(ours) == theirs


def test_the_script_writes_a_checkpoint_with_the_encoders_values(tmp_path):
    _, path = encoder(tmp_path, "resnet18")
    script = ROOT / "workflow/scripts/export_detectron2.py"
    subprocess.run([sys.executable, script, path, tmp_path / "out.pkl"], check=True, capture_output=True)
    content = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert content["matching_heuristics"] is True
    weights = load_file(path)
    assert np.array_equal(content["model"]["res3.1.conv2.weight"], weights["layer2.1.conv2.weight"].numpy())
    assert all(isinstance(value, np.ndarray) and value.dtype == np.float32 for value in content["model"].values())


def test_encoders_without_a_counterpart_are_refused(tmp_path):
    _, path = encoder(tmp_path, "narrow", width=8)
    with pytest.raises(ValueError, match="narrow"):
        to_detectron2(path, tmp_path / "out.pkl")
    save_encoder(TwoStream("resnet18"), {"method": "cmc", "backbone": {"name": "resnet18"}}, path)
    with pytest.raises(ValueError, match="CMC"):
        to_detectron2(path, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
