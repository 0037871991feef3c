"""Files that are whole or absent.

A job can be killed at any moment and a disk can fill up at any byte. Everything this package writes goes to a
temporary name beside its target and is renamed at the end, so a reader never meets half a file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DiskFullError(OSError):
    """The disk has no room for a file; what stood under its name before is still there."""


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, it takes the name `path` in one step.

    The temporary file lies in the folder of `path` (a rename across file systems is not atomic) and carries
    the process id, so that two processes never write the same one. Its bytes are flushed to the disk before
    the rename. When the block raises, the temporary file is removed and whatever `path` held stays untouched.

    Raises DiskFullError, naming the file, where the disk or the quota is exhausted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers (numpy, matplotlib) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
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
