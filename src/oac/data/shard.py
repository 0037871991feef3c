"""Writes a shard of the image store: fetches photos, brings them into the store's form, packs them into a tar file.

A job can be killed at any moment and goes on without fetching again what it has (oac.data.journal).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.data.decode import MissingPhotoError, Photo, prepare
from oac.data.download import DownloadError, GoneError
from oac.data.journal import Journal, Row
from oac.data.web import Folder, Server, open_source
from oac.progress import track

INDEX_COLUMNS = ["image_id", "offset", "bytes", "sha256", "width", "height"]
SOURCE_COLUMNS = ["source_sha256", "source_width", "source_height"]  # of the file that a photo was made from
MISSING_COLUMNS = ["image_id", "path", "reason"]
# A photo that does not decode may have been cut by a server that did not say how long it is.
DAMAGED_RETRIES = 1
_BLOCK = tarfile.BLOCKSIZE


_now = threading.local()  # has the path of the photo that a thread decodes


class TooManyMissingError(ValueError):
    """More photos of a shard are missing than the study allows."""


def write_shard(
    photos: pd.DataFrame,
    base: str | Path,
    tar_path: str | Path,
    index_path: str | Path,
    missing_path: str | Path,
    *,
    long_side: int = 512,
    quality: int = 90,
    exif: bool = False,
    max_missing_share: float = 0.02,
    connections: int = 16,
    threads: int | None = None,
    timeout: float = 30.0,
) -> None:
    """Bring the photos of a shard into the form of the store (see decode.prepare) and write its three files.

    photos: rows of image_id, path, rotation, kept in their order. base: a folder or a file://, http(s)://
    address that the paths are relative to. exif: photos are turned by their EXIF orientation. connections: requests
    in flight. threads: photos decoded at a time, by default as many as there are cores. timeout: seconds without a
    byte. The same photos give the same bytes, whatever these three are.

    A photo that cannot be fetched or decoded is listed in the missing file with the reason, and so are photos of a
    server that have the same bytes: a picture in place of those that are gone. Raises
    TooManyMissingError as soon as more than `max_missing_share` of the shard are; then no file is written, the
    photos that were good are kept for the next attempt, and the others are asked for again. What an earlier attempt
    did counts only where it had the same base: another place may have other photos under the same paths.
    """
    columns = (photos[name].tolist() for name in ("image_id", "path", "rotation"))
    rows = [Row(*values) for values in zip(*columns, strict=True)]
    source = open_source(base, connections=connections, timeout=timeout)
    form = {"long_side": long_side, "quality": quality, "exif": exif}
    with Journal(Path(tar_path), {"base": str(base).rstrip("/")} | form) as journal, _named_warnings():
        job = _Job(source, journal, form, threading.Semaphore(threads or len(os.sched_getaffinity(0))))
        todo = [row for row in rows if row not in journal.entries]
        # An earlier attempt may have been allowed more.
        _check_missing(journal, rows, max_missing_share)
        try:
            # Of the threads most wait for the network or for their turn to decode.
            for row, result in track(_as_they_end(job, todo, 2 * connections), len(todo), journal.shard):
                if isinstance(result, _Missing):
                    journal.add_missing(row, result.reason, final=result.final)
                    _check_missing(journal, rows, max_missing_share)
                else:
                    journal.add(row, *result)
            if isinstance(source, Server):
                _leave_out_placeholders(journal, rows)
                _check_missing(journal, rows, max_missing_share)
        finally:
            source.close()
        # The index is renamed last: where it stands, the shard is whole.
        with writing(index_path) as index, writing(missing_path) as absent, writing(tar_path) as tar:
            _pack(rows, journal, tar, index)
            pd.DataFrame(journal.missing(rows), columns=MISSING_COLUMNS).to_csv(absent, index=False)
        journal.remove()


@dataclass(frozen=True)
class _Missing:
    """Why there is no photo, and whether asking again later is no use."""

    reason: str
    final: bool


Result = tuple[Photo, str] | _Missing  # a photo with the SHA-256 of the bytes that it was made from


@dataclass(frozen=True)
class _Job:
    """Fetches and prepares one photo; called by many threads."""

    source: Folder | Server
    journal: Journal
    form: dict[str, Any]
    decoding: threading.Semaphore

    def __call__(self, row: Row) -> Result:
        data = self.journal.fetched(row)
        attempts = DAMAGED_RETRIES + (data is not None)
        while True:
            try:
                if data is None:
                    data = self.source.read(row.path)
                    if isinstance(self.source, Server):
                        self.journal.keep_fetched(row, data)
                with self.decoding:
                    _now.photo = row.path
                    photo = prepare(data, rotation=int(row.rotation), **self.form)
                    return photo, hashlib.sha256(data).hexdigest()
            except GoneError as error:
                return _Missing(str(error), final=True)
            except DownloadError as error:
                return _Missing(str(error), final=False)
            except MissingPhotoError as error:
                # What a disk holds stays as it is.
                if not attempts or isinstance(self.source, Folder):
                    return _Missing(str(error), final=True)
                attempts, data = attempts - 1, None


@contextmanager
def _named_warnings() -> Iterator[None]:
    """Print the decoder's warnings with the photo that they are of, in place of a line of its code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{getattr(_now, 'photo', 'warning')}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", module="PIL")
        warnings.showwarning = show
        yield


