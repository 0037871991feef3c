"""A shard's job against a server that fails in every way, and killed in the middle."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data.decode import Photo
from oac.data.journal import Entry, Journal, Row
from oac.data.store import Store, TooManyMissingError, write_shard

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "store_photos.py"
COUNT = 1000


class Job:
    """The job of one shard in a process of its own, over photos of a server in this one."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.folder, self.server = folder, server
        rng = np.random.default_rng(0)
        self.originals: dict[str, bytes] = {}
        for number in range(COUNT):
            image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((120, 90))
            encoded = io.BytesIO()
            image.save(encoded, "JPEG")
            self.originals[f"p{number:04}"] = encoded.getvalue()
        for name, data in self.originals.items():
            server.files[f"/train/{name}.jpg"] = data
        table = pd.DataFrame(
            {"image_id": list(self.originals), "split": "train", "rotation": 0, "shard": "train-000"}
        )
        table["path"] = "train/" + table["image_id"] + ".jpg"
        table.to_parquet(folder / "selection.parquet")
        self.files = {end: folder / f"train-000.{end}" for end in ("tar", "index.parquet", "missing.csv")}

    def start(self, **options: object) -> subprocess.Popen:
        wanted = {
            **{"selection": self.folder / "selection.parquet", "shard": "train-000", "location": self.server.base},
            **{
                "long-side": 64,
                "quality": 90,
                "orientation": "stored",
                "max-missing-share": 0.2,
                "connections": 12,
                "timeout": 0.5,
            },
            **{name.split(".")[0]: path for name, path in self.files.items()},
            **options,
        }
        arguments = [part for key, value in wanted.items() for part in (f"--{key}", str(value))]
        return subprocess.Popen([sys.executable, SCRIPT, *arguments], stderr=subprocess.PIPE, text=True)

    def wholes(self) -> Counter:
        """How often each photo was sent to its last byte."""
        return Counter(self.server.sent)


@pytest.fixture
def job(tmp_path: Path, server: Any) -> Job:
    return Job(tmp_path, server)


def wrong_length(server: Any, difference: int) -> Any:
    """A header that promises more, or less, than what comes."""

    def answer(handler: Any) -> None:
        data = server.files[handler.path]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data) + difference))
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def stall(server: Any) -> Any:
    def answer(handler: Any) -> None:
        server.serve(handler, cut_after=200)
        time.sleep(1.2)

    return answer


