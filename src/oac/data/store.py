"""The sharded image store: photos in plain tar files with an index (oac.data.shard), read from them at random.

A shard is `{split}/{shard}.tar` with members `{image_id}.jpg` (a dot in an id is %2E, a slash %2F), beside it
`{shard}.index.parquet` (image_id, offset, bytes, sha256, width, height) and `{shard}.missing.csv` (image_id, path,
reason). `tar tf` and readers of WebDataset understand the tar; the index is what makes a read one seek.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow.parquet
from PIL import Image

from oac.data.decode import FORMATS
from oac.data.shard import INDEX_COLUMNS, TooManyMissingError, write_shard

__all__ = ["DamagedPhotoError", "Store", "TooManyMissingError", "stored_images", "write_shard"]

OPEN_TARS = 128


class DamagedPhotoError(ValueError):
    """The bytes of a photo in the store are not those that were written; names the photo and its shard."""


def stored_images(folder: str | Path) -> pd.DataFrame:
    """The photos really in a store: image_id, split, width, height, shard, sorted by split and image_id."""
    parts = []
    for path in _index_files(Path(folder)):
        part = _read_index(path)[["image_id", "width", "height"]]
        parts.append(part.assign(split=path.parent.name, shard=_shard(path)))
    table = pd.concat(parts, ignore_index=True)[["image_id", "split", "width", "height", "shard"]]
    return table.sort_values(["split", "image_id"], ignore_index=True)


class Store:
    """The photos of all shards under a folder, by image id.

    Safe to share between threads and to hand to other processes, forked or by pickle. Memory is that of the
    index (72 bytes a photo with ids of 16 letters), held in arrays that forked processes share.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True) -> None:
        """Open the shards under `folder`, of all splits or of one. verify: compare the sha256 at every read.

        Raises FileNotFoundError where there is no shard, ValueError where a photo is in two of them.
        """
        self.folder, self.verify = Path(folder), verify
        files = _index_files(self.folder)
        self._tars = [path.with_name(f"{_shard(path)}.tar") for path in files]
        # A shard at a time, into arrays made once: tables of all of them would take several times their memory.
        sizes = [_rows(path) for path in files]
        self._shard = np.repeat(np.arange(len(files), dtype=np.int32), sizes)
        self._offset, self._bytes = np.empty(sum(sizes), np.int64), np.empty(sum(sizes), np.int32)
        self._size = np.empty((sum(sizes), 2), np.int32)
        self._sha256, self._ids = np.empty((sum(sizes), 32), np.uint8), np.empty(sum(sizes), "S16")
        for path, size, end in zip(files, sizes, np.cumsum(sizes), strict=True):
            self._fill(path, slice(end - size, end))
        order = np.argsort(self._ids, kind="stable")
        if (np.diff(order) != 1).any():
            for name in ("_ids", "_shard", "_offset", "_bytes", "_sha256", "_size"):
                setattr(self, name, getattr(self, name)[order])
        twice = np.flatnonzero(self._ids[1:] == self._ids[:-1])
        if len(twice):
            raise ValueError(f"{self.folder}: image {self._ids[twice[0]].decode()} is in more than one shard")
        self._open = _tar_opener()

    def _fill(self, path: Path, rows: slice) -> None:
        """Read the index of one shard into its rows."""
        table = _read_index(path)
        if not len(table):
            return
        ids = np.char.encode(table["image_id"].to_numpy(str), "utf-8")
        if ids.itemsize > self._ids.itemsize:
            self._ids = self._ids.astype(ids.dtype)
        self._ids[rows], self._offset[rows], self._bytes[rows] = ids, table["offset"], table["bytes"]
        self._size[rows] = table[["width", "height"]]
        self._sha256[rows] = np.frombuffer(bytes.fromhex("".join(table["sha256"])), np.uint8).reshape(-1, 32)

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self._find(image_id) >= 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def image_ids(self) -> list[str]:
        """All image ids, sorted."""
        return np.char.decode(self._ids, "utf-8").tolist()

    def read(self, image_id: str) -> bytes:
        """The JPEG bytes of a photo. Raises KeyError (unknown id) or DamagedPhotoError."""
        row = self._find(image_id)
        if row < 0:
            raise KeyError(f"image {image_id} is not in the store {self.folder}")
        tar, size = self._tars[self._shard[row]], int(self._bytes[row])
        # The file object is held during the read, so that no other thread can close it.
        file = self._open(tar)
        data = os.pread(file.fileno(), size, int(self._offset[row]))
        if len(data) != size or (self.verify and hashlib.sha256(data).digest() != self._sha256[row].tobytes()):
            raise DamagedPhotoError(_damage(image_id, tar))
        return data

    def image(self, image_id: str) -> Image.Image:
        """The photo as a PIL image, mode RGB."""
        data = self.read(image_id)
        width, height = self._size[self._find(image_id)].tolist()
        try:
            # The kind of file, its mode and size are known: looking for them takes a twentieth of the time.
            return Image.frombytes("RGB", (width, height), data, "jpeg", "RGB", "")
        except ValueError:
            return self._opened(image_id, data)

    def _opened(self, image_id: str, data: bytes) -> Image.Image:
        """The photo of a file that is not what the index says, if it is one."""
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.convert("RGB")
        except Exception as error:
            tar = self._tars[self._shard[self._find(image_id)]]
            raise DamagedPhotoError(f"{_damage(image_id, tar)} ({error})") from error

    def _find(self, image_id: str) -> int:
        key = np.bytes_(image_id.encode("utf-8"))
        row = int(np.searchsorted(self._ids, key))
        return row if row < len(self._ids) and self._ids[row] == key else -1

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = _tar_opener()


def _index_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.index.parquet"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no shard (no *.index.parquet); has the store been written?")
    return files


def _shard(index_file: Path) -> str:
    return index_file.name.removesuffix(".index.parquet")


def _rows(path: Path) -> int:
    try:
        return pyarrow.parquet.read_metadata(path).num_rows
    except Exception as error:
        raise ValueError(f"{path} is not the index of a shard; write the shard again ({error})") from error


def _read_index(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=INDEX_COLUMNS)
    except Exception as error:
        raise ValueError(f"{path} is not the index of a shard; write the shard again ({error})") from error


def _tar_opener() -> Callable[[Path], IO[bytes]]:
    """Opens tar files and keeps the last used open: there may be more shards than a process may open."""

    # Unbuffered: only the descriptor is used, with pread, which moves no position two readers could share.
    def open_tar(path: Path) -> IO[bytes]:
        return open(path, "rb", buffering=0)

    return functools.lru_cache(maxsize=OPEN_TARS)(open_tar)


def _damage(image_id: str, tar: Path) -> str:
    return f"photo {image_id} in {tar} is damaged; delete the shard's files and run the workflow again"
