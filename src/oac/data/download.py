"""Fetches files over HTTP(S) or from disk: resumed after a cut, verified, and in place only when whole.

`fetch` is for large files that are worth resuming; photos, which fit in memory and are simply asked for again, come
through oac.data.web. Both wait alike (oac.data.waiting).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from oac.atomic import DiskFullError
from oac.data.http_client import HEADERS, PASSING_STATUS, REDIRECTS, connection_pool, reason
from oac.data.waiting import header_number, retry_after, wait

WRONG_RETRIES = 2
_CHUNK = 1 << 20


class DownloadError(OSError):
    """A file could not be had; the message names its address, what happened and what to do."""


class GoneError(DownloadError):
    """The server's or the disk's last word: asking again is no use."""


class _TryAgainError(Exception):
    """A fault that may pass.

    after: how long the server asks to wait, in seconds. anew: what was here was wrong and is thrown away.
    """

    def __init__(self, problem: str, after: float | None = None, *, anew: bool = False) -> None:
        super().__init__(problem)
        self.after, self.anew = after, anew


class _NothingMoreError(Exception):
    """The server holds no bytes from the place on that was asked for; `total` is how many it says it has."""

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total


@dataclass
class _Connection:
    """An open answer to a GET: where in the file its body begins, how long it is, which version it is of."""

    response: Any
    start: int
    length: int | None
    validator: str | None


@dataclass
class _Part:
    """The piece of a file that is here, and what the server calls the version it is a piece of."""

    path: Path
    validator: str | None = None

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def fetch(
    url: str,
    target: str | Path,
    *,
    bytes: int | None = None,
    md5: str | None = None,
    retries: int = 5,
    timeout: float = 30.0,
) -> None:
    """Write what `url` (http, https or file) holds to `target`, which exists afterwards only if all is well.

    bytes and md5 (hexadecimal) are checked where given. While it grows the file is `.{name}.part` beside the
    target; it outlives a killed process and is continued, where bytes or md5 can tell later that the pieces
    belong together. `retries` bounds the attempts in a row that bring nothing new; a whole file that fails
    the check is fetched anew WRONG_RETRIES times at most. The wait between attempts doubles from FIRST_DELAY,
    with jitter, or is what the server's Retry-After asks for, where that is longer. `timeout` is in seconds
    without a byte. A target that exists is replaced.

    Raises DownloadError; DiskFullError where the disk has no room.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not oac.atomic.writing: that removes its temporary file on failure, and here it is what a resume needs.
    part = _Part(target.with_name(f".{target.name}.part"))
    if bytes is None and md5 is None:
        part.path.unlink(missing_ok=True)
    try:
        _complete(url, part, bytes, md5, retries, timeout)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(error.errno, f"no room to write {target}: free some space and run again") from error
        raise
    os.replace(part.path, target)


def _complete(url: str, part: _Part, size: int | None, md5: str | None, retries: int, timeout: float) -> None:
    """Bring `part` to its end, with retries; raise DownloadError where that fails."""
    attempts = fruitless = wrong = 0
    # A server that does not resume begins again each time, so that less than the most there ever was is nothing new.
    most = part.size()
    while True:
        attempts += 1
        try:
            _append(url, part, size, timeout)
            problem = _difference(part.path, size, md5)
            if problem is None:
                return
            # What is there cannot be trusted, so the next attempt starts at the first byte.
            part.path.unlink()
            raise _TryAgainError(problem, anew=True)
        except _TryAgainError as error:
            fruitless = 0 if part.size() > most else fruitless + 1
            most = 0 if error.anew else max(most, part.size())
            wrong += error.anew
            if fruitless > retries or wrong > min(WRONG_RETRIES, retries):
                raise DownloadError(f"{url}: {error} (after {attempts} attempts); {_advice(part)}") from None
            wait(max(fruitless, 1), error.after, url)


