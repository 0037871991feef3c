"""Random reads from a large store beside decoding the same bytes from memory, and what they cost in memory.

Run as a script it is the process whose memory is measured: python store.py FOLDER READS.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from machine import peak_mib
from oac.data.decode import Photo, prepare
from oac.data.shard import INDEX_COLUMNS, append_member
from oac.data.store import Store
from synthetic_photos import jpegs
from timing import interleave, ratio, stream_job

PER_SHARD = 1000


def write_store(folder: Path, photos: int) -> None:
    """A store of `photos` photos of 512 px made from 16 originals, in shards of 1,000 (7 GB for 100,000)."""
    prepared = [prepare(data) for data in jpegs(16, (1024, 768))]
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


def measure(
    folder: Path,
    photos: int = 100_000,
    reads: int = 500,
    turns: int = 15,
    memory_reads: tuple[int, ...] = (200, 4000),
) -> dict[str, Any]:
    """Reads per second of both kinds in turns, and the memory of processes that read from stores of two sizes.

    reads: of a turn; memory_reads: of the processes whose peak memory is measured.
    """
    stores = {min(PER_SHARD, photos): folder / "small", photos: folder / "large"}
    for count, path in stores.items():
        write_store(path, count)
    times = _read_times(Store(stores[photos]), reads, turns)
    return {
        "photos": photos,
        **{f"{name}_per_s": round(reads / min(job.wall), 1) for name, job in times.items()},
        "ratio": ratio(times["from_memory"].wall, times["from_store"].wall),
        "peak_mib": {
            f"{count} photos, {number} reads": _peak_of_reading(path, number)
            for count, path in stores.items()
            for number in memory_reads
        },
    }


def _read_times(store: Store, reads: int, turns: int) -> dict[str, Any]:
    """Times of decoding from memory and of reading and decoding, with other photos in every turn."""
    image_ids = np.random.default_rng(0).choice(store.image_ids, (turns, reads)).tolist()
    data = ([store.read(image_id) for image_id in chosen] for chosen in image_ids)
    chosen = iter(image_ids)
    return interleave(
        {
            "from_memory": stream_job(lambda: iter(next(data)), _decode, reads),
            "from_store": stream_job(lambda: iter(next(chosen)), store.image, reads),
        },
        turns,
    )


def _decode(data: bytes) -> None:
    """All that must be done to see the pixels of an RGB JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def _peak_of_reading(folder: Path, reads: int) -> float:
    command = [sys.executable, __file__, str(folder), str(reads)]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def read_and_report(folder: str, reads: int) -> None:
    """Read at random and print this process's peak memory in MiB; called in a process of its own."""
    store = Store(folder)
    rng = np.random.default_rng(0)
    for _ in range(reads):
        number = int(rng.integers(len(store)))
        store.image(f"{number // PER_SHARD:08x}{number % PER_SHARD:08x}")
    print(json.dumps(peak_mib()))


if __name__ == "__main__":
    read_and_report(sys.argv[1], int(sys.argv[2]))
