"""The job that proposes for a shard: what it writes, and what it does with damaged photos."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data.store import Store, stored_images, write_shard
from oac.proposals.bing import Bing

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/propose_shard.py"
NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A store of two shards, and the table of what is in it."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    for number, part in enumerate((NAMES[:3], NAMES[3:])):
        table = pd.DataFrame({"image_id": part, "path": [f"{name}.jpg" for name in part], "rotation": 0})
        stem = folder / f"store/train/train-00{number}"
        write_shard(table, folder, *(f"{stem}{end}" for end in (".tar", ".index.parquet", ".missing.csv")))
    stored_images(folder / "store").to_parquet(folder / "images.parquet", index=False)
    return folder


def run(photos, out, *more):
    command = [
        sys.executable,
        str(SCRIPT),
        "--images",
        str(photos / "images.parquet"),
        "--photos",
        str(photos / "store"),
    ]
    command += [
        "--source",
        "bing",
        "--options",
        "{}",
        "--count",
        "5",
        "--shard",
        "train-000",
        "--out",
        str(out),
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_shard_gets_the_boxes_of_its_photos_and_no_others(photos, tmp_path):
    result = run(photos, tmp_path / "boxes.parquet", "--first", "None")
    assert result.returncode == 0, result.stderr
    assert "bing, train-000, photos: 3/3" in result.stderr
    assert "s left" in result.stderr
    table = pd.read_parquet(tmp_path / "boxes.parquet")
    assert table["image_id"].tolist() == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    expected, _ = Bing.load().propose(np.asarray(Store(photos / "store").image("b")), 5)
    mine = table.loc[table["image_id"] == "b", ["xmin", "ymin", "xmax", "ymax"]]
    np.testing.assert_array_equal(mine, expected.astype(np.float32))
    again = run(photos, tmp_path / "again.parquet", "--first", "2")
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), table[table["image_id"] != "c"])


def test_a_damaged_photo_gets_no_box_and_the_others_theirs(photos, tmp_path):
    tar = photos / "store/train/train-000.tar"
    whole = tar.read_bytes()
    index = pd.read_parquet(photos / "store/train/train-000.index.parquet").set_index("image_id")
    broken = bytearray(whole)
    broken[index.loc["b", "offset"] + 700] ^= 255
    try:
        tar.write_bytes(broken)
        result = run(photos, tmp_path / "boxes.parquet")
    finally:
        tar.write_bytes(whole)
    assert result.returncode == 0, result.stderr
    assert "photo b" in result.stderr
    assert sorted(set(pd.read_parquet(tmp_path / "boxes.parquet")["image_id"])) == ["a", "c"]


def test_wrong_weights_end_in_one_sentence(photos, tmp_path):
    (tmp_path / "weights.json").write_text('{"format": "oac-bing-1"}')
    result = run(photos, tmp_path / "boxes.parquet", "--weights", str(tmp_path / "weights.json"))
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "train them again" in result.stderr
    assert not (tmp_path / "boxes.parquet").exists()
