"""A store of photo-like JPEGs, made on the spot: a benchmark must not need a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from oac.data.store import stored_images, write_shard

SIZE = (1024, 683)  # pixels of a photo, those of most of Open Images


def write_photos(folder: Path, count: int, size: tuple[int, int] = SIZE) -> pd.DataFrame:
    """Write a store of photo-like JPEGs (some 200 KB each at 1,024 px); return its table of images."""
    rng = np.random.default_rng(0)
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    texture = rng.normal(0, 11, (size[1], size[0], 3))
    for number in range(count):
        # Colours that change slowly over the photo, some edges, and fine texture, which takes most of a JPEG's bytes.
        slow = Image.fromarray(rng.integers(0, 256, (24, 36, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(slow) + np.roll(texture, rng.integers(0, size[0]), axis=1)
        for _ in range(6):
            x, y = (int(rng.integers(0, side)) for side in size)
            pixels[y : y + size[1] // 5, x : x + size[0] // 5] += rng.integers(-90, 90, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(raw / f"{number:06d}.jpg", quality=90)
    names = [f"{number:06d}" for number in range(count)]
    shard = folder / "photos" / "train" / "train-000"
    shard.parent.mkdir(parents=True, exist_ok=True)
    paths = [shard.with_suffix(suffix) for suffix in (".tar", ".index.parquet", ".missing.csv")]
    table = pd.DataFrame({"image_id": names, "path": [f"{name}.jpg" for name in names], "rotation": 0})
    write_shard(table, raw, *paths, long_side=max(size))
    return stored_images(folder / "photos")
