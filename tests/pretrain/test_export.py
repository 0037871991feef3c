"""Encoders in other programs: torchvision, timm where it is installed, and Detectron2's names."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file

from oac.pretrain.export import detectron2_name, to_detectron2
from oac.pretrain.nn import TwoStream, backbone, save_encoder

ROOT = Path(__file__).resolve().parents[2]


def encoder(folder, name="resnet50", **options):
    torch.manual_seed(0)
    net = backbone(name, **options)[0].eval()
    path = folder / "encoder.safetensors"
    save_encoder(net, {"method": "moco_v2", "backbone": {"name": name, **options}}, path)
    return net, path


def snippet(library):
    """The lines of docs/export.md that import a library."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.S)
    (found,) = [block for block in blocks if f"import {library}" in block]
    return found


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


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_every_parameter_has_one_name_in_detectron2(name):
    ours = [n for n in getattr(torchvision.models, name)().state_dict() if not n.startswith("fc.")]
    theirs = [detectron2_name(n) for n in ours]
    kept = [n for n in theirs if n is not None]
    assert len(set(kept)) == len(kept) == sum("num_batches_tracked" not in n for n in ours)
    assert {n.split(".")[0] for n in kept} == {"stem", "res2", "res3", "res4", "res5"}
    # Each convolution has a norm of four tensors under its own name.
    convolutions = {n.removesuffix(".weight") for n in kept if n.endswith(".weight") and ".norm." not in n}
    norms = {f"{c}.norm.{leaf}" for c in convolutions for leaf in ("weight", "bias", "running_mean", "running_var")}
    assert set(kept) == norms | {f"{c}.weight" for c in convolutions}


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
    with pytest.raises(ValueError, match="no counterpart of the narrow network"):
        to_detectron2(path, tmp_path / "out.pkl")
    save_encoder(TwoStream("resnet18"), {"method": "cmc", "backbone": {"name": "resnet18"}}, path)
    with pytest.raises(ValueError, match="no counterpart of CMC's two-stream encoder"):
        to_detectron2(path, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
    with pytest.raises(ValueError, match="no parameter of a torchvision ResNet"):
        detectron2_name("layer5.0.conv1.weight")
