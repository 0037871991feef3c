"""A pretraining job that is asked to stop, as a cluster does, goes on where it was without anybody's help."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from .trainers import logged_steps, trainers, training

RUN = "pretrain/moco_v2/scene-scene/seed0"
STEPS = 500  # some seconds, so that the job is met before its end


def progress(workflow, study: Path) -> str:
    """What the command says that shows how far a study's trainings are."""
    command = [sys.executable, "-m", "oac.workflow.progress", str(study), "--directory", str(workflow.folder)]
    environment = os.environ | {"PYTHONPATH": str(workflow.repo / "src")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_preempted_job_is_started_again_and_goes_on_where_it_was(copied, tmp_path):
    config = copied.changed({"pretrain.images_seen": 16 * STEPS}, tmp_path)
    with training(copied, f"results/tiny/{RUN}/encoder.safetensors", config=config) as snakemake:
        (trainer,) = trainers(snakemake)
        trainer.suspend()  # so that it is not over before it was looked at
        shown = progress(copied, tmp_path / "tiny.yaml")
        trainer.resume()
        trainer.send_signal(signal.SIGTERM)
        text, _ = snakemake.communicate(timeout=1500)
    assert snakemake.returncode == 0, text
    log = f"logs/tiny/{RUN}.log"
    (row,) = [line for line in shown.splitlines() if log in line]
    assert re.search(rf" [1-9]\d*/{STEPS} .*\(\d\.\d\d\)", row)
    assert "1 running" in shown
    assert f"log {log}" in text
    assert "python -m oac.workflow.progress" in text
    assert text.count("exit status 75") == text.count("Trying to restart job") == 1, text
    (stopped,) = re.findall(rf"^stopped at step (\d+) of {STEPS}\b", text, flags=re.MULTILINE)
    # The log is the second try's: a job's log is emptied when it starts.
    assert 0 < int(stopped) < logged_steps(copied.folder / log, r"^step (\d+)/")[0]
    published = copied.folder / f"results/tiny/{RUN}/history.jsonl"
    assert logged_steps(published, r'^{"step": (\d+),') == list(range(STEPS // 100, STEPS + 1, STEPS // 100))
