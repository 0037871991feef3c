"""Where photos come from: a folder, or a server that is asked for many at once and treated with care.

Connections are kept and shared, at most so many to a host. What may pass (a cut, a stall, 429, 5xx) is asked for
again after a pause that doubles and is jittered; a Retry-After halts every request to that host, because the server
speaks of all of them. A body has a deadline and a limit in bytes, and the waits for a photo have a limit in
seconds, so that no server holds a job for ever.
"""

from __future__ import annotations

import random
import threading
import time
import urllib.parse
from pathlib import Path

import urllib3

from oac.data.download import DownloadError, GoneError
from oac.data.http_client import PASSING_STATUS, REDIRECTS, connection_pool, reason
from oac.data.waiting import LONGEST_RETRY_AFTER, back_off, retry_after, say_wait

# Waits that the server itself asked for do not count as attempts, but not for ever: so many, so many seconds.
MOST_ASKED_WAITS, MOST_ASKED_SECONDS = 20, 1800.0
# Ten times the largest original of Open Images; of a photo in whatever form, not of its pixels.
MOST_BYTES = 100_000_000
_CHUNK = 1 << 16


def open_source(
    base: str | Path, *, connections: int = 16, retries: int = 5, timeout: float = 30.0, deadline: float = 300.0
) -> Folder | Server:
    """The source at `base`: a folder, or a file://, http:// or https:// address that paths are relative to.

    connections: most connections to a host. retries: attempts after the first. timeout: seconds without a byte.
    deadline: seconds for the body of one answer, however steadily it drips.
    """
    base = str(base)
    if is_server(base):
        return Server(base, connections=connections, retries=retries, timeout=timeout, deadline=deadline)
    if base.startswith("file://"):
        return Folder(Path(urllib.parse.unquote(urllib.parse.urlsplit(base).path)))
    if "://" in base:
        raise DownloadError(f"{base}: an address must begin with http://, https:// or file://")
    return Folder(Path(base))


def is_server(base: str) -> bool:
    """Whether photos come from a server, not from a folder."""
    return base.startswith(("http://", "https://"))


class Folder:
    """Photos below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise GoneError(f"{self.folder / path}: {error.strerror or error}") from None

    def close(self) -> None:
        """Nothing is open."""


class Server:
    """Photos below an address."""

    def __init__(self, base: str, *, connections: int, retries: int, timeout: float, deadline: float) -> None:
        self.base, self.retries, self.deadline = base.rstrip("/"), retries, deadline
        limits = urllib3.Timeout(connect=timeout, read=timeout)
        self._pool = connection_pool(base, maxsize=connections, block=True, timeout=limits)
        self._lock, self._resume_at, self._closed = threading.Lock(), 0.0, threading.Event()

    def read(self, path: str) -> bytes:
        """The body of an answer with status 200, whole as far as the server says how long it is.

        Raises GoneError where asking again is no use, among it a body of more than MOST_BYTES and a redirect to a
        file of another name, DownloadError where patience ends.
        """
        url = f"{self.base}/{urllib.parse.quote(path)}"
        failures, asked_waits, asked_seconds = 0, 0, 0.0
        while True:
            self._hold()
            problem, asked = "", 0.0
            try:
                response = self._pool.request("GET", url, retries=REDIRECTS, preload_content=False)
                body = self._body(response, url)
            except urllib3.exceptions.HTTPError as error:
                problem = reason(error)
            else:
                if response.status == 200:
                    if other := _other_name(response, path):
                        raise GoneError(f"{url}: redirected to {other}: a picture in place of the photo?")
                    return body
                problem = f"HTTP {response.status} {response.reason or ''}".strip()
                if response.status not in PASSING_STATUS:
                    raise GoneError(f"{url}: {problem}")
                asked = min(retry_after(response.headers.get("Retry-After")) or 0.0, LONGEST_RETRY_AFTER)
            pause = back_off(failures + 1)
            # To ask for less than the usual pause is no reason to ask for ever.
            if asked > pause and asked_waits < MOST_ASKED_WAITS and asked_seconds + asked <= MOST_ASKED_SECONDS:
                asked_waits, asked_seconds = asked_waits + 1, asked_seconds + asked
                self._halt(asked)
                continue
            failures += 1
            if failures > self.retries:
                raise DownloadError(f"{url}: {problem} ({failures + asked_waits} attempts)")
            self._sleep(pause)

    def _body(self, response: urllib3.BaseHTTPResponse, url: str) -> bytes:
        """Read an answer to its end, whatever its status: only then can its connection be used again."""
        end, pieces, got = time.monotonic() + self.deadline, [], 0
        try:
            while piece := response.read1(_CHUNK):
                pieces.append(piece)
                got += len(piece)
                if got > MOST_BYTES:
                    raise GoneError(f"{url}: more than {MOST_BYTES:,} bytes, which is no photo")
                if time.monotonic() > end:
                    raise urllib3.exceptions.TimeoutError(f"{got} bytes in {self.deadline:g} s")
        finally:
            # In the middle of a body there is no use for the connection.
            if not response.closed:
                response.close()
            response.release_conn()
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connections and wake those that wait; they raise DownloadError."""
        self._closed.set()
        self._pool.clear()

    def _halt(self, seconds: float) -> None:
        with self._lock:
            resume_at = time.monotonic() + seconds
            # The photos on their way all hear of it; one line is enough.
            if resume_at > self._resume_at + 1:
                say_wait(self.base, seconds)
            self._resume_at = max(self._resume_at, resume_at)

    def _hold(self) -> None:
        """Wait where the server has asked for it; not all begin again in the same instant."""
        waited = False
        while (left := self._resume_at - time.monotonic()) > 0:
            waited = True
            self._sleep(left)
        if waited:
            self._sleep(random.uniform(0.0, back_off(1)))

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise DownloadError(f"{self.base}: stopped while waiting for the server")


def _other_name(response: urllib3.BaseHTTPResponse, path: str) -> str | None:
    """The address that a photo was redirected to, where its file has another name; None elsewhere.

    A storage can keep files under names of its own, and says theirs in Content-Disposition.
    """
    history = response.retries.history if response.retries else ()
    places = [step.redirect_location for step in history if step.redirect_location]
    if not places:
        return None
    asked = path.rpartition("/")[2].casefold()
    found = urllib.parse.unquote(urllib.parse.urlsplit(places[-1]).path).rpartition("/")[2].casefold()
    said = urllib.parse.unquote(response.headers.get("Content-Disposition", "")).casefold()
    return None if asked == found or asked in said else places[-1]
