"""The study on a SLURM cluster: one machine on the loopback address, real daemons, the profile that users take."""

from __future__ import annotations

import importlib.util
import json
import os
import re
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
RUN = "pretrain/moco_v2/scene-scene/seed0"
ENCODER = f"results/tiny/{RUN}/encoder.safetensors"
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
    """Return what `what()` returns once it is true; the call of Snakemake must live until then."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return result


def on_slurm(workflow) -> list[str]:
    return ["--workflow-profile", str(workflow.repo / "profiles/slurm"), *HERE]


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory):
    """A configuration in which the run takes some seconds, and its encoder when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("longer")
    config = finished.changed({"pretrain.images_seen": 16 * STEPS}, folder)
    undisturbed = finished.copy_to(folder / "undisturbed")
    result = undisturbed.run(ENCODER, config=config)
    assert result.code == 0, result.text
    return config, (undisturbed.folder / ENCODER).read_bytes()


# A job with grace ends by itself, as failed, and Snakemake submits the run again; one without goes back to the queue.
@pytest.mark.parametrize(("partition", "submissions"), [("low", 2), ("abrupt", 1)])
def test_a_preempted_job_goes_on_and_ends_with_the_bytes_of_an_undisturbed_one(
    cluster, longer, copied, partition, submissions
):
    config, undisturbed = longer
    known = set(copied.folder.glob("state/*/history.jsonl"))
    asked = ["--default-resources", f"slurm_partition={partition}", "mem_mb=8000", "runtime=120"]
    process = copied.start(ENCODER, *on_slurm(copied), *asked, config=config)
    try:
        (history,) = wait_for(lambda: set(copied.folder.glob("state/*/history.jsonl")) - known, process)
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
    log = (copied.folder / f"logs/tiny/{RUN}.log").read_text()
    first = int(re.findall(r"^step (\d+)/", log, flags=re.MULTILINE)[0])
    assert first > STEPS // 100, log  # it did not begin again
    assert (copied.folder / ENCODER).read_bytes() == undisturbed


def test_a_job_asks_for_as_many_gpus_as_a_run_takes(cluster, copied, tmp_path):
    """The machine has no GPU, so the job ends with that sentence, after SLURM gave it the two it counts."""
    config = copied.changed({"pretrain.images_seen": 512}, tmp_path)
    config.write_text(config.read_text().replace("gpu: 0", "gpu: 2"))
    process = copied.start(ENCODER, *on_slurm(copied), "--set-threads", "pretrain=1", config=config)
    try:
        job = wait_for(lambda: slurm.command("squeue", "--noheader", "--format=%i"), process).split()[0]
        assert re.search(r"TresPerJob=gres[:/]gpu[:=]2\b", slurm.command("scontrol", "show", "job", job))
        log = copied.folder / f"logs/tiny/{RUN}.log"
        wait_for(lambda: log.exists() and "2 GPUs asked for and 0 found" in log.read_text(), process)
        wait_for(lambda: "FAILED" in slurm.command("scontrol", "show", "job", job), process)
        assert log.read_text().count("2 GPUs asked for and 0 found") == 1
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_a_study_runs_on_a_cluster_and_equals_the_one_run_here(cluster, finished, fresh):
    """From nothing to the scores of two runs: one of every kind of job, since each takes a cluster some seconds."""
    results = "results/tiny"
    scored = [
        f"{results}/probe/{run}/metrics.json" for run in ("moco_v2/object-dilate/seed0", "random_init/none/seed0")
    ]
    others = [f"{results}/{file}" for file in ("proposals/recall.json", "report/overlap.csv", "data/classes.csv")]
    figure = f"{results}/report/figures/images_per_class.png"
    # A machine of one core is enough.
    result = fresh.run(*scored, *others, figure, *on_slurm(fresh), "--set-threads", "store_photos=1")
    assert result.code == 0, result.text
    assert result.text.count("has been submitted with SLURM jobid") > 20
    for path in [*others, *(str(file.relative_to(fresh.folder)) for file in fresh.folder.glob("**/*.safetensors"))]:
        assert (fresh.folder / path).read_bytes() == (finished.folder / path).read_bytes(), path
    for path in scored:
        assert json.loads((fresh.folder / path).read_text()) == json.loads((finished.folder / path).read_text()), path
    assert (fresh.folder / figure).stat().st_size > 300
