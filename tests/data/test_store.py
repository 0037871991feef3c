from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import resource
import runpy
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data import store
from oac.data.store import DamagedPhotoError, Store, TooManyMissingError, stored_images, write_shard


def shard_paths(folder: Path, split: str = "train", shard: str = "train-000") -> list[Path]:
    return [folder / split / f"{shard}{end}" for end in (".tar", ".index.parquet", ".missing.csv")]


def make_photos(folder: Path, count: int, split: str = "train", side: int = 32) -> pd.DataFrame:
    """JPEGs of noise and the table of them; every fifth is to be turned."""
    rng = np.random.default_rng(len(split))
    rows = []
    for number in range(count):
        path = folder / split / f"{split}{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (side, side + number % 7, 3), np.uint8)
        Image.fromarray(noise).save(path, quality=85)
        rows.append((path.stem, f"{split}/{path.name}", 90 if number % 5 == 4 else 0))
    return pd.DataFrame(rows, columns=["image_id", "path", "rotation"])


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """A store of two splits and three shards, and the table of its photos."""
    folder, parts = tmp_path / "photos", []
    for split, shard, rows in (
        ("train", "train-000", slice(0, 12)),
        ("train", "train-001", slice(12, 20)),
        ("test", "test-000", slice(0, 6)),
    ):
        photos = make_photos(tmp_path / "raw", 20, split).iloc[rows]
        write_shard(photos, tmp_path / "raw", *shard_paths(folder, split, shard), connections=2)
        parts.append(photos.assign(split=split, shard=shard))
    return folder, pd.concat(parts, ignore_index=True)


def test_photos_are_read_back(written: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    folder, photos = written
    opened = Store(folder)
    assert opened.image_ids == sorted(photos["image_id"])
    assert len(opened) == 26
    for row in photos.itertuples():
        raw = (tmp_path / "raw" / row.path).read_bytes()
        assert row.image_id in opened
        if row.rotation == 0:
            # Upright, RGB and small enough: stored as they came.
            assert opened.read(row.image_id) == raw
        image = opened.image(row.image_id)
        upright = Image.open(io.BytesIO(raw)).rotate(row.rotation, expand=True)
        assert (image.mode, image.size) == ("RGB", upright.size)
    assert "nobody" not in opened
    with pytest.raises(KeyError, match="image nobody is not in the store"):
        opened.read("nobody")


def test_a_store_of_one_split(written: tuple[Path, pd.DataFrame]) -> None:
    assert len(Store(written[0] / "test")) == 6


def test_tar_programs_read_a_shard(written: tuple[Path, pd.DataFrame]) -> None:
    folder, photos = written
    tar, index, _ = shard_paths(folder)
    listed = subprocess.run(["tar", "tf", tar], check=True, capture_output=True, text=True).stdout.split()
    assert listed == [f"{image_id}.jpg" for image_id in photos["image_id"][:12]]
    table = pd.read_parquet(index).set_index("image_id")
    with tarfile.open(tar) as archive:
        for member in archive:
            data = archive.extractfile(member).read()
            row = table.loc[member.name.removesuffix(".jpg")]
            assert (row["offset"], row["bytes"]) == (member.offset_data, member.size)
            assert row["sha256"] == hashlib.sha256(data).hexdigest()
            assert (row["width"], row["height"]) == Image.open(io.BytesIO(data)).size
    assert tar.stat().st_size % tarfile.RECORDSIZE == 0


def test_the_same_photos_give_the_same_bytes(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "raw", 25)
    files = []
    for name, threads in (("one", 1), ("eight", 8)):
        paths = shard_paths(tmp_path / name)
        write_shard(photos, (tmp_path / "raw").as_uri(), *paths, long_side=20, connections=threads)
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]


def test_missing_photos_are_listed_with_the_reason(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "raw", 20)
    (tmp_path / "raw" / "train" / "train003.jpg").unlink()
    (tmp_path / "raw" / "train" / "train007.jpg").write_text("<html>gone</html>")
    paths = shard_paths(tmp_path / "photos")
    write_shard(photos, tmp_path / "raw", *paths, max_missing_share=0.1)
    missing = pd.read_csv(paths[2])
    assert missing["image_id"].tolist() == ["train003", "train007"]
    assert missing["path"].tolist() == ["train/train003.jpg", "train/train007.jpg"]
    assert "No such file" in missing["reason"][0]
    assert "not a readable image" in missing["reason"][1]
    assert len(Store(tmp_path / "photos")) == 18


