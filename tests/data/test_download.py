from __future__ import annotations

import email.utils
import errno
import hashlib
import itertools
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from oac.atomic import DiskFullError
from oac.data import download, waiting
from oac.data.download import DownloadError, fetch

# The same in every process: test runners name tests by their parameters.
DATA = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def url(server: Any) -> str:
    server.files["/file.csv"] = DATA
    return f"{server.base}/file.csv"


def test_a_file_arrives_whole(url: str, tmp_path: Path) -> None:
    fetch(url, tmp_path / "deep" / "file.csv", bytes=len(DATA), md5=MD5.upper())
    assert (tmp_path / "deep" / "file.csv").read_bytes() == DATA
    assert os.listdir(tmp_path / "deep") == ["file.csv"]


def test_a_cut_is_continued_not_started_again(url: str, server: Any, tmp_path: Path) -> None:
    # More cuts than retries: each of them brought something, so none of them counts as fruitless.
    server.faults["/file.csv"] = [server.cut(40_000)] * 6
    fetch(url, tmp_path / "file.csv", md5=MD5, retries=1)
    assert (tmp_path / "file.csv").read_bytes() == DATA
    assert [asked for _, asked in server.requests] == [None] + [f"bytes={40_000 * n}-" for n in range(1, 7)]


def test_a_later_process_continues(url: str, server: Any, tmp_path: Path) -> None:
    server.faults["/file.csv"] = [server.cut(70_000), server.status(503)]
    with pytest.raises(DownloadError, match=r"503.*run again to continue from the 70000 bytes that are here"):
        fetch(url, tmp_path / "file.csv", bytes=len(DATA), retries=0)
    assert os.listdir(tmp_path) == [".file.csv.part"]
    fetch(url, tmp_path / "file.csv", bytes=len(DATA))
    assert (tmp_path / "file.csv").read_bytes() == DATA
    assert server.requests[-1] == ("/file.csv", "bytes=70000-")
    assert os.listdir(tmp_path) == ["file.csv"]


def test_a_whole_part_needs_no_more_bytes(url: str, tmp_path: Path) -> None:
    (tmp_path / ".file.csv.part").write_bytes(DATA)
    fetch(url, tmp_path / "file.csv", md5=MD5)
    assert (tmp_path / "file.csv").read_bytes() == DATA


@pytest.mark.parametrize(
    "old", [b"other bytes", random.Random(1).randbytes(300_000), random.Random(2).randbytes(400_000)]
)
@pytest.mark.parametrize("declared", [{"md5": MD5}, {"md5": MD5, "bytes": len(DATA)}, {}])
def test_a_part_of_another_file_does_no_harm(url: str, tmp_path: Path, old: bytes, declared: dict) -> None:
    (tmp_path / ".file.csv.part").write_bytes(old)
    fetch(url, tmp_path / "file.csv", **declared)
    assert (tmp_path / "file.csv").read_bytes() == DATA


def test_a_file_that_changes_between_the_pieces_is_fetched_anew(url: str, server: Any, tmp_path: Path) -> None:
    def cut_and_change(handler: Any) -> None:
        server.serve(handler, cut_after=50_000)
        server.files["/file.csv"] = DATA[::-1]

    server.faults["/file.csv"] = [cut_and_change]
    fetch(url, tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_bytes() == DATA[::-1]


def test_passing_faults_are_passed(url: str, server: Any, tmp_path: Path) -> None:
    def hang_up(handler: Any) -> None:
        handler.close_connection = True

    faults = [server.status(503), server.status(500), hang_up, server.status(429), server.cut(0)]
    server.faults["/file.csv"] = faults
    fetch(url, tmp_path / "file.csv", bytes=len(DATA), md5=MD5)
    assert (tmp_path / "file.csv").read_bytes() == DATA
    assert len(server.requests) == 6


def test_patience_ends(url: str, server: Any, tmp_path: Path) -> None:
    server.faults["/file.csv"] = [server.status(503)] * 10
    with pytest.raises(DownloadError, match=r"file\.csv: HTTP 503 .*after 4 attempts"):
        fetch(url, tmp_path / "file.csv", retries=3)
    assert len(server.requests) == 4
    assert not (tmp_path / "file.csv").exists()


@pytest.mark.parametrize("code", [404, 403, 410])
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    url: str, server: Any, tmp_path: Path, code: int
) -> None:
    server.faults["/file.csv"] = [server.status(code)] * 10
    with pytest.raises(DownloadError, match=f"HTTP {code}"):
        fetch(url, tmp_path / "file.csv")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("declared", "named"), [({"md5": "0" * 32}, f"md5 {MD5}"), ({"bytes": 5}, "300000 bytes, expected are 5")]
)
def test_a_file_that_is_not_the_expected_one_is_refused(
    url: str, server: Any, tmp_path: Path, declared: dict, named: str
) -> None:
    (tmp_path / "file.csv").write_text("what was here before")
    with pytest.raises(DownloadError, match=named):
        fetch(url, tmp_path / "file.csv", **declared)
    assert len(server.requests) == 1 + download.WRONG_RETRIES
    assert (tmp_path / "file.csv").read_text() == "what was here before"
    assert os.listdir(tmp_path) == ["file.csv"]


def test_a_page_in_place_of_the_file_is_noticed(url: str, server: Any, tmp_path: Path) -> None:
    server.faults["/file.csv"] = [server.body(b"<html>please log in</html>")]
    fetch(url, tmp_path / "file.csv", bytes=len(DATA))
    assert (tmp_path / "file.csv").read_bytes() == DATA


