import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from oac.pretrain.crops import CropPolicy
from oac.pretrain.run import smallest_scale, training_boxes


@pytest.fixture
def copied(inputs, tmp_path):
    """The tiny study's files, free to be changed."""
    shutil.copytree(inputs.photos, tmp_path / "photos")
    paths = {"photos": tmp_path / "photos"}
    for field in ("images", "boxes", "classes", "proposals"):
        paths[field] = shutil.copy(getattr(inputs, field), tmp_path)
    return dataclasses.replace(inputs, **paths)


def test_other_pixels_labels_or_boxes_are_other_data_but_other_shards_are_not(copied, tmp_path):
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

    seen = set()
    for label in ("1", "01", "1.0", "None", "NA", ""):  # texts, which a reader could take for numbers or for nothing
        (tmp_path / "classes.csv").write_text(f"label,name,train_images,train_boxes\n{label},{label},1,1\n")
        seen.add(copied.fingerprint())
    assert len(seen) == 6


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
