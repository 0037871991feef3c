"""The study on a SLURM cluster: one machine on the loopback address, real daemons, the profile that users take."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
import slurm

PLUGIN = importlib.util.find_spec("snakemake_executor_plugin_slurm")
pytestmark = [
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing()),
    pytest.mark.skipif(PLUGIN is None, reason="requirements-slurm.txt is not installed"),
]
RUN = "pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"
STEPS = 2000
# This cluster keeps no accounts and has little memory; the rest is the profile's.
HERE = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
HERE += ["--seconds-between-status-checks", "1", "--latency-wait", "5"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
        yield


def on_slurm(workflow) -> list[str]:
    return ["--workflow-profile", str(workflow.repo / "profiles/slurm"), *HERE]


def copied(finished, folder):
    copy = dataclasses.replace(finished, folder=folder)
    shutil.copytree(finished.folder, folder, symlinks=True)
    return copy


def test_a_preempted_job_goes_on_and_ends_with_the_bytes_of_an_undisturbed_one(cluster, finished, tmp_path):
    undisturbed = copied(finished, tmp_path / "undisturbed")
    preempted = copied(finished, tmp_path / "preempted")
    config = finished.changed({"pretrain.images_seen": 16 * STEPS}, tmp_path)
    target = f"results/tiny/{RUN}"
    known = set(preempted.folder.glob("state/*/history.jsonl"))
    process = preempted.start(target, *on_slurm(preempted), config=config)
    try:
        deadline = time.monotonic() + 180
        while not (met := set(preempted.folder.glob("state/*/history.jsonl")) - known) or (
            '"step"' not in met.copy().pop().read_text()
        ):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ours = slurm.command("squeue", "--noheader", "--format=%i", "--partition=low").split()[0]
        slurm.command("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
        while "PENDING" not in slurm.command("squeue", "--noheader", "--format=%T", f"--jobs={ours}"):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # SLURM holds a job that it queued again back for two minutes.
        slurm.command("scontrol", "update", f"JobId={ours}", "StartTime=now")
        text, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, text
    assert f"SLURM jobid {ours}" in text
    assert text.count("has been submitted with SLURM jobid") == 1, text
    log = (preempted.folder / "logs/tiny/pretrain/moco_v2/scene-scene/seed0.log").read_text()
    first = int(re.findall(r"^step (\d+)/", log, flags=re.MULTILINE)[0])
    assert first > STEPS // 100, log  # it did not begin again
    assert undisturbed.run(target, config=config).code == 0
    assert (preempted.folder / target).read_bytes() == (undisturbed.folder / target).read_bytes()


def test_a_job_asks_for_as_many_cards_as_a_run_takes(cluster, finished, tmp_path):
    """The machine has no card, so the job ends with that sentence, after SLURM gave it the two it counts."""
    copy = copied(finished, tmp_path / "copy")
    config = copy.changed({"pretrain.images_seen": 512}, tmp_path)
    config.write_text(config.read_text().replace("gpu: 0", "gpu: 2"))
    few = ["--set-threads", "pretrain=1", "--set-resources", "pretrain:mem_mb=1000"]
    result = copy.run(f"results/tiny/{RUN}", *on_slurm(copy), *few, config=config)
    assert result.code != 0
    assert "2 GPUs asked for and 0 found" in result.text


def test_the_tiny_study_runs_on_a_cluster_and_equals_the_one_run_here(cluster, finished, fresh):
    result = fresh.run(*on_slurm(fresh))
    assert result.code == 0, result.text
    assert result.text.count("has been submitted with SLURM jobid") > 20
    for file in sorted(finished.folder.glob("results/tiny/**/*.safetensors")):
        assert (fresh.folder / file.relative_to(finished.folder)).read_bytes() == file.read_bytes(), file
    for file in sorted(finished.folder.glob("results/tiny/**/metrics.json")):
        assert json.loads((fresh.folder / file.relative_to(finished.folder)).read_text()) == json.loads(
            file.read_text()
        )
