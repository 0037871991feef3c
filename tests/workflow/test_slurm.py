"""The study on a SLURM cluster: two machines on the loopback address, real daemons, the profile that users take."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial

import pytest

from oac.pretrain.nn import encoder_recipe

from . import slurm
from .trainers import training, wait_for

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
    asked = ["--default-resources", f"slurm_partition={partition}", "mem_mb=8000", "runtime=120"]
    with training(copied, ENCODER, *on_slurm(copied), *asked, config=config) as process:
        ours = slurm.command("squeue", "--noheader", "--format=%i", f"--partition={partition}").split()[0]
        slurm.command("sbatch", "--partition=high", "-N2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
        if partition == "abrupt":
            status = partial(slurm.command, "squeue", "--noheader", "--format=%T", f"--jobs={ours}")
            wait_for(lambda: "PENDING" in status(), process)
            # SLURM holds a job that it queued again back for two minutes.
            slurm.command("scontrol", "update", f"JobId={ours}", "StartTime=now")
        text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert f"SLURM jobid {ours}" in text
    assert text.count("has been submitted with SLURM jobid") == submissions, text
    log = (copied.folder / f"logs/tiny/{RUN}.log").read_text()
    first = int(re.findall(r"^step (\d+)/", log, flags=re.MULTILINE)[0])
    assert first > STEPS // 100, log  # it did not begin again
    assert (copied.folder / ENCODER).read_bytes() == undisturbed


@pytest.mark.parametrize(("gpus", "nodes"), [(2, 1), (4, 2)])
def test_a_job_asks_for_the_gpus_of_a_run_and_starts_on_each_machine(cluster, copied, tmp_path, gpus, nodes):
    """The machines have no GPUs, so the job ends with that sentence of each, after SLURM gave it those it counts."""
    config = copied.changed({"pretrain.images_seen": 512, "methods.moco_v2.bn_splits": gpus}, tmp_path)
    config.write_text(config.read_text().replace("gpu: 0", f"gpu: {gpus}\ngpus_per_node: 2"))
    process = copied.start(ENCODER, *on_slurm(copied), "--set-threads", "pretrain=1", config=config)
    try:
        job = wait_for(lambda: slurm.command("squeue", "--noheader", "--format=%i"), process).split()[0]
        description = slurm.command("scontrol", "show", "job", job)
        assert re.search(rf"TresPerJob=gres[:/]gpu[:=]{gpus}\b", description)
        assert re.search(rf"NumNodes={nodes}\b", description)
        log = copied.folder / f"logs/tiny/{RUN}.log"
        wait_for(lambda: log.exists() and "2 GPUs asked for and 0 found" in log.read_text(), process)
        wait_for(lambda: "FAILED" in slurm.command("scontrol", "show", "job", job), process)
        assert log.read_text().count("2 GPUs asked for and 0 found") == nodes, log.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_two_machines_train_one_run_and_one_that_is_stopped_goes_on(cluster, finished, tmp_path):
    """srun starts the processes; they end with the bytes of two that one machine has."""
    results = finished.folder / "results/tiny"
    recipe = encoder_recipe(finished.folder / ENCODER) | {"images_seen": 16 * 400}
    options = ["--recipe", json.dumps(recipe), "--processes", "2"]
    for name, file in {"images": "images.parquet", "boxes": "boxes.parquet", "classes": "classes.csv"}.items():
        options += [f"--{name}", f"{results}/data/{file}"]
    options += ["--photos", f"{results}/data/photos"]

    def command(folder, *more):
        files = {"state": "state", "out": "encoder.safetensors", "history": "history.jsonl"}
        own = [f"--{name}={folder / file}" for name, file in files.items()]
        return [sys.executable, str(finished.repo / "workflow/scripts/pretrain.py"), *options, *own, *more]

    def submit():
        text = shlex.join(command(tmp_path / "machines", "--nodes", "2"))
        size = ["--nodes=2", "--cpus-per-task=1", "--mem=8000"]
        output = [f"--output={tmp_path}/machines.log", "--open-mode=append"]
        # The workflow's jobs `exec` as well.
        return slurm.command("sbatch", "--parsable", *size, *output, f"--wrap=exec {text}").strip()

    def ended(job):
        state = slurm.command("scontrol", "show", "job", job)
        return not re.search("JobState=(PENDING|RUNNING|COMPLETING)", state) and state

    alone = subprocess.run(command(tmp_path / "alone"), capture_output=True, text=True, timeout=300)
    assert alone.returncode == 0, alone.stderr
    job, history = submit(), tmp_path / "machines/state/history.jsonl"
    wait_for(lambda: history.exists() and '"step"' in history.read_text())
    slurm.command("scancel", "--signal=TERM", job)
    assert "ExitCode=75:0" in wait_for(partial(ended, job)), (tmp_path / "machines.log").read_text()
    job = submit()
    assert "JobState=COMPLETED" in wait_for(partial(ended, job)), (tmp_path / "machines.log").read_text()
    log = (tmp_path / "machines.log").read_text()
    assert "stopped at step" in log
    files = [tmp_path / name / "encoder.safetensors" for name in ("alone", "machines")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_study_runs_on_a_cluster_and_equals_the_one_run_here(cluster, finished, fresh):
    """From nothing to the scores of two runs: one of every kind of job, since each takes a cluster some seconds."""
    results = "results/tiny"
    scored = [
        f"{results}/probe/{run}/metrics.json" for run in ("moco_v2/object-dilate/seed0", "random_init/none/seed0")
    ]
    others = [f"{results}/{file}" for file in ("proposals/recall.json", "data/classes.csv")]
    overlap, figure = f"{results}/report/overlap.csv", f"{results}/report/figures/images_per_class.png"
    # A machine of one core is enough.
    result = fresh.run(*scored, *others, overlap, figure, *on_slurm(fresh), "--set-threads", "store_photos=1")
    assert result.code == 0, result.text
    assert result.text.count("has been submitted with SLURM jobid") > 20
    for path in [*others, *(str(file.relative_to(fresh.folder)) for file in fresh.folder.glob("**/*.safetensors"))]:
        assert (fresh.folder / path).read_bytes() == (finished.folder / path).read_bytes(), path
    for path in scored:
        assert json.loads((fresh.folder / path).read_text()) == json.loads((finished.folder / path).read_text()), path
    assert (fresh.folder / overlap).stat().st_size > 100
    assert (fresh.folder / figure).stat().st_size > 300