def test_too_many_missing_photos_stop_the_shard(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "raw", 20)
    for number in (3, 7, 11):
        (tmp_path / "raw" / "train" / f"train{number:03}.jpg").unlink()
    paths = shard_paths(tmp_path / "photos")
    with pytest.raises(
        TooManyMissingError, match=r"shard train-000: at least 3 of 20 photos .*train003 \(.*No such file"
    ):
        write_shard(photos, tmp_path / "raw", *paths, max_missing_share=0.1)
    assert not [path for path in paths if path.exists()]
    # Once they are there the shard is written, and what was prepared before is no longer needed.
    for number in (3, 7, 11):
        (tmp_path / "raw" / "train" / f"train{number:03}.jpg").write_bytes(
            (tmp_path / "raw" / "train" / "train001.jpg").read_bytes()
        )
    write_shard(photos, tmp_path / "raw", *paths, max_missing_share=0.1)
    assert sorted(os.listdir(paths[0].parent)) == sorted(path.name for path in paths)
    assert len(Store(tmp_path / "photos")) == 20


def test_photos_come_over_http(tmp_path: Path, server: Any) -> None:
    photos = make_photos(tmp_path / "raw", 20)
    for path in photos["path"]:
        server.files[f"/{path}"] = (tmp_path / "raw" / path).read_bytes()
    server.faults["/train/train001.jpg"] = [server.cut(100), server.status(503), server.status(429)]
    server.faults["/train/train002.jpg"] = [server.status(403)] * 9
    server.faults["/train/train004.jpg"] = [server.body(b"<html>error page</html>")] * 2
    # One that answers with a page only once is good.
    server.faults["/train/train005.jpg"] = [server.body(b"<html>one moment</html>")]
    local, remote = shard_paths(tmp_path / "local"), shard_paths(tmp_path / "remote")
    write_shard(photos, server.base, *remote, max_missing_share=0.1)
    assert pd.read_csv(remote[2])["image_id"].tolist() == ["train002", "train004"]
    write_shard(photos[~photos["image_id"].isin(["train002", "train004"])], tmp_path / "raw", *local)
    assert remote[0].read_bytes() == local[0].read_bytes()


