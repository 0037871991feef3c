"""What is in the store of a study: the shards that it has, and what is said of its photos when all are stored."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from oac.data.store import Store, write_shard
from oac.data.stored_photos import notes

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/collect_images.py"


def photos_of(shards: list[str], **more: list) -> pd.DataFrame:
    """A photo a.jpg, b.jpg, ... for each shard named."""
    ids = [chr(ord("a") + number) for number in range(len(shards))]
    splits = [shard.partition("-")[0] for shard in shards]
    paths = [f"{name}.jpg" for name in ids]
    return pd.DataFrame({"image_id": ids, "split": splits, "path": paths, "rotation": 0, "shard": shards, **more})


def stored(folder: Path, base: str | Path, photos: pd.DataFrame, **options: float) -> list[str]:
    """Write the shards; return their indexes."""
    indexes = []
    for shard, rows in photos.groupby("shard"):
        stem = folder / f"data/photos/{rows['split'].iloc[0]}/{shard}"
        write_shard(rows, base, *(f"{stem}{end}" for end in (".tar", ".index.parquet", ".missing.csv")), **options)
        indexes.append(f"{stem}.index.parquet")
    photos.to_parquet(folder / "selection.parquet")
    return indexes


def collect(folder: Path, base: str | Path, indexes: list[str], share: float = 1) -> SimpleNamespace:
    """The tables that the script writes, and the account."""
    output = SimpleNamespace(
        images=folder / "data/images.parquet",
        missing=folder / "data/missing.csv",
        account=folder / "data/photos.json",
    )
    smk: Any = SimpleNamespace(
        input=SimpleNamespace(indexes=indexes, selection=folder / "selection.parquet"),
        output=output,
        resources=SimpleNamespace(location=str(base), max_missing_share=str(share)),
    )
    runpy.run_path(str(SCRIPT))["main"](smk)
    images, missing = pd.read_parquet(output.images), pd.read_csv(output.missing)
    return SimpleNamespace(images=images, missing=missing, account=json.loads(output.account.read_text()))


def save(folder: Path, **colours: str) -> None:
    for name, colour in colours.items():
        Image.new("RGB", (20, 30), colour).save(folder / f"{name}.jpg")


def test_shards_that_a_study_had_before_are_removed(tmp_path, capsys):
    save(tmp_path, a="red", b="blue", c="green")
    indexes = stored(tmp_path, tmp_path, photos_of(["train-000", "train-001", "train-002"]))
    found = collect(tmp_path, tmp_path, indexes[:2])
    assert "removing the shard train-002" in capsys.readouterr().out
    assert found.images["image_id"].tolist() == ["a", "b"]
    assert sorted(path.name.partition(".")[0] for path in (tmp_path / "data/photos/train").glob("*.tar")) == [
        "train-000",
        "train-001",
    ]
    assert Store(tmp_path / "data/photos").image("b").size == (20, 30)


def test_a_split_of_which_no_photo_can_be_had_is_refused(tmp_path):
    save(tmp_path, a="red", b="blue")
    (tmp_path / "c.jpg").write_text("no photo")
    photos = photos_of(["train-000", "train-000", "test-000", "test-000"])
    indexes = stored(tmp_path, tmp_path, photos, max_missing_share=1)
    said = r"2 of the 2 test photos cannot be had or read, the first: c \(not a readable .*\); d \(.*No such file"
    with pytest.raises(ValueError, match=said):
        collect(tmp_path, tmp_path, indexes)
    assert not (tmp_path / "data/images.parquet").exists()
    save(tmp_path, c="green")
    found = collect(tmp_path, tmp_path, stored(tmp_path, tmp_path, photos, max_missing_share=1))
    assert sorted(found.images["image_id"]) == ["a", "b", "c"]


def test_the_same_image_in_train_and_test_is_said_and_stays(tmp_path):
    save(tmp_path, a="red", b="blue", c="red", d="blue", e="green", f="green")
    shards = ["train-000", "train-000", "test-000", "test-000", "train-000", "train-000"]
    found = collect(tmp_path, tmp_path, stored(tmp_path, tmp_path, photos_of(shards)))
    assert sorted(found.images["image_id"]) == list("abcdef")
    assert found.missing.empty
    # The green ones are of one split.
    assert found.account["in_several_splits"]["images"] == 2
    assert set(found.account["in_several_splits"]["examples"]) == {"c (test), a (train)", "d (test), b (train)"}
    said = notes(found.account)
    assert len(said) == 1
    assert "c (test), a (train)" in said[0]


def test_one_picture_in_place_of_photos_of_two_shards_is_missing(tmp_path, server):
    """A shard that has it once cannot know."""
    save(tmp_path, a="red", b="blue", c="red", d="green")
    server.files = {f"/{name}.jpg": (tmp_path / f"{name}.jpg").read_bytes() for name in "abcd"}
    shards = ["train-000", "train-000", "test-000", "test-000"]
    found = collect(tmp_path, server.base, stored(tmp_path, server.base, photos_of(shards)))
    assert sorted(found.images["image_id"]) == ["b", "d"]
    assert sorted(found.missing["image_id"]) == ["a", "c"]
    assert found.missing["reason"].str.startswith("placeholder: ").all()
    assert found.account["in_several_splits"]["images"] == 0
    assert notes(found.account) == []


def test_a_picture_of_another_shape_than_the_annotation_says_is_missing_though_it_comes_once(tmp_path, server):
    """A mirror that shrank its photos has the same shapes, to a pixel; one that turned them has sides swapped."""
    sizes = {"a": (640, 427), "b": (512, 342), "c": (480, 640), "d": (161, 81), "e": (320, 320)}
    for name, size in sizes.items():
        Image.new("RGB", size, "#" + name * 6).save(tmp_path / f"{name}.jpg")
        server.files[f"/{name}.jpg"] = (tmp_path / f"{name}.jpg").read_bytes()
    photos = photos_of(["train-000"] * 5, width=[640] * 4 + [0], height=[427, 427, 480, 480, 0])
    found = collect(tmp_path, server.base, indexes := stored(tmp_path, server.base, photos))
    assert sorted(found.images["image_id"]) == ["a", "b", "c", "e"]
    assert found.missing[["image_id", "reason"]].to_numpy().tolist() == [
        ["d", "placeholder: it is 161 x 81, and its annotation says 640 x 480"]
    ]
    assert (found.account["photo_sizes"]["different"], found.account["photo_sizes"]["swapped"]) == (2, 1)
    with pytest.raises(ValueError, match=r"1 of the 5 train photos cannot be had .* d \(placeholder: "):
        collect(tmp_path, server.base, indexes, share=0.1)
    # On a disk it is the photo, and its annotation is wrong.
    assert len(collect(tmp_path, tmp_path, stored(tmp_path, tmp_path, photos)).images) == 5


def test_sizes_that_annotations_say_are_compared_when_photos_are_stored(tmp_path):
    """As those of photos on a server, whose headers were not at hand. The store shrinks them first."""
    for name in "abc":
        Image.new("RGB", (900, 600), "#" + name * 6).save(tmp_path / f"{name}.jpg")
    photos = photos_of(["train-000"] * 3, width=[900, 600, 0], height=[600, 900, 0])
    found = collect(tmp_path, tmp_path, stored(tmp_path, tmp_path, photos))
    account = found.account["photo_sizes"]
    assert {key: account[key] for key in ("compared", "different", "swapped", "absent")} == {
        "compared": 3,
        "different": 1,
        "swapped": 1,
        "absent": 1,
    }
    said = notes(found.account)
    assert len(said) == 1
    assert "b.jpg is 900 x 600 (annotation: 600 x 900, width and height swapped)" in said[0]
