"""Random reads from a large store beside decoding the same bytes from memory, and what they cost in memory."""

from __future__ import annotations

import hashlib
import io
import json
import re
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from oac.data.bench.shard import originals
from oac.data.photos import Photo, prepare
from oac.data.shard import INDEX_COLUMNS, append_member
from oac.data.store import Store

PER_SHARD = 1000
_READER = "from oac.data.bench import store; store.read_and_report({!r}, {}, {})"


def write_store(folder: Path, photos: int) -> None:
    """A store of `photos` photos of 512 px made from 16 originals, in shards of 1,000 (7 GB for 100,000)."""
    prepared = [prepare(data) for data in originals(16)]
    for number in range(-(-photos // PER_SHARD)):
        path = folder / "train" / f"train-{number:03}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        count = min(PER_SHARD, photos - number * PER_SHARD)
        _write_shard(path, [(f"{number:08x}{n:08x}", prepared[n % len(prepared)]) for n in range(count)])


def _write_shard(path: Path, photos: list[tuple[str, Photo]]) -> None:
    rows = []
    with open(path, "wb") as file:
        for image_id, photo in photos:
            offset = append_member(file, f"{image_id}.jpg", photo.data)
            digest = hashlib.sha256(photo.data).hexdigest()
            rows.append((image_id, offset, len(photo.data), digest, photo.width, photo.height))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    pd.DataFrame(rows, columns=INDEX_COLUMNS).to_parquet(path.with_suffix(".index.parquet"), index=False)


def measure(folder: Path, photos: int = 100_000, reads: int = 1500, turns: int = 5) -> dict[str, Any]:
    """Reads per second of both kinds in turns, and the memory of processes that read from stores of two sizes."""
    small = folder / "small"
    write_store(small, PER_SHARD)
    write_store(folder / "large", photos)
    store = Store(folder / "large")
    ids = np.random.default_rng(0).choice(store.image_ids, (turns, reads))
    seconds = [_alternate(store, chosen.tolist()) for chosen in ids]
    rss = {}
    for name, count in (("small", PER_SHARD), ("large", photos)):
        for times in (200, 4000):
            rss[f"{count} photos, {times} reads"] = _peak(folder / name, times)
    return {
        "photos": len(store),
        "from_memory_per_s": [round(reads / memory, 1) for memory, _ in seconds],
        "from_store_per_s": [round(reads / stored, 1) for _, stored in seconds],
        "ratio": round(statistics.median(memory / stored for memory, stored in seconds), 3),
        "peak_mib": rss,
    }


def read_and_report(folder: str, reads: int, seed: int) -> None:
    """Read at random and print this process's peak memory in MiB; called in a process of its own."""
    store = Store(folder)
    rng = np.random.default_rng(seed)
    ids = store.image_ids if len(store) <= PER_SHARD else None
    for _ in range(reads):
        number = int(rng.integers(len(store)))
        store.image(ids[number] if ids else f"{number // PER_SHARD:08x}{number % PER_SHARD:08x}")
    # Of this process alone: what getrusage says begins with the memory of the process that started it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps(round(int(peak[1]) / 1024, 1) if peak else None))


def _peak(folder: Path, reads: int) -> float:
    command = [sys.executable, "-c", _READER.format(str(folder), reads, 0)]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def _decode(data: bytes) -> None:
    """All that must be done to see the pixels of an RGB JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def _alternate(store: Store, ids: list[str], block: int = 20) -> tuple[float, float]:
    """Seconds of decoding from memory and of reading and decoding, in short blocks by turns: machines are shared."""
    memory = stored = 0.0
    data = [store.read(image_id) for image_id in ids]  # more than the processor's caches hold
    for start in range(0, len(ids), block):
        chosen = ids[start : start + block]
        began = time.perf_counter()
        for item in data[start : start + block]:
            _decode(item)
        between = time.perf_counter()
        for image_id in chosen:
            store.image(image_id)
        memory, stored = memory + between - began, stored + time.perf_counter() - between
    return memory, stored
