"""How far the training runs of studies are, a line for each that is not finished.

    python -m oac.workflow.progress STUDY... [--watch]

Only files are read: it can be asked while Snakemake runs, and about the jobs of a cluster.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oac.command import plain_errors
from oac.report.runs import duration
from oac.workflow.trainings import Training, arguments, trainings

SILENT_SECONDS = (
    600.0  # a run writes a checkpoint every two minutes, so one that wrote nothing for so long is stopped
)
STATES = ("finished", "running", "stopped", "failed", "not started")
HEADER = ("run", "step", "loss (chance)", "images/s", "time left", "log")


@dataclass(frozen=True)
class Progress:
    """Where a run is: its state, one of STATES, and the cells of its row in the table."""

    state: str
    row: tuple[str, ...]
    failure: str = ""


def main() -> None:
    """Print the table, again and again where asked to."""
    parser = arguments("progress", __doc__)
    parser.add_argument(
        "--watch", type=float, nargs="?", const=10.0, metavar="SECONDS", help="repeat until all runs are finished"
    )
    options = parser.parse_args()
    while True:
        found = [look(training, time.time()) for training in trainings(options.studies, options.directory)]
        if options.watch and sys.stdout.isatty():
            print("\033[2J\033[H", end="")
        print(table(found), flush=True)
        if not options.watch or all(progress.state == "finished" for progress in found):
            return
        time.sleep(options.watch)


def table(found: Sequence[Progress]) -> str:
    """Runs that were begun and are not finished, a line each, with the reasons of failures; and counts of all."""
    rows = [progress.row for progress in found if progress.state not in ("finished", "not started")]
    lines = []
    if rows:
        widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
        for row in (HEADER, *rows):
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    lines += [f"{progress.row[0]} failed: {progress.failure}" for progress in found if progress.failure]
    counts = Counter(progress.state for progress in found)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return "\n".join([*lines, f"{len(found)} training runs: {states}" if found else "no run is trained"])


def look(training: Training, now: float) -> Progress:
    """Where a run is at a time, in seconds since 1970; one that is stopped goes on at the next call of Snakemake."""
    failed = training.state.with_name(f"{training.state.name}.failed")
    if training.finished:
        return Progress("finished", (training.name,))
    if not training.lines:
        state = "failed" if failed.exists() else "not started"
        rest = ("-",) * (len(HEADER) - 2)
    else:
        written = _last_written(training.state)
        if failed.exists():
            state = "failed"
        elif _is_dead(training.state / "lock") or now - written > SILENT_SECONDS:
            state = "stopped"
        else:
            state = "running"
        first, *intervals = training.lines
        last = intervals[-1] if intervals else {}
        left = duration(last["eta_s"]) if last else "starting"
        rest = (
            f"{last.get('step', 0)}/{first.get('steps', '?')}",
            f"{last['loss']:.2f} ({last['chance']:.2f})" if last else "-",
            f"{last['images_per_s']:.0f}" if last else "-",
            left if state == "running" else f"{state} {duration(now - written)} ago",
        )
    failure = failed.read_text(encoding="utf-8") if state == "failed" else ""
    return Progress(state, (training.name, *rest, str(training.log)), failure)


def _last_written(state: Path) -> float:
    """When a run last wrote its history or a checkpoint."""
    times = [file.stat().st_mtime for file in (state / "history.jsonl", state / "checkpoint.pt") if file.exists()]
    return max(times)


def _is_dead(lock: Path) -> bool:
    """Whether the process that the file of a state's lock names was of this machine and is no more."""
    try:
        host, pid = lock.read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return False
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)  # sends nothing
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    return False


if __name__ == "__main__":
    with plain_errors():
        try:
            main()
        except KeyboardInterrupt:
            sys.exit(130)
