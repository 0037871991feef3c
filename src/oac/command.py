"""How a script of the workflow ends: a mistake of the user as one sentence, not as a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def plain_errors(log: str | Path | None = None) -> Iterator[None]:
    """Run a block; ValueError, OSError and RuntimeError are printed as `error: ...` and end the process with code 1.

    These are what the package raises with a sentence for people. One that was raised inside another package is more
    likely a defect, so its traceback is printed before the sentence; so is that of any other error.
    log: a file that everything written to stdout and stderr goes to, that of native libraries included.
    """
    if log is not None:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as file:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    try:
        yield
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not isinstance(error, OSError) and Path(__file__).parent not in Path(frames[-1].filename).parents:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
