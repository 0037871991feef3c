from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oac.data import web
from oac.data.download import DownloadError, GoneError
from oac.data.waiting import LONGEST_RETRY_AFTER
from oac.data.web import Server, open_source


def test_photos_come_from_folders_and_addresses(tmp_path: Path, server: Any) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a b.jpg").write_bytes(b"bytes")
    server.files["/base/train/a%20b.jpg"] = b"bytes"
    for base in (tmp_path, tmp_path.as_uri(), f"{server.base}/base", f"{server.base}/base/"):
        source = open_source(base)
        assert source.read("train/a b.jpg") == b"bytes"
        with pytest.raises(GoneError, match=r"No such file|HTTP 404"):
            source.read("train/c.jpg")
    with pytest.raises(DownloadError, match="must begin with http"):
        open_source("s3://bucket")


def test_a_photo_cut_on_the_way_is_asked_for_again(server: Any) -> None:
    server.files["/p.jpg"] = b"x" * 5000
    server.faults["/p.jpg"] = [server.cut(100), server.status(503), server.status(429)]
    assert open_source(server.base).read("p.jpg") == b"x" * 5000
    server.faults["/p.jpg"] = [server.status(503)] * 9
    with pytest.raises(DownloadError, match=r"503 .*3 attempts"):
        open_source(server.base, retries=2).read("p.jpg")
    assert len(server.requests) == 7


def test_connections_are_kept_and_never_more_than_allowed(server: Any) -> None:
    for number in range(60):
        server.files[f"/{number}"] = b"x" * 2000
    source = open_source(server.base, connections=3)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda n: len(source.read(str(n))), range(60))) == [2000] * 60
    assert len(server.connections) <= 3


def test_a_retry_after_halts_every_request_to_the_host(server: Any) -> None:
    for number in range(8):
        server.files[f"/{number}"] = b"x"
    server.faults["/0"] = [server.status(429, Retry_After="1")] * 2
    source = open_source(server.base, retries=0)
    began = time.monotonic()
    late: list[float] = []

    def ask(number: int) -> None:
        source.read(str(number))
        late.append(time.monotonic() - began)

    first = threading.Thread(target=ask, args=(0,))
    first.start()
    while len(server.requests) < 1:
        time.sleep(0.01)
    time.sleep(0.1)
    with ThreadPoolExecutor(7) as pool:
        list(pool.map(ask, range(1, 8)))
    first.join()
    # The server's waits are no failed attempts, and the others did not ask while it wanted peace.
    assert min(late) >= 0.95
    assert max(late) >= 1.95
    assert len(server.requests) == 10


def test_a_stalled_socket_is_left(server: Any) -> None:
    server.files["/p"] = b"x" * 5000

    def stall(handler: Any) -> None:
        server.serve(handler, cut_after=100)
        time.sleep(1.0)

    server.faults["/p"] = [stall]
    assert open_source(server.base, timeout=0.2).read("p") == b"x" * 5000


def test_a_source_that_is_closed_waits_no_longer(server: Any) -> None:
    server.faults["/p"] = [server.status(503, Retry_After="500")]
    source = open_source(server.base)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(source.read, "p")
        while not server.requests:
            time.sleep(0.01)
        time.sleep(0.1)
        source.close()
        with pytest.raises(DownloadError, match="stopped"):
            result.result(timeout=5)


def drip(server: Any, pause: float, piece: bytes = b"x") -> Any:
    """An answer that never ends and never stalls."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        try:
            while True:
                handler.wfile.write(piece)
                time.sleep(pause)
        except OSError:
            return

    return answer


def test_a_server_that_drips_is_left_at_the_deadline(server: Any) -> None:
    server.files["/p"] = b"x" * 5000
    server.faults["/p"] = [drip(server, 0.02)]
    assert open_source(server.base, timeout=10, deadline=0.3, connections=1).read("p") == b"x" * 5000
    server.faults["/p"] = [drip(server, 0.02)] * 2
    with pytest.raises(DownloadError, match=r"bytes in 0\.3 s \(2 attempts\)"):
        open_source(server.base, timeout=10, deadline=0.3, retries=1, connections=1).read("p")


def test_a_body_without_end_is_refused(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_BYTES", 10_000)
    server.files |= {"/p": b"x" * 10_000, "/q": b"x" * 10_001}
    source = open_source(server.base, connections=1)
    assert len(source.read("p")) == 10_000
    server.faults["/p"] = [drip(server, 0, b"x" * 1000)]
    for path in ("p", "q"):
        with pytest.raises(GoneError, match=r"more than 10,000 bytes"):
            source.read(path)
    # The one connection that there may be is free again.
    assert len(source.read("p")) == 10_000


def test_a_wait_of_no_time_is_no_leave_to_ask_without_end(server: Any) -> None:
    server.faults["/p"] = [server.status(429, Retry_After="0")] * 99
    with pytest.raises(DownloadError, match=r"429.*\(3 attempts\)"):
        open_source(server.base, retries=2).read("p")
    assert len(server.requests) == 3


def test_long_waits_are_bounded_and_said(
    server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, waits = [0.0], []

    def sleep(_: Server, seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(Server, "_sleep", sleep)
    source = open_source(server.base, retries=0)
    monkeypatch.setattr(web.time, "monotonic", lambda: clock[0])
    server.faults["/p"] = [server.status(503, Retry_After="999999999")] * 99
    with pytest.raises(DownloadError, match="503"):
        source.read("p")
    assert max(waits) == pytest.approx(LONGEST_RETRY_AFTER)
    assert sum(waits) < web.MOST_ASKED_SECONDS + 10
    assert capsys.readouterr().err.count(f"{server.base}: waiting 600 s before asking again") == 3
