"""Backbones of timm: built by name, split, kept and loaded, and refused where they cannot work."""

import importlib.util
import json

import pytest
import torch
from torch import nn

from oac.configuration import ConfigError
from oac.pretrain.nn import backbone, compile_backbones, load_encoder, save_encoder
from oac.pretrain.norm import SplitBatchNorm2d
from oac.pretrain.run import train_run
from oac.pretrain.timm_networks import check_views

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
# Batch norm as torch has it, batch norm with activation and a wider head, no batch norm, and a fixed size of photos.
NAMES = ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"]


def test_a_backbone_of_timm_without_timm_is_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"timm/resnet10t needs timm.*pip install -e .*\[timm\]"):
        backbone("timm/resnet10t")


@needs_timm
@pytest.mark.parametrize("name", NAMES)
def test_a_network_has_timms_names_features_and_values(name, tmp_path):
    import timm

    torch.manual_seed(0)
    net, features = backbone(f"timm/{name}", bn_splits=2)
    save_encoder(net, {"backbone": {"name": f"timm/{name}"}}, tmp_path / "encoder.safetensors")
    theirs = timm.create_model(name, num_classes=0)
    theirs.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 224, 224)
    assert net.eval()(x).shape == (2, features)
    torch.testing.assert_close(net(x), theirs.eval()(x))
    torch.testing.assert_close(load_encoder(tmp_path / "encoder.safetensors")(x), net(x))
    check_views(net.train(), {"backbone": {"name": f"timm/{name}"}}, [48, 64])
    assert net.training


@needs_timm
@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050"])
def test_its_batch_norms_are_in_splits(name):
    torch.manual_seed(0)
    split, whole = backbone(f"timm/{name}", bn_splits=2)[0], backbone(f"timm/{name}")[0]
    whole.load_state_dict(split.state_dict())
    norms = [m for m in split.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, SplitBatchNorm2d) and norm.splits == 2 for norm in norms)
    x = torch.randn(8, 3, 64, 64)
    torch.testing.assert_close(split(x), torch.cat([whole(part) for part in x.chunk(2)]))
    assert not torch.allclose(split(x), whole(x), atol=1e-3)


@needs_timm
def test_networks_that_there_are_not_or_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match=r"no such network; did you mean timm/convnext_atto"):
        backbone("timm/convnext_ato")
    with pytest.raises(ValueError, match="CMC halves"):
        backbone("timm/resnet10t", halved=True)
    recipe = {"backbone": {"name": "timm/swin_tiny_patch4_window7_224"}}
    net, _ = backbone("timm/swin_tiny_patch4_window7_224")
    with pytest.raises(ValueError, match="takes no views of 64 px"):
        check_views(net, recipe, [224, 64])
    with pytest.raises(ValueError, match="makes no feature vectors"):
        check_views(nn.Conv2d(3, 4, 1), recipe, [64])


@needs_timm
def test_a_run_trains_it_compiles_it_and_refuses_views_that_are_too_small(recipe, inputs, tmp_path):
    recipe |= {"backbone": {"name": "timm/test_convnext"}, "view_size": 32, "images_seen": 32}
    out = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    train_run(recipe, inputs, tmp_path / "state", *out)
    lines = [json.loads(line) for line in out[1].read_text().splitlines()]
    assert lines[-1]["step"] == 2
    assert load_encoder(out[0])(torch.randn(2, 3, 40, 40)).ndim == 2
    with pytest.raises(ValueError, match="takes no views of 8 px"):
        train_run(recipe | {"view_size": 8}, inputs, tmp_path / "other", *out)
    net = nn.ModuleList([backbone("timm/test_convnext")[0]])
    compiled = []
    net[0].compile = lambda **options: compiled.append(options)
    compile_backbones(net)
    assert len(compiled) == 1
