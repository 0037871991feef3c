"""How fast a shard is written from a healthy local server, beside decoding, shrinking and encoding alone."""

from __future__ import annotations

import io
import multiprocessing
import os
import socketserver
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from oac.data.photos import prepare
from oac.data.shard import write_shard


def originals(count: int, seed: int = 0) -> list[bytes]:
    """JPEGs of 1,024 x 768 pixels and about 300 kB, the size of Open Images' photos: blurred noise with edges."""
    rng = np.random.default_rng(seed)
    photos = []
    for _ in range(count):
        grain = Image.fromarray(rng.integers(0, 256, (768, 1024, 3), np.uint8)).filter(ImageFilter.GaussianBlur(0.9))
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize(
            (1024, 768), Image.Resampling.BICUBIC
        )
        encoded = io.BytesIO()
        Image.blend(grain, coarse, 0.5).save(encoded, "JPEG", quality=92)
        photos.append(encoded.getvalue())
    return photos


class _Handler(BaseHTTPRequestHandler):
    """Answers a request for /{number}.jpg with the photo of that number, over and over."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    photos: list[bytes]

    def do_GET(self) -> None:
        data = self.photos[int(Path(self.path).stem) % len(self.photos)]
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


def measure(count: int = 1000, turns: int = 3) -> dict[str, Any]:
    """Photos per second of the shard's job and of the same work on bytes in memory, in turns."""
    photos = originals(16)
    rows = pd.DataFrame({"image_id": [f"{n:06}" for n in range(count)], "rotation": 0})
    rows["path"] = rows["image_id"] + ".jpg"
    ours, other = multiprocessing.get_context("fork").Pipe()
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(other, photos), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{ours.recv()}"
    alone, whole = [], []
    try:
        for _ in range(turns):
            alone.append(count / _seconds(lambda: _prepare_all(photos, count)))
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / f"bench.{end}" for end in ("tar", "index.parquet", "missing.csv")]
                whole.append(count / _seconds(lambda paths=paths: write_shard(rows, base, *paths)))
    finally:
        server.terminate()
        server.join()
    return {
        "photos": count,
        "mean_photo_kb": round(statistics.mean(map(len, photos)) / 1000),
        "prepare_alone_per_s": [round(rate, 1) for rate in alone],
        "shard_per_s": [round(rate, 1) for rate in whole],
        "ratio": round(statistics.median(w / a for w, a in zip(whole, alone, strict=True)), 3),
    }


def _prepare_all(photos: list[bytes], count: int) -> None:
    """Decode, shrink and encode on all cores, with nothing else to do."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(lambda number: prepare(photos[number % len(photos)]), range(count)):
            pass


def _seconds(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
