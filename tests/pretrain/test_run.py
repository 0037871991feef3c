import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from oac.pretrain.crops import CropPolicy
from oac.pretrain.nn import load_encoder
from oac.pretrain.run import adopt_encoder, smallest_scale, training_boxes


@pytest.fixture
def copied(inputs, tmp_path):
    """The tiny study's files, free to be changed."""
    shutil.copytree(inputs.photos, tmp_path / "photos")
    paths = {"photos": tmp_path / "photos"}
    for field in ("images", "boxes", "classes", "proposals"):
        paths[field] = shutil.copy(getattr(inputs, field), tmp_path)
    return dataclasses.replace(inputs, **paths)


def test_other_pixels_labels_or_boxes_are_other_data_but_other_shards_are_not(copied):
    before = copied.fingerprint()
    boxes = pd.read_parquet(copied.boxes)
    boxes.sample(frac=1, random_state=0).to_parquet(copied.boxes)
    images = pd.read_parquet(copied.images)
    images.assign(shard="train-007").to_parquet(copied.images)
    assert copied.fingerprint() == before, "the order of rows and the shard of a photo decide nothing"

    index_file = next(copied.photos.glob("train/*.index.parquet"))
    index = pd.read_parquet(index_file)
    changed = index.copy()
    changed.loc[0, "sha256"] = "0" * 64
    changed.to_parquet(index_file)
    assert copied.fingerprint() != before
    index.to_parquet(index_file)

    for path in (copied.boxes, copied.proposals):
        table = pd.read_parquet(path)
        moved = table.copy()
        moved.loc[0, "xmin"] = moved.loc[0, "xmin"] * 0.5
        moved.to_parquet(path)
        assert copied.fingerprint() != before
        table.to_parquet(path)
    assert copied.fingerprint() == before


def test_s_min_comes_from_the_variants_own_value_or_from_the_proposals():
    boxes = [np.array([[0.0, 0, 1, 0.5]]), np.array([[0.0, 0, 0.5, 0.5], [0, 0, 1, 1]])]  # mean area 0.583
    assert smallest_scale(CropPolicy("object-dilate", "bing"), boxes) == pytest.approx(0.2 / (1.75 / 3))
    assert smallest_scale(CropPolicy("object-dilate", "bing", scale_lower=0.7), boxes) == 0.7
    assert smallest_scale(CropPolicy("scene-scene"), []) == 0.2


def test_a_policy_without_its_proposals_is_refused(copied):
    policy = CropPolicy.of({"policy": "object-dilate", "boxes": "bing", "ratio": [0.75, 1.33]})
    assert policy.ratio == (0.75, 1.33)
    with pytest.raises(ValueError, match="bing"):
        training_boxes(policy, None, ["a"])
    with pytest.raises(ValueError, match="no box"):
        training_boxes(policy, copied.proposals, ["a", "b"])


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
    with pytest.raises(ValueError, match=r"weights\.pth is no state dict of a resnet50"):
        adopt_encoder(recipe | {"backbone": {"name": "resnet50"}}, tmp_path / "weights.pth", *out)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.safetensors is no file of weights"):
        adopt_encoder(recipe, tmp_path / "text.safetensors", *out)
