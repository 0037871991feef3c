"""What is in the store of a study: the shards that it has, and none of those that it had before."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
from PIL import Image

from oac.data.store import Store, write_shard

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/collect_images.py"


def test_shards_that_a_study_had_before_are_removed(tmp_path, capsys):
    indexes = []
    for number, name in enumerate("abc"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.jpg")
        table = pd.DataFrame({"image_id": [name], "path": [f"{name}.jpg"], "rotation": 0})
        stem = tmp_path / f"data/photos/train/train-00{number}"
        write_shard(table, tmp_path, *(f"{stem}{end}" for end in (".tar", ".index.parquet", ".missing.csv")))
        indexes.append(f"{stem}.index.parquet")
    output = SimpleNamespace(images=tmp_path / "data/images.parquet", missing=tmp_path / "data/missing.csv")
    runpy.run_path(str(SCRIPT))["main"](SimpleNamespace(input=SimpleNamespace(indexes=indexes[:2]), output=output))
    assert "removing the shard train-002" in capsys.readouterr().out
    assert pd.read_parquet(output.images)["image_id"].tolist() == ["a", "b"]
    assert sorted(path.name.partition(".")[0] for path in (tmp_path / "data/photos/train").glob("*.tar")) == [
        "train-000",
        "train-001",
    ]
    assert Store(tmp_path / "data/photos").image("b").size == (20, 20)
