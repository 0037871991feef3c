"""The job that proposes for a shard: what it writes, and what it does with damaged photos."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data.store import Store, stored_images, write_shard
from oac.proposals.bing import Bing

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/proposals.py"
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


def run(photos, out, *, weights=None, first=None):
    """Run the job of the rule propose_shard, as Snakemake would."""
    smk = SimpleNamespace(
        input=SimpleNamespace(images=photos / "images.parquet", weights=weights),
        output=[out],
        params=SimpleNamespace(photos=photos / "store", options="{}", number=5, first=first),
        wildcards=SimpleNamespace(source="bing", shard="train-000"),
    )
    runpy.run_path(str(SCRIPT))["propose_shard"](smk)


def test_a_shard_gets_the_boxes_of_its_photos_and_no_others(photos, tmp_path, capsys):
    run(photos, tmp_path / "boxes.parquet")
    log = capsys.readouterr().err
    assert "bing, train-000, photos: 3/3" in log
    assert "s left" in log
    table = pd.read_parquet(tmp_path / "boxes.parquet")
    assert table["image_id"].tolist() == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    expected, _ = Bing.load().propose(np.asarray(Store(photos / "store").image("b")), 5)
    mine = table.loc[table["image_id"] == "b", ["xmin", "ymin", "xmax", "ymax"]]
    np.testing.assert_array_equal(mine, expected.astype(np.float32))
    run(photos, tmp_path / "again.parquet", first=2)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), table[table["image_id"] != "c"])


def test_a_damaged_photo_gets_no_box_and_the_others_theirs(photos, tmp_path, capsys):
    tar = photos / "store/train/train-000.tar"
    whole = tar.read_bytes()
    index = pd.read_parquet(photos / "store/train/train-000.index.parquet").set_index("image_id")
    broken = bytearray(whole)
    broken[index.loc["b", "offset"] + 700] ^= 255
    try:
        tar.write_bytes(broken)
        run(photos, tmp_path / "boxes.parquet")
    finally:
        tar.write_bytes(whole)
    assert "photo b" in capsys.readouterr().err
    assert sorted(set(pd.read_parquet(tmp_path / "boxes.parquet")["image_id"])) == ["a", "c"]


def test_wrong_weights_are_refused_with_what_to_do(photos, tmp_path):
    (tmp_path / "weights.json").write_text('{"format": "oac-bing-1"}')
    with pytest.raises(ValueError, match="train them again"):
        run(photos, tmp_path / "boxes.parquet", weights=tmp_path / "weights.json")
    assert not (tmp_path / "boxes.parquet").exists()
