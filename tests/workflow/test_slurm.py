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
from functools import partial
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


def wait_for(what, process, seconds=180):
    """What `what()` returns once it is true; the call of Snakemake must live until then."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def on_slurm(workflow) -> list[str]:
    return ["--workflow-profile", str(workflow.repo / "profiles/slurm"), *HERE]


def copied(finished, folder):
    copy = dataclasses.replace(finished, folder=folder)
    shutil.copytree(finished.folder, folder, symlinks=True)
    return copy


# A job with grace ends by itself, as failed, and Snakemake submits the run again; one without goes back to the queue.
@pytest.mark.parametrize(("partition", "submissions"), [("low", 2), ("abrupt", 1)])
def test_a_preempted_job_goes_on_and_ends_with_the_bytes_of_an_undisturbed_one(
    cluster, finished, tmp_path, partition, submissions
):
    undisturbed = copied(finished, tmp_path / "undisturbed")
    preempted = copied(finished, tmp_path / "preempted")
    config = finished.changed({"pretrain.images_seen": 16 * STEPS}, tmp_path)
    target = f"results/tiny/{RUN}"
    known = set(preempted.folder.glob("state/*/history.jsonl"))
    asked = ["--default-resources", f"slurm_partition={partition}", "mem_mb=8000", "runtime=120"]
    process = preempted.start(target, *on_slurm(preempted), *asked, config=config)
    try:
        (history,) = wait_for(lambda: set(preempted.folder.glob("state/*/history.jsonl")) - known, process)
        wait_for(lambda: '"step"' in history.read_text(), process)
        ours = slurm.command("squeue", "--noheader", "--format=%i", f"--partition={partition}").split()[0]
        slurm.command("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
        if partition == "abrupt":
            status = partial(slurm.command, "squeue", "--noheader", "--format=%T", f"--jobs={ours}")
            wait_for(lambda: "PENDING" in status(), process)
            # SLURM holds a job that it queued again back for two minutes.
            slurm.command("scontrol", "update", f"JobId={ours}", "StartTime=now")
        text, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, text
    assert f"SLURM jobid {ours}" in text
    assert text.count("has been submitted with SLURM jobid") == submissions, text
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
    process = copy.start(f"results/tiny/{RUN}", *on_slurm(copy), "--set-threads", "pretrain=1", config=config)
    try:
        job = wait_for(lambda: slurm.command("squeue", "--noheader", "--format=%i"), process).split()[0]
        assert re.search(r"TresPerJob=gres[:/]gpu[:=]2\b", slurm.command("scontrol", "show", "job", job))
        log = copy.folder / f"logs/tiny/{RUN}".replace("/encoder.safetensors", ".log")
        wait_for(lambda: log.exists() and "2 GPUs asked for and 0 found" in log.read_text(), process)
        wait_for(lambda: "FAILED" in slurm.command("scontrol", "show", "job", job), process)
        assert log.read_text().count("2 GPUs asked for and 0 found") == 1
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_the_tiny_study_runs_on_a_cluster_and_equals_the_one_run_here(cluster, finished, fresh):
    # One rule asks for more cores than this machine has.
    result = fresh.run(*on_slurm(fresh), "--set-threads", "propose_bing=1")
    assert result.code == 0, result.text
    assert result.text.count("has been submitted with SLURM jobid") > 20
    for file in sorted(finished.folder.glob("results/tiny/**/*.safetensors")):
        assert (fresh.folder / file.relative_to(finished.folder)).read_bytes() == file.read_bytes(), file
    for file in sorted(finished.folder.glob("results/tiny/**/metrics.json")):
        assert json.loads((fresh.folder / file.relative_to(finished.folder)).read_text()) == json.loads(
            file.read_text()
        )
