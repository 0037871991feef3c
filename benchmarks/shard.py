"""How fast a shard is written from a healthy local server, beside decoding, shrinking and encoding alone."""

from __future__ import annotations

import multiprocessing
import os
import socketserver
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from oac.data.decode import prepare
from oac.data.shard import write_shard
from synthetic_photos import jpegs, photo_table, shard_files
from timing import Job, interleave, ratio


class _Handler(BaseHTTPRequestHandler):
    """Answers a request for /{number}.jpg with the photo of that number, over and over.

    The number stands in the photo as a comment: equal bytes of several photos are taken for a placeholder.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    photos: list[bytes]

    def do_GET(self) -> None:
        number = Path(self.path).stem.encode()
        photo = self.photos[int(number) % len(self.photos)]
        start_of_image, comment = photo[:2], b"\xff\xfe" + (2 + len(number)).to_bytes(2, "big") + number
        data = start_of_image + comment + photo[2:]
        # One write: header and body in two cost a system call more, and this stands on the cores that are measured.
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def _serve(pipe: Connection, photos: list[bytes]) -> None:
    handler = type("Handler", (_Handler,), {"photos": photos})
    with _Server(("127.0.0.1", 0), handler) as server:
        pipe.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def _served(photos: list[bytes]) -> Iterator[str]:
    """The address of a process that serves the photos."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    server = context.Process(target=_serve, args=(sender, photos), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        server.terminate()
        server.join()


def measure(count: int = 1000, turns: int = 3) -> dict[str, Any]:
    """Photos per second of the job of a shard of `count` photos, and of the same work on bytes in memory."""
    photos, rows = list(jpegs(16, (1024, 768))), photo_table(count)

    def write(base: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_shard(rows, base, *shard_files(Path(folder)))

    with _served(photos) as base:
        jobs = {"prepare_alone": Job(lambda: _prepare_all(photos, count)), "shard": Job(lambda: write(base))}
        times = interleave(jobs, turns)
    return {
        "photos": count,
        "mean_photo_kb": round(statistics.mean(map(len, photos)) / 1000),
        **{f"{name}_per_s": round(count / min(job.wall), 1) for name, job in times.items()},
        "ratio": ratio(times["prepare_alone"].wall, times["shard"].wall),
    }


def _prepare_all(photos: list[bytes], count: int) -> None:
    """Decode, shrink and encode on all cores, with nothing else to do."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(lambda number: prepare(photos[number % len(photos)]), range(count)):
            pass