def reset(handler: Any) -> None:
    """Break the connection off without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def break_everything(server: Any) -> tuple[set[str], set[str]]:
    """Give many photos a fault; return the ids that are gone for good and those that are not images."""
    faults = {
        1: [server.cut(300)],
        2: [server.status(503)],
        3: [server.status(429, Retry_After="1")],
        4: [wrong_length(server, 400)],
        5: [wrong_length(server, -400)],
        6: [stall(server)],
        7: [server.cut(0), server.cut(100), server.status(500)],
        8: [reset],
    }
    gone, pages = set(), set()
    for number in range(COUNT):
        name, kind = f"p{number:04}", number % 25
        path = f"/train/{name}.jpg"
        # A stall blocks a connection and a 429 all of them, so that there are fewer of these.
        rare = kind in (3, 6) and number > 100
        if kind in faults and not rare:
            server.faults[path] = list(faults[kind])
        if kind == 20:
            gone.add(name)
            server.faults[path] = [server.status(404 if number % 2 else 403)] * 99
        if kind == 21:
            pages.add(name)
            server.faults[path] = [server.body(b"<html><title>Sign in</title></html>")] * 99
    return gone, pages


def test_a_shard_of_a_server_that_fails_is_complete_and_nothing_is_fetched_twice(job: Job, server: Any) -> None:
    gone, pages = break_everything(server)
    first = job.start()
    while len(server.sent) < 300:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(0.3)  # what was on its way is counted
    assert not any(path.exists() for path in job.files.values())
    before = job.wholes()
    server.sent.clear()
    second = job.start()
    assert second.wait(timeout=120) == 0, second.stderr.read()

    # Of what the killed process had been sent, only what had not reached the disk is asked for again.
    again = set(before) & set(job.wholes())
    print("fetched again:", len(again), "of", len(before))
    assert len(again) <= 12, sorted(again)
    assert len(before) >= 300

    missing = pd.read_csv(job.files["missing.csv"])
    assert set(missing["image_id"]) == gone | pages
    assert missing["image_id"].is_monotonic_increasing
    reasons = dict(zip(missing["image_id"], missing["reason"], strict=True))
    assert all("HTTP 404" in reasons[name] or "HTTP 403" in reasons[name] for name in gone)
    assert all("not a readable image" in reasons[name] for name in pages)
    good = sorted(set(job.originals) - gone - pages)
    with tarfile.open(job.files["tar"]) as archive:
        assert archive.getnames() == [f"{name}.jpg" for name in good]
    assert Store(job.folder).image_ids == good
    # The same bytes as from a server that never fails.
    server.faults.clear()
    table = pd.read_parquet(job.folder / "selection.parquet")
    other = [job.folder / "other" / path.name for path in job.files.values()]
    write_shard(table[table["image_id"].isin(good)], server.base, *other, long_side=64)
    assert other[0].read_bytes() == job.files["tar"].read_bytes()
    left = {path.name for path in job.folder.iterdir()} - {"other", "selection.parquet"}
    assert left == {path.name for path in job.files.values()}


def test_a_whole_run_asks_for_each_photo_once(job: Job, server: Any) -> None:
    done = job.start()
    assert done.wait(timeout=120) == 0, done.stderr.read()
    assert Counter(path for path, _ in server.requests) == Counter(f"/train/{name}.jpg" for name in job.originals)
    assert len(server.connections) <= 12


def test_two_jobs_do_not_write_one_shard(job: Job, server: Any) -> None:
    server.faults["/train/p0000.jpg"] = [stall(server)] * 8
    first = job.start(timeout=5)
    while not server.requests:
        time.sleep(0.02)
    second = job.start()
    assert second.wait(timeout=60) == 1
    assert "another process is writing the shard" in second.stderr.read()
    assert first.wait(timeout=60) == 0, first.stderr.read()


def test_a_share_that_is_missing_stops_the_job_and_is_asked_for_again(job: Job, server: Any) -> None:
    for number in range(0, COUNT, 4):
        server.faults[f"/train/p{number:04}.jpg"] = [server.status(404)]
    first = job.start()
    assert first.wait(timeout=120) == 1
    text = first.stderr.read()
    assert "201 of 1000 photos are missing or damaged, and max_missing_share allows a share of 0.2" in text
    assert not any(path.exists() for path in job.files.values())
    had = job.wholes()
    server.sent.clear()
    unmet = sum(bool(left) for left in server.faults.values())
    # The address was put right; only what is not there is asked for.
    second = job.start()
    assert second.wait(timeout=120) == 0, second.stderr.read()
    assert len(Store(job.folder)) == COUNT - unmet
    assert len(set(had) & set(job.wholes())) <= 24


def prepared(folder: Path, rows: list[Row]) -> Journal:
    journal = Journal(folder / "s.tar", {"long_side": 8})
    for number, row in enumerate(rows):
        if row not in journal.entries:
            journal.add(row, Photo(bytes([number]) * 100, 3, 4, (30, 40)), "ab")
    return journal


@pytest.mark.parametrize("harm", ["line cut", "line garbled", "photo cut", "photo garbled", "nothing"])
def test_what_is_damaged_of_a_record_is_done_again(tmp_path: Path, harm: str) -> None:
    rows = [Row(f"i{n}", f"train/i{n}.jpg", 0) for n in range(5)]
    prepared(tmp_path, rows).__exit__()
    lines, photos = tmp_path / ".s.journal", tmp_path / ".s.prepared"
    file = lines if harm.startswith("line") else photos
    data = bytearray(file.read_bytes())
    if harm.endswith("cut"):
        file.write_bytes(data[:-10])
    elif harm != "nothing":
        data[-50] ^= 0x80
        file.write_bytes(data)
    journal = Journal(tmp_path / "s.tar", {"long_side": 8})
    assert list(journal.entries) == (rows if harm == "nothing" else rows[:4])
    journal.__exit__()
    journal = prepared(tmp_path, rows)
    assert [journal.read(journal.entries[row]) for row in rows] == [bytes([n]) * 100 for n in range(5)]
    journal.__exit__()
    # Photos of another form are of no use.
    assert not Journal(tmp_path / "s.tar", {"long_side": 9}).entries


def test_a_photo_turned_otherwise_is_another(tmp_path: Path) -> None:
    journal = prepared(tmp_path, [Row("a", "train/a.jpg", 0)])
    assert Row("a", "train/a.jpg", 90) not in journal.entries
    journal.add_missing(Row("b", "train/b.jpg", 0), "HTTP 404", final=True)
    journal.add_missing(Row("c", "train/c.jpg", 0), "HTTP 503", final=False)
    journal.__exit__()
    assert [row.image_id for row in Journal(tmp_path / "s.tar", {"long_side": 8}).entries] == ["a", "b"]


def test_bytes_that_arrived_outlive_the_process(tmp_path: Path) -> None:
    row = Row("a/b", "train/a b.jpg", 0)
    journal = Journal(tmp_path / "s.tar", {})
    journal.keep_fetched(row, b"raw")
    journal.__exit__()
    journal = Journal(tmp_path / "s.tar", {})
    assert journal.fetched(row) == b"raw"
    journal.add(row, Photo(b"prepared", 1, 2, (10, 20)), "ab")
    assert journal.fetched(row) is None
    assert journal.entries[row] == Entry(0, 8, hashlib.sha256(b"prepared").hexdigest(), 1, 2, "ab", 10, 20)
    journal.remove()
    assert os.listdir(tmp_path) == []


def test_odd_ids_make_an_archive_that_other_readers_group_right(tmp_path: Path) -> None:
    """The key of a WebDataset sample ends at the first dot of the name; long and foreign names must fit as well."""
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.jpg")
    ids = ["a.b.c", "a_b_c", "d/e", "d__e", "5%", "5%25", "n\n", "ü" * 40, "x" * 180, "COCO_val-01"]
    photos = pd.DataFrame({"image_id": ids, "path": "photo.jpg", "rotation": 0})
    paths = [tmp_path / "photos" / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
    write_shard(photos, tmp_path, *paths)
    with tarfile.open(paths[0]) as archive:
        names = archive.getnames()
    assert [name.split(".", 1) for name in names] == [
        ["a%2Eb%2Ec", "jpg"],
        ["a_b_c", "jpg"],
        ["d%2Fe", "jpg"],
        ["d__e", "jpg"],
        ["5%25", "jpg"],
        ["5%2525", "jpg"],
        ["n%0A", "jpg"],
        ["ü" * 40, "jpg"],
        ["x" * 180, "jpg"],
        ["COCO_val-01", "jpg"],
    ]
    assert [unquote(name.removesuffix(".jpg")) for name in names] == ids
    listed = subprocess.run(["tar", "tf", paths[0], "--quoting-style=literal"], check=True, capture_output=True)
    assert listed.stdout.decode().splitlines() == names
    store = Store(tmp_path / "photos")
    assert {store.read(image_id) for image_id in ids} == {(tmp_path / "photo.jpg").read_bytes()}


def killed(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the job end, as killed, after so many photos are recorded."""
    add, left = Journal._write, [after]

    def write(self: Journal, *values: Any) -> None:
        add(self, *values)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "_write", write)