def test_damage_is_noticed_and_named(written: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = written
    tar, index, _ = shard_paths(folder)
    row = pd.read_parquet(index).set_index("image_id").loc["train005"]
    data = bytearray(tar.read_bytes())
    data[row["offset"] + row["bytes"] // 2] ^= 1
    tar.write_bytes(data)
    opened = Store(folder)
    for read in (opened.read, opened.image):
        with pytest.raises(DamagedPhotoError, match=r"photo train005 in .*train-000\.tar is damaged"):
            read("train005")
    assert len(opened.read("train006")) > 0
    assert len(Store(folder, verify=False).read("train005")) == row["bytes"]
    # Cut off: the last photo is no longer there.
    tar.write_bytes(data[: row["offset"]])
    for verify in (True, False):
        with pytest.raises(DamagedPhotoError, match="photo train011"):
            Store(folder, verify=verify).read("train011")


def test_an_index_that_is_no_index_is_named(written: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = written
    shard_paths(folder)[1].write_text("not parquet")
    with pytest.raises(ValueError, match=r"train-000\.index\.parquet is not the index of a shard"):
        Store(folder)


def test_a_photo_in_two_shards_is_refused(written: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    folder, photos = written
    write_shard(photos[:1], tmp_path / "raw", *shard_paths(folder, "train", "train-002"))
    with pytest.raises(ValueError, match="image train000 is in more than one shard"):
        Store(folder)


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no shard"):
        Store(tmp_path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_store(written: tuple[Path, pd.DataFrame], method: str) -> None:
    opened = Store(written[0])
    image_ids = opened.image_ids * 4
    expected = [opened.read(image_id) for image_id in image_ids]
    # A bound method of the package, because a spawned process cannot import a test module.
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(opened.read, image_ids) == expected


def test_threads_share_a_store_with_more_shards_than_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "raw", 60)
    for number in range(60):
        paths = shard_paths(tmp_path / "photos", "train", f"train-{number:03}")
        write_shard(photos[number : number + 1], tmp_path / "raw", *paths, connections=1)
    opened = Store(tmp_path / "photos")
    monkeypatch.setattr(store, "OPEN_TARS", 4)
    opened = pickle.loads(pickle.dumps(opened))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    ids = list(np.random.default_rng(0).choice(opened.image_ids, 2000))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(opened.read, ids))
    assert all(
        data == (tmp_path / "raw" / "train" / f"{i}.jpg").read_bytes() or int(i[5:]) % 5 == 4
        for i, data in zip(ids, found, strict=True)
    )
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_stored_images_lists_what_is_there(written: tuple[Path, pd.DataFrame]) -> None:
    folder, photos = written
    table = stored_images(folder)
    assert list(table.columns) == ["image_id", "split", "width", "height", "shard"]
    expected = photos.sort_values(["split", "image_id"])
    assert (
        table[["image_id", "split", "shard"]].values.tolist()
        == expected[["image_id", "split", "shard"]].values.tolist()
    )
    opened = Store(folder)
    assert [opened.image(row.image_id).size for row in table.itertuples()] == list(
        zip(table["width"], table["height"], strict=True)
    )


def test_a_full_disk_leaves_no_shard_behind(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "raw", 20, side=200)
    paths = shard_paths(tmp_path / "photos")

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            write_shard(photos, tmp_path / "raw", *paths)
        except OSError:
            os._exit(7)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert not [path for path in paths if path.exists()]
    write_shard(photos, tmp_path / "raw", *paths)
    assert sorted(os.listdir(paths[0].parent)) == sorted(path.name for path in paths)
    assert len(Store(tmp_path / "photos").read("train019")) > 0


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("size", [(31, 47), (64, 64), (200, 9)])
def test_images_have_the_pixels_that_any_reader_sees(tmp_path: Path, size: tuple[int, int], options: dict) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    (tmp_path / "raw").mkdir()
    Image.fromarray(noise).save(tmp_path / "raw" / "a.jpg", quality=80, **options)
    photos = pd.DataFrame({"image_id": ["a"], "path": ["a.jpg"], "rotation": [0]})
    write_shard(photos, tmp_path / "raw", *shard_paths(tmp_path / "photos"))
    seen = Image.open(tmp_path / "raw" / "a.jpg")
    found = Store(tmp_path / "photos").image("a")
    assert (found.mode, found.size) == ("RGB", size)
    assert np.array_equal(np.asarray(found), np.asarray(seen))


def test_an_index_that_is_wrong_about_a_size_is_no_harm(written: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = written
    index = shard_paths(folder)[1]
    table = pd.read_parquet(index)
    before = Store(folder).image("train000")
    table["height"] += 8
    table.to_parquet(index, index=False)
    assert np.array_equal(np.asarray(Store(folder).image("train000")), np.asarray(before))


def test_ids_of_missing_photos_stay_as_they_are_written(tmp_path: Path) -> None:
    """The script that collects the accounts of all shards must not take them for numbers."""
    folder = tmp_path / "data" / "photos" / "train"
    ids = [["000009", "1e5", "NA"], ["0x1F", "007"]]
    Image.new("RGB", (32, 32)).save(tmp_path / "there.jpg")  # a split needs one
    selection = []
    for number, names in enumerate(ids):
        tar, index, missing = shard_paths(folder.parent, shard=f"train-{number:03}")
        names = [*names, "there"] if number else names
        photos = pd.DataFrame({"image_id": names, "path": [f"{name}.jpg" for name in names], "rotation": 0})
        write_shard(photos, tmp_path, tar, index, missing, max_missing_share=1)
        selection.append(photos.assign(split="train"))
    pd.concat(selection).to_parquet(tmp_path / "selection.parquet")
    script = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "collect_images.py"
    names = {"images": "images.parquet", "missing": "missing.csv", "account": "photos.json"}
    output = {key: str(tmp_path / "data" / name) for key, name in names.items()}
    indexes = [str(path) for path in sorted(folder.glob("*.index.parquet"))]
    smk = SimpleNamespace(
        input=SimpleNamespace(indexes=indexes, selection=tmp_path / "selection.parquet"),
        output=SimpleNamespace(**output),
        resources=SimpleNamespace(location=str(tmp_path), max_missing_share="1"),
    )
    runpy.run_path(str(script), run_name="script")["main"](smk)
    lines = Path(output["missing"]).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["image_id", *ids[0], *ids[1]]