def test_a_stalled_server_is_left(url: str, server: Any, tmp_path: Path) -> None:
    def stall(handler: Any) -> None:
        server.serve(handler, cut_after=1000)
        time.sleep(0.6)

    server.faults["/file.csv"] = [stall]
    fetch(url, tmp_path / "file.csv", md5=MD5, timeout=0.2)
    assert (tmp_path / "file.csv").read_bytes() == DATA
    assert server.requests[1] == ("/file.csv", "bytes=1000-")


def test_retry_after_is_honoured(url: str, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", waits.append)
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    server.faults["/file.csv"] = [
        server.status(429, Retry_After="7"),
        server.status(503, Retry_After=date),
        server.status(503, Retry_After="soon"),
    ]
    fetch(url, tmp_path / "file.csv")
    assert waits[0] == 7
    assert 28 < waits[1] <= 30
    assert waits[2] <= 4 * waiting.FIRST_DELAY


@pytest.mark.parametrize(
    "text", ["²", "-5", "1e9", "9" * 5000, "Mon, 99 Foo 2026", "Mon, 01 Jan 0001 00:00:00 -0000"]
)
def test_a_retry_after_that_says_nothing_is_none(text: str) -> None:
    assert not waiting.retry_after(text)


def test_waits_that_are_asked_for_are_bounded_on_both_sides_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", waits.append)
    waiting.wait(1, 1e9, "http://x/file")
    waiting.wait(4, 0.0, "http://x/file")
    assert waits[0] == waiting.LONGEST_RETRY_AFTER
    assert waits[1] >= waiting.FIRST_DELAY * 4
    assert capsys.readouterr().err == "http://x/file: waiting 600 s before asking again\n"


def without_ranges(server: Any, lengths: Any) -> Any:
    """Send the whole file from its beginning, whatever is asked for, cut after the next of the lengths."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(DATA[: next(lengths)])

    return answer


def test_a_server_that_begins_again_and_never_ends_is_left(url: str, server: Any, tmp_path: Path) -> None:
    server.faults["/file.csv"] = [without_ranges(server, itertools.cycle([10_000, 30_000]))] * 60
    with pytest.raises(DownloadError, match="cut after"):
        fetch(url, tmp_path / "file.csv", md5=MD5, retries=3)
    assert len(server.requests) <= 8


def test_a_length_that_is_no_number_is_no_length(url: str, server: Any, tmp_path: Path) -> None:
    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "²")
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(DATA)

    server.faults["/file.csv"] = [answer]
    fetch(url, tmp_path / "file.csv", md5=MD5)
    assert (tmp_path / "file.csv").read_bytes() == DATA


def test_nothing_of_a_longer_version_is_left(url: str, server: Any, tmp_path: Path) -> None:
    def cut_and_shorten(handler: Any) -> None:
        server.serve(handler, cut_after=200_000)
        server.files["/file.csv"] = DATA[:100_000][::-1]

    def from_the_beginning(handler: Any) -> None:
        del handler.headers["Range"]
        server.serve(handler)

    server.faults["/file.csv"] = [cut_and_shorten, from_the_beginning]
    fetch(url, tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_bytes() == DATA[:100_000][::-1]


def test_waits_grow_and_scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", waits.append)
    for attempt in (1, 2, 3, 4, 20):
        for _ in range(20):
            waiting.wait(attempt, None, "http://x")
    rounds = [waits[n : n + 20] for n in range(0, 100, 20)]
    for attempt, values in zip((1, 2, 3, 4), rounds, strict=False):
        longest = waiting.FIRST_DELAY * 2 ** (attempt - 1)
        assert longest / 2 <= min(values) < max(values) <= longest
    assert max(rounds[4]) <= waiting.LONGEST_DELAY


def test_files_on_disk(tmp_path: Path) -> None:
    source = tmp_path / "with space.csv"
    source.write_bytes(DATA)
    fetch(source.as_uri(), tmp_path / "copy.csv", bytes=len(DATA), md5=MD5)
    assert (tmp_path / "copy.csv").read_bytes() == DATA
    with pytest.raises(DownloadError, match=r"absent\.csv"):
        fetch((tmp_path / "absent.csv").as_uri(), tmp_path / "copy2.csv")
    with pytest.raises(DownloadError, match="must begin with http"):
        fetch("ftp://127.0.0.1/x", tmp_path / "copy2.csv")


def test_a_redirect_without_an_end_is_given_up_at_once(url: str, server: Any, tmp_path: Path) -> None:
    def redirect(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/file.csv")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.faults["/file.csv"] = [redirect] * 30
    with pytest.raises(DownloadError, match="too many redirects"):
        fetch(url, tmp_path / "file.csv", retries=2)
    assert len(server.requests) <= 7


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_DELAY", 0.001)
    with pytest.raises(DownloadError, match=r"[Cc]onnection refused.*after 3 attempts"):
        fetch("http://127.0.0.1:9/x", tmp_path / "x", retries=2)


@pytest.mark.parametrize("excepted", ["", "127.0.0.1"])
def test_the_proxy_of_the_environment_is_taken(
    url: str, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    monkeypatch.setattr(waiting, "FIRST_DELAY", 0.001)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", excepted)
    if excepted:
        fetch(url, tmp_path / "file.csv", retries=0)
        assert (tmp_path / "file.csv").read_bytes() == DATA
    else:
        with pytest.raises(DownloadError, match=r"(?i)proxy"):
            fetch(url, tmp_path / "file.csv", retries=0)
        assert server.requests == []


def test_a_full_disk_says_so(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"no room to write .*file\.csv"):
        fetch(url, tmp_path / "file.csv")