def coloured(folder: Path, colour: str, numbers: range) -> Path:
    folder.mkdir()
    for number in numbers:
        Image.new("RGB", (20, 20), colour).save(folder / f"{number}.jpg")
    return folder


def ten_photos(numbers: range = range(10)) -> pd.DataFrame:
    ids = [f"p{number}" for number in numbers]
    return pd.DataFrame({"image_id": ids, "path": [f"{number}.jpg" for number in numbers], "rotation": 0})


def three_files(folder: Path) -> list[Path]:
    return [folder / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]


def test_a_shard_never_mixes_the_photos_of_two_places(tmp_path: Path) -> None:
    red, blue = coloured(tmp_path / "red", "red", range(5)), coloured(tmp_path / "blue", "blue", range(10))
    paths = three_files(tmp_path / "photos")
    with pytest.MonkeyPatch.context() as patch:
        killed(patch, after=8)  # five red ones and three that are not there
        with pytest.raises(KeyboardInterrupt):
            write_shard(ten_photos(), red, *paths, max_missing_share=1)
    write_shard(ten_photos(), blue, *paths, max_missing_share=0)
    store = Store(tmp_path / "photos")
    assert store.image_ids == [f"p{number}" for number in range(10)]
    assert {store.read(image_id) for image_id in store.image_ids} == {(blue / "0.jpg").read_bytes()}


