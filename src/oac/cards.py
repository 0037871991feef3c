"""Leases of GPUs, so that two jobs of one machine never train on the same card.

Snakemake counts how many cards its jobs use and does not say which; a second Snakemake counts for itself. A job that
was promised n cards takes n locks in a folder that all jobs of the user share. The kernel lets go of them however the
job ends. A process that the job starts and lets inherit files holds on to them with it.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

POLL_SECONDS = 1.0


class NoSuchCardError(ValueError):
    """More cards are asked for than there are."""


def visible() -> list[str]:
    """Names of the cards that this process may use, as CUDA_VISIBLE_DEVICES writes them.

    Where a scheduler has set that variable, its cards; else all that the driver lists; none without a driver.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def folder() -> Path:
    """Where the locks of this user's jobs lie.

    A SLURM job has a folder to itself: SLURM gives a card to one job only, and numbers each job's cards from 0, so
    two jobs of one machine would wait for each other's "0".
    """
    allocation = os.environ.get("SLURM_JOB_ID")
    path = Path(tempfile.gettempdir()) / f"oac-cards-{os.getuid()}{f'-slurm-{allocation}' if allocation else ''}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


@contextmanager
def leased(count: int, cards: Sequence[str], locks: Path) -> Iterator[list[str]]:
    """Hold `count` of the `cards` that no other job holds; wait where too few are free.

    Raises NoSuchCardError where there are fewer cards at all.
    """
    if len(cards) < count:
        raise NoSuchCardError(
            f"{count} GPU{'s' * (count > 1)} asked for and {len(cards)} found"
            f"{' (' + ', '.join(cards) + ')' if cards else ''}: set `gpu` in config/config.yaml to what nvidia-smi"
            " lists, or to 0 for the CPU"
        )
    told = False
    while True:
        with ExitStack() as held:
            mine: list[str] = []
            for card in cards:
                if len(mine) < count and _locked(locks / card.replace("/", "_"), held):
                    mine.append(card)
            if len(mine) == count:
                yield mine
                return
        if not told:
            print(f"waiting for {count} of the GPUs {', '.join(cards)}: other jobs hold them", file=sys.stderr)
            told = True
        # Two jobs that each hold a part and wait for the rest let go of it here, and come back at different times.
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))


def _locked(path: Path, held: ExitStack) -> bool:
    """Try to lock a file; on success `held` keeps it open."""
    file = open(path, "w")  # noqa: SIM115 (it is kept open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    os.set_inheritable(file.fileno(), True)
    held.enter_context(file)
    return True
