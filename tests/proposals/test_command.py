"""python -m oac.proposals: boxes as the workflow's, every photo accounted for, files that other programs read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from threadpoolctl import ThreadpoolController

from oac.proposals import Bing
from oac.proposals.box_sources import from_csv


def photo(seed, size=(90, 70)):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (7, 9, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.NEAREST)


def run(*arguments, cwd):
    command = [sys.executable, "-m", "oac.proposals", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path):
    """Photos of many kinds at several depths, and files that are none."""
    top = tmp_path / "my photos"
    (top / "a/b").mkdir(parents=True)
    photo(0).save(top / "one.jpg", quality=95)
    photo(1).save(top / "a/one.jpg", quality=95)
    photo(2).save(top / "a/b/été 'x'.PNG")
    photo(3).save(top / "a/web.webp", lossless=True)
    photo(4).convert("L").save(top / "grey.png")
    photo(5).convert("CMYK").save(top / "cmyk.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo(6).save(top / "turned.jpg", exif=turned)
    (top / "notes.txt").write_text("no photo")
    return top


def test_boxes_are_those_of_the_library_and_every_photo_has_them(folder, tmp_path):
    done = run(folder, "--count", "5", "--out", "boxes.csv", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 photos" in done.stdout
    assert "no photos': 1" in done.stdout
    table = pd.read_csv(tmp_path / "boxes.csv", dtype={"image_id": str})
    assert list(table) == ["image_id", "rank", "xmin", "ymin", "xmax", "ymax", "score"]
    ids = ["a/b/été 'x'.PNG", "a/one.jpg", "a/web.webp", "cmyk.jpg", "grey.png", "one.jpg", "turned.jpg"]
    assert sorted(table["image_id"].unique()) == ids
    for image_id, rows in table.groupby("image_id"):
        image = np.asarray(Image.open(folder / image_id).convert("RGB"))
        boxes, scores = Bing.load().propose(image, 5)
        assert rows["rank"].tolist() == list(range(len(boxes)))
        np.testing.assert_array_equal(rows[["xmin", "ymin", "xmax", "ymax"]].astype(np.float32), boxes.astype("f4"))
        np.testing.assert_array_equal(rows["score"].astype(np.float32), scores.astype(np.float32))
    read = from_csv(tmp_path / "boxes.csv", ids, count=3)
    assert read.groupby("image_id").size().tolist() == [3] * 7


def test_damaged_photos_are_named_and_the_rest_goes_on(folder, tmp_path):
    whole = (folder / "one.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    done = run(folder, "--out", "boxes.parquet", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("cut.jpg", "empty.png"):
        assert f"{name}: not a readable image" in done.stderr
    assert "2 of 9 photos could not be read" in done.stderr
    assert pd.read_parquet(tmp_path / "boxes.parquet")["image_id"].nunique() == 7


def test_all_formats_hold_the_same_boxes(folder, tmp_path):
    for suffix in ("csv", "parquet", "json"):
        assert run(folder / "one.jpg", "--out", f"b.{suffix}", "--workers", "1", cwd=tmp_path).returncode == 0
    table, parquet = pd.read_csv(tmp_path / "b.csv"), pd.read_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(table, parquet, check_dtype=False, rtol=1e-6)
    results = json.loads((tmp_path / "b.json").read_text())
    assert [entry["image_id"] for entry in results] == ["one.jpg"] * len(table)
    for entry, row in zip(results, table.itertuples(), strict=True):
        expected = [90 * row.xmin, 70 * row.ymin, 90 * (row.xmax - row.xmin), 70 * (row.ymax - row.ymin)]
        assert entry["bbox"] == pytest.approx(expected, abs=0.02)
        assert entry["score"] == pytest.approx(row.score)


def test_the_photos_are_drawn_with_their_boxes(folder, tmp_path):
    assert run(folder, "--out", "b.csv", "--draw", "drawn", "--count", "2", cwd=tmp_path).returncode == 0
    drawn = sorted(path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.png"))
    assert len(drawn) == 7
    assert "a/b/été 'x'.PNG.png" in drawn
    pixels = np.asarray(Image.open(tmp_path / "drawn/one.jpg.png"))
    assert (pixels == [0xD5, 0x5E, 0x00]).all(-1).sum() > 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "b.csv"], "nowhere does not exist"),
        ([".", "--out", "b.txt"], "must end in .csv, .parquet, .json"),
        ([".", "--out", "b.csv", "--count", "0"], "at least 1"),
        (["empty", "--out", "b.csv"], "empty holds no photo"),
        (["my photos/one.jpg", "my photos/a/one.jpg", "--out", "b.csv"], "image_id one.jpg"),
        (["my photos", "--out", "b.csv", "--weights", "my photos/notes.txt"], "does not hold BING weights"),
        (["my photos", "--out", "b.csv", "--model", "x"], "--model has no meaning for --source bing"),
        (
            ["my photos", "--out", "b.csv", "--source", "selective_search", "--weights", "x"],
            "--weights has no meaning",
        ),
        (["my photos", "--out", "b.csv", "--source", "opencv_bing"], "needs --model"),
        ([os.fsdecode(b"bad\xe9.jpg"), "--out", "b.csv"], "name of the photo 'bad\\udce9.jpg' is not UTF-8"),
    ],
)
def test_a_mistake_is_one_sentence(folder, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    done = run(*arguments, "--workers", "2", cwd=tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "b.csv").exists()


def test_bing_is_imported_without_torch_in_a_tenth_of_a_second():
    """Of the time that the import takes, numpy's own is not counted: it is there in whatever program asks."""
    code = (
        "import numpy, json, sys, time\n"
        "start = time.process_time()\n"
        "from oac.proposals import Bing\n"
        "print(json.dumps([time.process_time() - start, 'torch' in sys.modules, Bing.load() is not None]))"
    )
    runs = [json.loads(subprocess.check_output([sys.executable, "-c", code], timeout=60)) for _ in range(3)]
    assert min(seconds for seconds, _, _ in runs) < 0.1
    assert not any(torch for _, torch, _ in runs)


def test_no_pool_of_threads_is_woken():
    """Processor time of all threads beside that of the calling one, at the library's own number of threads."""
    code = (
        "import numpy as np, time\n"
        "from oac.proposals import Bing\n"
        "image = np.random.default_rng(0).integers(0, 255, (375, 500, 3), dtype=np.uint8)\n"
        "model = Bing.load(); model.propose(image, 10)\n"
        "own, whole = time.thread_time(), time.process_time()\n"
        "for _ in range(10): model.propose(image, 10)\n"
        "print((time.process_time() - whole) / (time.thread_time() - own))"
    )
    assert float(subprocess.check_output([sys.executable, "-c", code], timeout=60)) < 1.1


def test_threads_that_propose_together_leave_the_pool_as_it_was():
    """Each would otherwise restore what another had set."""
    controller = ThreadpoolController().select(user_api="blas")
    before = [library["num_threads"] for library in controller.info()]
    with controller.limit(limits=2):
        image, model = np.asarray(photo(0)), Bing.load()
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: model.propose(image, 5)[0], range(40)))
        assert {library["num_threads"] for library in controller.info()} == {2}
    assert [library["num_threads"] for library in controller.info()] == before
    assert all((boxes == results[0]).all() for boxes in results)
