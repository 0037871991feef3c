"""Meet the training job of a call of Snakemake while it trains."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .conftest import Workflow


def wait_for(what, process: subprocess.Popen[str] | None = None, seconds: float = 1500):
    """Return what `what()` returns once it is true; the process, if there is one, must live until then."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        assert process is None or process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return result


def trainers(snakemake: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of pretrain.py below a call of Snakemake; shells only have the name somewhere in their text."""
    processes = []
    for process in psutil.Process(snakemake.pid).children(recursive=True):
        try:
            if process.cmdline()[1:2] and process.cmdline()[1].endswith("/pretrain.py"):
                processes.append(process)
        except psutil.NoSuchProcess:  # ended while we looked
            pass
    return processes


@contextmanager
def training(workflow: Workflow, *arguments: str, config: Path) -> Iterator[subprocess.Popen[str]]:
    """A call of Snakemake whose new run has done its first steps; what is left of the call is killed at the end."""
    known = set(workflow.folder.glob("state/*/history.jsonl"))
    snakemake = workflow.start(*arguments, config=config)
    try:
        (history,) = wait_for(lambda: set(workflow.folder.glob("state/*/history.jsonl")) - known, snakemake)
        wait_for(lambda: '"step"' in history.read_text(), snakemake)
        yield snakemake
    finally:
        snakemake.kill()
        snakemake.wait()


def logged_steps(path: Path, pattern: str) -> list[int]:
    """The steps that a history or a log has whole lines of."""
    return [int(step) for step in re.findall(pattern, path.read_text(), flags=re.MULTILINE)]