def _append(url: str, part: _Part, expected: int | None, timeout: float) -> None:
    """Add to `part` what the server has beyond it."""
    have = part.size()
    if have and expected is not None and have >= expected:
        return
    try:
        connection = _open(url, have, part.validator, timeout)
    except _NothingMoreError as error:
        if error.total != have:
            part.path.unlink()
            problem = f"{have} bytes are here, but the server has {error.total}"
            raise _TryAgainError(problem, anew=True) from None
        return
    part.validator = connection.validator
    with connection.response as response, open(part.path, "r+b" if have else "wb") as file:
        # A server that does not resume, or whose file has changed, sends the whole from the beginning.
        file.seek(connection.start)
        file.truncate()
        got = 0
        while chunk := _read(response, _CHUNK):
            file.write(chunk)
            got += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if connection.length is not None and got < connection.length:
        raise _TryAgainError(f"the connection was cut after {got} of {connection.length} bytes")


def _open(url: str, start: int, validator: str | None, timeout: float) -> _Connection:
    """Ask for the bytes from `start` on; what may pass is a _TryAgainError, the rest DownloadError."""
    if not url.startswith(("http://", "https://", "file://")):
        raise DownloadError(f"{url}: an address must begin with http://, https:// or file://")
    if url.startswith("file://"):
        return _open_file(url)
    headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    if start and validator:
        headers["If-Range"] = validator
    try:
        response = connection_pool(url, timeout=urllib3.Timeout(connect=timeout, read=timeout)).request(
            "GET", url, headers=headers, retries=REDIRECTS, preload_content=False, decode_content=False,
            enforce_content_length=False,  # what has arrived is kept, and the length is compared here
        )  # fmt: skip
    except urllib3.exceptions.HTTPError as error:
        if isinstance(getattr(error, "reason", None), urllib3.exceptions.ResponseError):
            raise GoneError(f"{url}: {reason(error)}") from None  # it redirects for ever
        raise _TryAgainError(reason(error)) from None
    if response.status not in (200, 206):
        response.close()
        raise _status_error(url, response, start)
    length = response.headers.get("Content-Length")
    found = response.headers.get("ETag")
    # Weak validators may stand for different bytes, so they cannot join two pieces.
    strong = found if found and not found.startswith("W/") else None
    begins = _range_start(response.headers.get("Content-Range")) if response.status == 206 else 0
    if begins not in (0, start):
        response.close()
        raise _TryAgainError(f"the server sent the bytes from {begins} on, not from {start}")
    return _Connection(response, begins, header_number(length), strong)


def _open_file(url: str) -> _Connection:
    path = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    try:
        return _Connection(open(path, "rb"), 0, path.stat().st_size, None)
    except OSError as error:
        raise GoneError(f"{url}: {error.strerror or error}") from None


def _status_error(url: str, response: urllib3.BaseHTTPResponse, start: int) -> Exception:
    if response.status == 416 and start:
        total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        return _NothingMoreError(int(total[1]) if total else None)
    said = f"HTTP {response.status} {response.reason or ''}".strip()
    if response.status in PASSING_STATUS:
        return _TryAgainError(said, retry_after(response.headers.get("Retry-After")))
    return GoneError(f"{url}: {said}; is the address right and the file public?")


def _read(response: Any, size: int) -> bytes:
    """What has arrived, at most `size` bytes; not more than one read, so that a cut loses nothing of it."""
    try:
        return response.read1(size)
    except urllib3.exceptions.HTTPError as error:
        raise _TryAgainError(reason(error)) from None


def _difference(part: Path, size: int | None, md5: str | None) -> str | None:
    """What is wrong with a file that arrived, or None."""
    have = part.stat().st_size
    if size is not None and have != size:
        return f"the file has {have} bytes, expected are {size}"
    if md5 is not None:
        with open(part, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5.lower():
            return f"the file has the md5 {found}, expected is {md5.lower()}"
    return None


def _range_start(text: str | None) -> int:
    match = re.match(r"bytes (\d+)-", text or "")
    return int(match[1]) if match else -1


def _advice(part: _Part) -> str:
    if part.size():
        return f"run again to continue from the {part.size()} bytes that are here"
    return "check the address, the connection and the expected size and md5"
