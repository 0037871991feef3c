"""What a shard's job has done so far, on disk, so that a killed job goes on where it was.

Beside a shard's tar file stand, until it is whole, `.{shard}.fetched/` with the bytes of photos that arrived and are
not prepared yet, `.{shard}.prepared` with the prepared ones in the order they were ready, and `.{shard}.journal`: a
line that says where they come from and what form they have, then a line for each photo, written after its bytes.
Snakemake knows none of them: it would delete them with the outputs of a job that ended early.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from oac.atomic import DiskFullError
from oac.data.decode import Photo

_VERSION = 2


@dataclass(frozen=True)
class Row:
    """A photo of the shard: where it is found, and how far it is turned."""

    image_id: str
    path: str
    rotation: int


@dataclass(frozen=True)
class Entry:
    """How a photo ended: its place among the prepared bytes and what its source's file was, or why it is missing."""

    offset: int = 0
    bytes: int = 0
    sha256: str = ""
    width: int = 0
    height: int = 0
    source_sha256: str = ""
    source_width: int = 0
    source_height: int = 0
    reason: str = ""


class Journal:
    """The record of one shard; one process at a time, and `add` from one of its threads."""

    def __init__(self, tar: Path, form: dict[str, Any]) -> None:
        """Open the record of the shard `tar`; what was fetched or prepared under another `form` is thrown away.

        form: what decides the photos beside the rows: the place they come from, and how they are encoded.

        Raises RuntimeError where another process is writing the shard.
        """
        tar.parent.mkdir(parents=True, exist_ok=True)
        self.shard = tar.stem
        self._fetched = tar.with_name(f".{tar.stem}.fetched")
        self._names = tar.with_name(f".{tar.stem}.journal"), tar.with_name(f".{tar.stem}.prepared")
        self._fetched.mkdir(exist_ok=True)
        self._lines = open(self._names[0], "a+b", buffering=0)  # noqa: SIM115 - closed in __exit__
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another process is writing the shard {tar}; end it or wait for it") from None
        self._photos = open(self._names[1], "a+b", buffering=0)  # noqa: SIM115
        self.entries: dict[Row, Entry] = {}
        self._end = 0
        self._load(json.dumps({"version": _VERSION, **form}, sort_keys=True).encode() + b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._photos.close()

    def _load(self, head: bytes) -> None:
        """Read the entries up to the first that is not whole, and cut off what lies behind."""
        self._lines.seek(0)
        lines = self._lines.readall().splitlines(keepends=True)
        good = len(head)
        if lines[:1] != [head]:
            lines = []
            self._lines.truncate(0)
            self._append(self._lines, head)
            shutil.rmtree(self._fetched)
            self._fetched.mkdir()
        for line in lines[1:]:
            if not line.endswith(b"\n") or not self._take(line):
                break
            good += len(line)
        self._lines.truncate(good)
        self._photos.truncate(self._end)

    def _take(self, line: bytes) -> bool:
        """Add the entry of a line; False where the line or the bytes it stands for are damaged."""
        try:
            values = json.loads(line)
            if values == "again":
                self._forget()
                return True
            row, entry = Row(**values[0]), Entry(**values[1])
        except (ValueError, TypeError, IndexError):
            return False
        if not entry.reason:
            data = os.pread(self._photos.fileno(), entry.bytes, entry.offset)
            if entry.offset != self._end or hashlib.sha256(data).hexdigest() != entry.sha256:
                return False
            self._end += entry.bytes
        self.entries[row] = entry
        return True

    def add(self, row: Row, photo: Photo, source_sha256: str) -> None:
        """Record a prepared photo; source_sha256: of the bytes that it was made from."""
        size = (photo.width, photo.height)
        sha256 = hashlib.sha256(photo.data).hexdigest()
        entry = Entry(self._end, len(photo.data), sha256, *size, source_sha256, *photo.source_size)
        self._append(self._photos, photo.data)
        self._end += len(photo.data)
        self._write(row, entry)

    def add_missing(self, row: Row, reason: str, *, final: bool) -> None:
        """Record why a photo is missing; one that is not final is asked for again by the next job."""
        if final:
            self._write(row, Entry(reason=reason))
        self.entries[row] = Entry(reason=reason)

    def _write(self, row: Row, entry: Entry) -> None:
        self._append(self._lines, json.dumps([asdict(row), asdict(entry)]).encode() + b"\n")
        self.entries[row] = entry
        self._raw(row).unlink(missing_ok=True)

    def _append(self, file: IO[bytes], data: bytes) -> None:
        """Write all of `data`; a raw file may take less when the disk is nearly full."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"no room to write the shard {self.shard}: free some space and run again to go on"
                raise DiskFullError(error.errno, message) from error
            raise

    def ask_again(self) -> None:
        """Let the next job ask for what is missing, as after a mistake in the address."""
        self._append(self._lines, b'"again"\n')
        self._forget()

    def _forget(self) -> None:
        self.entries = {row: entry for row, entry in self.entries.items() if not entry.reason}

    def missing(self, rows: Iterable[Row]) -> list[tuple[str, str, str]]:
        """(image_id, path, reason) of those of the rows that are missing so far, in their order.

        The record can hold others: a study whose subset changed has other photos in the shard of that name.
        """
        ends = ((row, self.entries.get(row, Entry())) for row in rows)
        return [(row.image_id, row.path, entry.reason) for row, entry in ends if entry.reason]

    def read(self, entry: Entry) -> bytes:
        """The bytes of a prepared photo."""
        return os.pread(self._photos.fileno(), entry.bytes, entry.offset)

    def fetched(self, row: Row) -> bytes | None:
        """The bytes that arrived for a photo before the job was killed."""
        try:
            return self._raw(row).read_bytes()
        except FileNotFoundError:
            return None

    def keep_fetched(self, row: Row, data: bytes) -> None:
        """Keep the bytes that arrived for a photo until it is recorded; of a photo each, so threads may do so."""
        path = self._raw(row)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(data)
        os.replace(temporary, path)

    def _raw(self, row: Row) -> Path:
        # Ids of some sources hold characters that file names may not.
        return self._fetched / hashlib.sha256(f"{row.image_id}\n{row.path}".encode()).hexdigest()

    def remove(self) -> None:
        """Delete the record; the shard is whole."""
        shutil.rmtree(self._fetched)
        for name in self._names:
            name.unlink()
