"""The sharded image store: photos written into plain tar files with an index, and read from them at random.

A shard is `{split}/{shard}.tar` with members `{image_id}.jpg`, beside it `{shard}.index.parquet` (image_id,
offset, bytes, sha256, width, height) and `{shard}.missing.csv` (image_id, path, reason). `tar tf` and readers
of WebDataset understand the tar; the index is what makes a read one seek.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from PIL import Image

from oac.atomic import writing
from oac.data.photos import MissingPhotoError, Photo, prepare, read_photo
from oac.progress import track

INDEX_COLUMNS = ["image_id", "offset", "bytes", "sha256", "width", "height"]
OPEN_TARS = 128
_BLOCK = tarfile.BLOCKSIZE


class TooManyMissingError(ValueError):
    """More photos of a shard are missing than the study allows."""


class DamagedPhotoError(ValueError):
    """The bytes of a photo in the store are not those that were written; names the photo and its shard."""


def write_shard(
    photos: pd.DataFrame,
    base: str | Path,
    tar_path: str | Path,
    index_path: str | Path,
    missing_path: str | Path,
    *,
    long_side: int = 512,
    quality: int = 90,
    max_missing_share: float = 0.02,
    connections: int = 8,
) -> None:
    """Bring the photos of a shard into the form of the store (see photos.prepare) and write its three files.

    photos: rows of image_id, path, rotation, kept in their order. base: a folder or a file://, http(s)://
    address that the paths are relative to. The same photos give the same bytes, whatever `connections`
    (threads) is.

    A photo that cannot be fetched or decoded is listed in the missing file with the reason. Raises
    TooManyMissingError as soon as more than `max_missing_share` of the shard are; then no file is written.
    """
    rows: list[tuple[str, int, int, str, int, int]] = []
    missing: list[tuple[str, str, str]] = []
    job = functools.partial(_fetch, str(base), long_side=long_side, quality=quality)
    wanted = list(zip(photos["image_id"], photos["path"], photos["rotation"], strict=True))
    # The index is renamed last: where it stands, the shard is whole.
    with writing(index_path) as index, writing(missing_path) as absent, writing(tar_path) as tar:
        with open(tar, "wb") as file:
            progress = track(_in_order(job, wanted, connections), len(wanted), Path(tar_path).stem)
            for (image_id, path, _), result in zip(wanted, progress, strict=True):
                if isinstance(result, Photo):
                    offset = _append_member(file, f"{image_id}.jpg", result.data)
                    digest = hashlib.sha256(result.data).hexdigest()
                    rows.append((image_id, offset, len(result.data), digest, result.width, result.height))
                else:
                    missing.append((image_id, path, result))
                    _check_missing(missing, len(wanted), max_missing_share, Path(tar_path).stem)
            # Two empty blocks end an archive; tar pads to whole records.
            file.write(bytes(2 * _BLOCK))
            file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
        pd.DataFrame(missing, columns=["image_id", "path", "reason"]).to_csv(absent, index=False)
        pd.DataFrame(rows, columns=INDEX_COLUMNS).astype(
            {"image_id": "str", "sha256": "str", "offset": np.int64}
            | dict.fromkeys(("bytes", "width", "height"), np.int32)
        ).to_parquet(index, index=False)


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
    index (about 70 bytes a photo), held in arrays that forked processes share.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True) -> None:
        """Open the shards under `folder`, of all splits or of one. verify: compare the sha256 at every read.

        Raises FileNotFoundError where there is no shard, ValueError where a photo is in two of them.
        """
        self.folder, self.verify = Path(folder), verify
        files = _index_files(self.folder)
        self._tars = [path.with_name(f"{_shard(path)}.tar") for path in files]
        tables = [_read_index(path) for path in files]
        table = pd.concat(tables, ignore_index=True)
        ids = np.char.encode(table["image_id"].to_numpy(str), "utf-8")
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        shards = np.repeat(np.arange(len(tables), dtype=np.int32), [len(part) for part in tables])
        self._shard, self._offset = shards[order], table["offset"].to_numpy(np.int64)[order]
        self._bytes = table["bytes"].to_numpy(np.int32)[order]
        digests = bytes.fromhex("".join(table["sha256"]))
        self._sha256 = np.frombuffer(digests, np.uint8).reshape(-1, 32)[order]
        twice = np.flatnonzero(self._ids[1:] == self._ids[:-1])
        if len(twice):
            raise ValueError(f"{self.folder}: image {self._ids[twice[0]].decode()} is in more than one shard")
        self._open = _tar_opener()

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
        try:
            with Image.open(io.BytesIO(data)) as image:
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


def _fetch(base: str, row: tuple[str, str, int], *, long_side: int, quality: int) -> Photo | str:
    """The photo, or why there is none."""
    _, path, rotation = row
    try:
        return prepare(read_photo(base, path), rotation=int(rotation), long_side=long_side, quality=quality)
    except MissingPhotoError as error:
        return str(error)


def _in_order(job: Callable[[Any], Any], rows: list[Any], threads: int) -> Iterator[Any]:
    """Results of job(row) in the order of the rows, with few of them in memory at a time."""
    ahead: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for row in rows:
                ahead.append(pool.submit(job, row))
                if len(ahead) >= 4 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _append_member(file: IO[bytes], name: str, data: bytes) -> int:
    """Add a member to a tar file; return where its data begin. Owner and time are constant."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    file.write(header.tobuf(tarfile.USTAR_FORMAT))
    offset = file.tell()
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))
    return offset


def _check_missing(missing: list[tuple[str, str, str]], total: int, share: float, shard: str) -> None:
    if len(missing) > share * total:
        examples = "; ".join(f"{image_id} ({reason})" for image_id, _, reason in missing[:3])
        raise TooManyMissingError(
            f"shard {shard}: at least {len(missing)} of {total} photos are missing or damaged, and "
            f"max_missing_share allows a share of {share:g}. Check where the photos come from; "
            f"for example {examples}"
        )


def _index_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.index.parquet"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no shard (no *.index.parquet); has the store been written?")
    return files


def _shard(index_file: Path) -> str:
    return index_file.name.removesuffix(".index.parquet")


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