def _as_they_end(job: Callable[[Row], Result], rows: list[Row], threads: int) -> Iterator[tuple[Row, Result]]:
    """Yield rows and their results as they come, with few of them in memory at a time."""
    pool, left = ThreadPoolExecutor(threads), iter(rows)
    pending: dict[Future[Result], Row] = {pool.submit(job, row): row for row in islice(left, threads)}
    try:
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                row = pending.pop(future)
                for following in islice(left, 1):
                    pending[pool.submit(job, following)] = following
                yield row, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _check_missing(journal: Journal, rows: list[Row], share: float) -> None:
    missing = journal.missing(rows)
    if len(missing) > share * len(rows):
        journal.ask_again()
        examples = "; ".join(f"{image_id} ({reason})" for image_id, _, reason in missing[:3])
        raise TooManyMissingError(
            f"shard {journal.shard}: at least {len(missing)} of {len(rows)} photos are missing or damaged, and "
            f"max_missing_share allows a share of {share:g}. Check where the photos come from; "
            f"for example {examples}"
        )


def _leave_out_placeholders(journal: Journal, rows: list[Row]) -> None:
    hashes = [journal.entries[row].source_sha256 for row in rows]
    for row, reason in zip(rows, repeated([row.image_id for row in rows], hashes), strict=True):
        if reason:
            journal.add_missing(row, reason, final=True)


def repeated(image_ids: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """For each photo why it is none, "" where it is one: other photos of a server have the bytes of its file.

    hashes: of the files, "" where there is none. A server can answer with a picture that says "not available", and of
    two photos with the same bytes nothing tells which of them it is.
    """
    of_hash: dict[str, list[str]] = {}
    for image_id, value in zip(image_ids, hashes, strict=True):
        of_hash.setdefault(value, []).append(image_id)
    ids = [of_hash[value] if value else [] for value in hashes]
    return [
        f"placeholder: the server sent the same bytes for {len(same):,} photos, {same[0]} and {same[1]} among them"
        if len(same) > 1
        else ""
        for same in ids
    ]


def _pack(rows: list[Row], journal: Journal, tar: Path, index: Path) -> None:
    """Write the prepared photos in the order of the rows, and where they lie."""
    places, columns = [], INDEX_COLUMNS + SOURCE_COLUMNS
    with open(tar, "wb") as file:
        for row in rows:
            entry = journal.entries[row]
            if not entry.reason:
                offset = append_member(file, member_name(row.image_id), journal.read(entry))
                values = asdict(entry) | {"image_id": row.image_id, "offset": offset}
                places.append([values[name] for name in columns])
        # Two empty blocks end an archive; tar pads to whole records.
        file.write(bytes(2 * _BLOCK))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
    pd.DataFrame(places, columns=columns).astype(
        {"image_id": "str", "sha256": "str", "source_sha256": "str", "offset": np.int64}
        | dict.fromkeys(("bytes", "width", "height", "source_width", "source_height"), np.int32)
    ).to_parquet(index, index=False)


def member_name(image_id: str) -> str:
    """The name of a photo in a tar file: its id, of which urllib.parse.unquote makes the id again, and `.jpg`.

    Readers of WebDataset take what stands before the first dot for the key of a sample, a slash would be a folder,
    and a control character can end a name. Such characters, and the percent sign that stands for them, are %XX; ids
    of letters, digits, hyphens and underscores stay as they are.
    """
    return re.sub(r"[%./\x00-\x1f\x7f]", lambda found: f"%{ord(found[0]):02X}", image_id) + ".jpg"


def append_member(file: IO[bytes], name: str, data: bytes) -> int:
    """Add a member to a tar file; return where its data begin. Owner and time are constant."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    # Plain ustar has room for 100 bytes of a name.
    file.write(header.tobuf(tarfile.USTAR_FORMAT if len(name.encode()) <= 100 else tarfile.GNU_FORMAT))
    offset = file.tell()
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))
    return offset
