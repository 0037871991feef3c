"""Weights that there are already: as a row of their own, and as the start of a training."""

import dataclasses
import hashlib
import importlib.util

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from oac.pretrain.nn import TwoStream, backbone, encoder_recipe, load_encoder, save_encoder
from oac.pretrain.run import adopt_encoder, train_run
from oac.pretrain.weights import load_weights, read_weights


def test_an_encoder_that_there_is_may_be_torchvisions_weights(tmp_path):
    """Their classifier is left out; weights of another network and files of something else are refused by name."""
    net = torchvision.models.resnet18()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    recipe = {"method": "pretrained", "seed": 0, "backbone": {"name": "resnet18"}}
    out = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    adopt_encoder(recipe, tmp_path / "weights.pth", *out)
    x = torch.randn(2, 3, 64, 64)
    net.fc = torch.nn.Identity()
    torch.testing.assert_close(load_encoder(out[0])(x), net.eval()(x))
    with pytest.raises(ValueError, match=r"weights\.pth does not fit a resnet50: "):
        adopt_encoder(recipe | {"backbone": {"name": "resnet50"}}, tmp_path / "weights.pth", *out)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.safetensors is no file of weights"):
        adopt_encoder(recipe, tmp_path / "text.safetensors", *out)


def test_an_adopted_encoder_of_cmc_keeps_its_two_streams(tmp_path):
    net, backbone = TwoStream("narrow", width=16), {"name": "narrow", "width": 16}
    save_encoder(net, {"method": "cmc", "backbone": backbone}, tmp_path / "cmc.safetensors")
    out = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    recipe = {"method": "pretrained", "seed": 0, "backbone": {"name": "resnet18"}}
    adopt_encoder(recipe, tmp_path / "cmc.safetensors", *out)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(load_encoder(out[0])(x), net.eval()(x))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("layer3.conv1.weight", None, "it has no layer3.conv1.weight"),
        ("layer3.conv1.weight", torch.zeros(3), r"layer3.conv1.weight has the shape \(3,\), not \(32, 16, 3, 3\)"),
        ("head.weight", torch.zeros(3), "it has head.weight, which the network has not"),
        ("fc.weight", torch.zeros(3), None),
        ("bn1.num_batches_tracked", None, None),  # as in older state dicts
    ],
)
def test_weights_that_do_not_fit_are_named_and_a_classifier_is_left_out(key, value, message, tmp_path):
    given, net = (backbone("narrow", width=8)[0] for _ in range(2))
    state = {name: tensor for name, tensor in given.state_dict().items() if name != key}
    save_file(state | ({} if value is None else {key: value}), tmp_path / "a.safetensors")
    weights = read_weights(tmp_path / "a.safetensors")
    if message is None:
        load_weights(net, weights, "narrow")
        assert torch.equal(net.conv1.weight, given.conv1.weight)
        return
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit a narrow: " + message):
        load_weights(net, weights, "narrow")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {"a": torch.zeros(1)}}])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth is no file of weights"):
        read_weights(tmp_path / "other.pth")


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
def test_the_classifier_of_a_network_of_timm_is_left_out(name, tmp_path):
    import timm

    theirs = timm.create_model(name)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    net, _ = backbone(f"timm/{name}")
    load_weights(net, read_weights(tmp_path / "model.safetensors"), name)
    x = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(net.eval()(x), theirs.eval().forward_head(theirs.forward_features(x), pre_logits=True))


@pytest.mark.parametrize("recipe", ["moco_v2", "byol", "swav", "cmc"], indirect=True)
@pytest.mark.parametrize("kind", ["encoder", "checkpoint"])
def test_a_run_starts_from_a_file_and_its_encoder_says_from_what(recipe, kind, inputs, finished, tmp_path):
    folder = finished(recipe["method"])
    init = folder / {"encoder": "encoder.safetensors", "checkpoint": "state/checkpoint.pt"}[kind]
    given = load_encoder(folder / "encoder.safetensors").state_dict()
    recipe |= {"init": str(init), "images_seen": 16, "seed": 5}
    recipe["options"] |= {"lr": 1e-12}  # one step that moves nothing
    out = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    train_run(recipe, dataclasses.replace(inputs, init=init), tmp_path / "state", *out)
    method = torch.load(tmp_path / "state/checkpoint.pt", weights_only=True)["method"]
    for module in {key.partition(".")[0] for key in method} & {"encoder", "key_encoder", "target_encoder"}:
        for name, value in given.items():
            if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                torch.testing.assert_close(method[f"{module}.{name}"], value)
    kept = encoder_recipe(out[0])
    assert kept["init"] == {"file": str(init), "sha256": hashlib.sha256(init.read_bytes()).hexdigest()}
    assert kept | {"init": None} == recipe | {"init": None}


def test_a_checkpoint_is_not_continued_from_other_weights(inputs, tmp_path):
    files = dataclasses.replace(inputs, init=tmp_path / "weights")
    files.init.write_bytes(b"a")
    before = files.fingerprint()
    assert before == files.fingerprint() != inputs.fingerprint()
    files.init.write_bytes(b"b")
    assert files.fingerprint() != before
