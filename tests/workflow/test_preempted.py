"""A pretraining job that is asked to stop, as a cluster does, goes on where it was without anybody's help."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import psutil

RUN = "pretrain/moco_v2/scene-scene/seed0"
STEPS = 500  # some seconds, so that the job is met before its end


def wait_for(what, process: subprocess.Popen[str], seconds: float = 180):
    """Return what `what()` returns once it is true; the process must live until then."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        assert process.poll() is None, process.stdout.read()
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


def logged_steps(path: Path, pattern: str) -> list[int]:
    """The steps that a history or a log has whole lines of."""
    return [int(step) for step in re.findall(pattern, path.read_text(), flags=re.MULTILINE)]


def test_a_preempted_job_is_started_again_and_goes_on_where_it_was(copied, tmp_path):
    known = set(copied.folder.glob("state/*/history.jsonl"))
    config = copied.changed({"pretrain.images_seen": 16 * STEPS}, tmp_path)
    snakemake = copied.start(f"results/tiny/{RUN}/encoder.safetensors", config=config)
    try:
        (history,) = wait_for(lambda: set(copied.folder.glob("state/*/history.jsonl")) - known, snakemake)
        wait_for(lambda: '"step"' in history.read_text(), snakemake)
        (trainer,) = trainers(snakemake)
        trainer.send_signal(signal.SIGTERM)
        text, _ = snakemake.communicate(timeout=300)
    finally:
        snakemake.kill()
    assert snakemake.returncode == 0, text
    assert text.count("exit status 75") == text.count("Trying to restart job") == 1, text
    (stopped,) = re.findall(rf"^stopped at step (\d+) of {STEPS}\b", text, flags=re.MULTILINE)
    # The log is the second try's: a job's log is emptied when it starts.
    log = copied.folder / f"logs/tiny/{RUN}.log"
    assert 0 < int(stopped) < logged_steps(log, r"^step (\d+)/")[0]
    published = copied.folder / f"results/tiny/{RUN}/history.jsonl"
    assert logged_steps(published, r'^{"step": (\d+),') == list(range(STEPS // 100, STEPS + 1, STEPS // 100))
