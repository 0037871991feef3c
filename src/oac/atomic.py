"""Files that are whole or absent.

A job can be killed at any moment and a disk can fill up at any byte. Everything this package writes goes to a
temporary name beside its target and is renamed at the end, so a reader never meets half a file.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DiskFullError(OSError):
    """The disk has no room for a file; what stood under its name before is still there."""


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, it takes the name `path` in one step.

    The temporary file lies in the folder of `path` (a rename across file systems is not atomic) and carries
    the machine and the process id, so that two processes never write the same one. Its bytes are flushed to the disk
    before the rename. When the block raises, the temporary file is removed and whatever `path` held stays untouched;
    what a killed process left goes when the file is written again on that machine.

    Raises DiskFullError, naming the file, where the disk or the quota is exhausted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(_temporary_name(path, os.getpid()))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                error.errno, f"no room to write {path}: free some space and run again; the previous file is kept"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(path: Path, process: int | str) -> str:
    # The suffix stays last: several writers (numpy, matplotlib) choose the format by it.
    machine = f"{zlib.crc32(platform.node().encode()):08x}"
    return f".{path.stem}.{machine}-{process}.part{path.suffix}"


def _sweep(path: Path) -> None:
    """Remove what processes of this machine that are gone left half-written of `path`; of others nothing is known."""
    before, after = _temporary_name(path, "\n").split("\n")
    for entry in list(os.scandir(path.parent)):
        process = re.fullmatch(f"{re.escape(before)}([0-9]+){re.escape(after)}", entry.name)
        if process and not _alive(int(process[1])):
            Path(entry.path).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True
