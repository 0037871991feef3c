"""Photo-like JPEGs and a store of them, made on the spot: a benchmark must not need a download."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from oac.data.store import stored_images, write_shard

SIZE = (1024, 683)  # width and height in pixels of most photos of Open Images


def jpegs(count: int, size: tuple[int, int] = SIZE) -> Iterator[bytes]:
    """Yield JPEGs of some 270 kB at 1,024 px, the same at every call."""
    rng = np.random.default_rng(0)
    texture = rng.normal(0, 11, (size[1], size[0], 3))
    for _ in range(count):
        # Colours that change slowly over the photo, some edges, and fine texture, which takes most of a JPEG's bytes.
        slow = Image.fromarray(rng.integers(0, 256, (24, 36, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(slow) + np.roll(texture, rng.integers(0, size[0]), axis=1)
        for _ in range(6):
            x, y = (int(rng.integers(0, side)) for side in size)
            pixels[y : y + size[1] // 5, x : x + size[0] // 5] += rng.integers(-90, 90, 3)
        encoded = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
        yield encoded.getvalue()


def write_photos(folder: Path, count: int, size: tuple[int, int] = SIZE) -> pd.DataFrame:
    """Write `folder`/raw of JPEGs and `folder`/photos, a store of them; return its table of images."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(jpegs(count, size)):
        (raw / f"{number:06d}.jpg").write_bytes(data)
    write_shard(photo_table(count), raw, *shard_files(folder / "photos"), long_side=max(size))
    return stored_images(folder / "photos")


def photo_table(count: int) -> pd.DataFrame:
    """The table of `count` photos that a shard is written from: image_id, path, rotation."""
    image_ids = [f"{number:06d}" for number in range(count)]
    return pd.DataFrame({"image_id": image_ids, "path": [f"{image_id}.jpg" for image_id in image_ids], "rotation": 0})


def shard_files(store: Path) -> list[Path]:
    """The three files of the first train shard of a store, whose folder is made."""
    shard = store / "train" / "train-000"
    shard.parent.mkdir(parents=True, exist_ok=True)
    return [shard.with_suffix(suffix) for suffix in (".tar", ".index.parquet", ".missing.csv")]
