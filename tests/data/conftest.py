"""What the tests of the data stage share: the real data beside the repository, and a server that fails."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder shared/data with real photos and annotation rows is not beside the repository")
    return folder


class FaultyServer:
    """Serves `files` (path -> bytes) on 127.0.0.1, ranges too; `faults[path]` are answers given first."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Answer]] = defaultdict(list)
        # (path, Range header) of every request, in order.
        self.requests: list[tuple[str, str | None]] = []
        self.heads: dict[str, dict[str, str]] = {}  # further header lines of answers to HEAD
        self.sent: list[str] = []  # paths of bodies that went out to the last byte
        self.connections: list[tuple[str, int]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open, as those of a real server
            disable_nagle_algorithm = True  # or each answer to a kept connection takes 40 ms

            def setup(self) -> None:
                server.connections.append(self.client_address)
                super().setup()

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Range")))
                if server.faults[self.path]:
                    server.faults[self.path].pop(0)(self)
                else:
                    server.serve(self)

            def do_HEAD(self) -> None:
                server.requests.append((self.path, None))
                known = self.path in server.files
                self.send_response(200 if known else 404)
                for name, value in server.heads.get(self.path, {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(server.files.get(self.path, b""))))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.handle_error = lambda *_: None  # a client that hangs up is no news
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"

    def serve(self, handler: BaseHTTPRequestHandler, *, cut_after: int | None = None) -> None:
        """The honest answer; with cut_after it breaks off after that many bytes of the body."""
        data = self.files.get(handler.path)
        if data is None:
            handler.send_error(404)
            return
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if handler.headers.get("If-Range", tag) != tag:
            start = 0
        if start >= len(data) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        end = None if cut_after is None else start + cut_after
        handler.close_connection = cut_after is not None
        handler.wfile.write(data[start:end])
        if end is None:
            self.sent.append(handler.path)

    def cut(self, after: int) -> Answer:
        return lambda handler: self.serve(handler, cut_after=after)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def body(data: bytes) -> Answer:
    """Status 200 with these bytes, whatever was asked for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    from oac.data import waiting

    monkeypatch.setattr(waiting, "FIRST_DELAY", 0.001)
    running = FaultyServer()
    running.status, running.body = status, body  # type: ignore[attr-defined]
    yield running
    running.close()