def test_an_address_with_and_without_a_slash_is_one_place(tmp_path: Path, server: Any) -> None:
    for number in range(10):
        colour = f"#{number}0{number}0{number}0"
        server.files[f"/p/{number}.jpg"] = (coloured(tmp_path / str(number), colour, range(1)) / "0.jpg").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        killed(patch, after=6)
        with pytest.raises(KeyboardInterrupt):
            write_shard(ten_photos(), f"{server.base}/p/", *three_files(tmp_path), connections=1)
    time.sleep(0.3)
    write_shard(ten_photos(), f"{server.base}/p", *three_files(tmp_path), connections=1)
    assert len(server.sent) <= 12  # of two threads, two may have been under way


def test_photos_an_earlier_attempt_missed_count_under_the_share_of_today(tmp_path: Path) -> None:
    base, paths = coloured(tmp_path / "raw", "red", range(6)), three_files(tmp_path / "photos")
    with pytest.MonkeyPatch.context() as patch:
        killed(patch, after=10)
        with pytest.raises(KeyboardInterrupt):
            write_shard(ten_photos(), base, *paths, max_missing_share=0.5)
    with pytest.raises(TooManyMissingError, match=r"at least 4 of 10 .*p6 "):
        write_shard(ten_photos(), base, *paths, max_missing_share=0)
    assert not [path for path in paths if path.exists()]


def test_photos_of_a_former_selection_are_not_held_against_a_shard(tmp_path: Path) -> None:
    base, paths = coloured(tmp_path / "raw", "red", range(9)), three_files(tmp_path / "photos")
    with pytest.MonkeyPatch.context() as patch:
        killed(patch, after=5)
        with pytest.raises(KeyboardInterrupt):
            write_shard(ten_photos(range(20, 30)), base, *paths, max_missing_share=1)
    write_shard(ten_photos(), base, *paths, max_missing_share=0.2)
    assert pd.read_csv(paths[2])["image_id"].tolist() == ["p9"]


def test_the_index_takes_its_name_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index stands, the shard is whole; whoever reads the store looks for indexes."""
    replace, named = os.replace, []

    def record(source: Path, target: Path) -> None:
        named.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr("oac.atomic.os.replace", record)
    write_shard(ten_photos(), coloured(tmp_path / "raw", "red", range(10)), *three_files(tmp_path))
    assert set(named) == {path.name for path in three_files(tmp_path)}
    assert named[-1] == "train-000.index.parquet"


def test_a_killed_job_leaves_nothing_half_written_behind(tmp_path: Path) -> None:
    base, paths = coloured(tmp_path / "raw", "red", range(10)), three_files(tmp_path / "photos")
    program = f"""
import os, signal, pandas as pd
from oac.data import shard
shard._pack = lambda rows, journal, tar, index: (tar.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
shard.write_shard(pd.read_parquet({str(tmp_path / "photos.parquet")!r}), {str(base)!r}, *{[str(p) for p in paths]!r})
"""
    ten_photos().to_parquet(tmp_path / "photos.parquet")
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert list((tmp_path / "photos").glob("*.part.tar"))
    write_shard(ten_photos(), base, *paths)
    assert sorted(os.listdir(tmp_path / "photos")) == sorted(path.name for path in paths)


def test_what_the_decoder_warns_of_is_said_with_the_photos_path(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    red = coloured(tmp_path / "red", "red", range(2))
    write_shard(ten_photos(range(2)), red, *three_files(tmp_path / "store"))
    said = capsys.readouterr().err
    for path in ten_photos(range(2))["path"]:
        assert f"{path}: Image size" in said
