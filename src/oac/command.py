"""How a script of the workflow ends: a mistake of the user as one sentence, not as a traceback."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

PACKAGE = Path(__file__).parent
KILLED = "error: a signal killed the process; if it was SIGKILL, memory may have run out (docs/troubleshooting.md)"


@contextmanager
def plain_errors(log: str | Path | None = None) -> Iterator[None]:
    """Run a block; ValueError, OSError, RuntimeError and ArithmeticError are printed as `error: ...` and exit with 1.

    What this package or the script raises is a sentence for people, and so is an OSError of any package, which names
    its file; these are printed alone. Another of these errors is a defect: its traceback is printed before the
    sentence. Errors of other types pass through.

    log: a file that everything written to stdout and stderr goes to, that of native libraries included. That a signal
    ended the process stands there too; one of the process's own fault, such as SIGSEGV, with what Python was at.
    """
    if log is not None:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as file:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    faulthandler.enable(2)
    shell = _shell_that_says_killed()
    try:
        yield
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        if not isinstance(error, OSError) and not _raised_here(error.__traceback__):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    finally:
        shell.communicate(b"ended by itself\n")


def _shell_that_says_killed() -> subprocess.Popen[bytes]:
    """Start a shell that writes to stderr that this process was killed, which it cannot do itself after SIGKILL.

    The shell waits for a line. However this process ends, the kernel closes the pipe between them.
    """
    # It outlives signals that go to all processes of a terminal or of a job.
    command = ["sh", "-c", f"trap '' HUP INT TERM; read -r line || echo '{KILLED}' >&2"]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert shell.stdin is not None
    os.register_at_fork(after_in_child=shell.stdin.close)  # else the pipe would be open as long as a child lives
    return shell


def _raised_here(trace: TracebackType | None) -> bool:
    """Whether a `raise` of this package or of the script ended the block, not a function of another package."""
    # The first frame is plain_errors itself, the second the script's block.
    _, block, *rest = traceback.extract_tb(trace)
    last = rest[-1] if rest else block
    own = last.filename == block.filename or PACKAGE in Path(last.filename).parents
    # A compiled function has no frame of its own: its error would seem to be of the line that calls it.
    return own and (last.line or "").startswith("raise ")
