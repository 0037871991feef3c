"""Killed, stopped, full disk, wrong state: what a run does when things go wrong, as processes of its own."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from oac.atomic import DiskFullError
from oac.pretrain.checkpoint import State, StateError
from oac.pretrain.recipe import canonical

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "pretrain.py"


def command(recipe, inputs, folder, checkpoint_seconds):
    return [
        sys.executable, str(SCRIPT), "--images", inputs.images, "--photos", inputs.photos, "--boxes", inputs.boxes,
        "--classes", inputs.classes, "--proposals", inputs.proposals, "--recipe", canonical(recipe),
        "--state", folder / "state", "--out", folder / "encoder.safetensors", "--history", folder / "history.jsonl",
        "--threads", "1", "--checkpoint-seconds", str(checkpoint_seconds),
    ]  # fmt: skip


def start(recipe, inputs, folder, checkpoint_seconds=0.0):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        command(recipe, inputs, folder, checkpoint_seconds),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def steps_done(folder):
    history = folder / "state" / "history.jsonl"
    return history.read_text().count('"step"') if history.exists() else 0


def lines(folder):
    """The history without what a clock decides."""
    timed = {"images_per_s", "data_share", "eta_s", "time"}
    text = (folder / "history.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in timed} for line in text]


def assert_same_run(folder, uninterrupted):
    ours, theirs = (load_file(path / "encoder.safetensors") for path in (folder, uninterrupted))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert lines(folder) == lines(uninterrupted)


@pytest.mark.parametrize(
    ("recipe", "attempt"), [("moco_v2", 0), ("moco_v2", 1), ("moco_v2", 2), ("byol", 1)], indirect=["recipe"]
)
def test_killed_at_random_moments_it_ends_with_the_same_bits(recipe, inputs, uninterrupted, tmp_path, attempt):
    """SIGKILL after a random number of logged steps and a random part of a step, then a run to the end.

    With a checkpoint at every step, or only now and then, so that steps have to be done again.
    """
    moments = random.Random(attempt)
    between = (0.0, 0.1, 0.3)[attempt]  # seconds between checkpoints; a step takes some 0.02
    kills = 0
    for target in sorted(moments.sample(range(1, 38), 2)):
        process = start(recipe, inputs, tmp_path, between)
        deadline = time.monotonic() + 60
        while steps_done(tmp_path) < target and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.stderr.close()
    assert kills, "the run was faster than the test: nothing was killed"
    assert not (tmp_path / "encoder.safetensors").exists() or kills < 2
    process = start(recipe, inputs, tmp_path)
    assert process.wait(timeout=120) == 0, process.stderr.read()
    process.stderr.close()
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize("recipe", ["moco_v2", "byol", "supervised"], indirect=True)
def test_sigterm_checkpoints_and_leaves_with_75_and_the_run_goes_on_to_the_same_bits(
    recipe, inputs, uninterrupted, tmp_path
):
    process = start(recipe, inputs, tmp_path, checkpoint_seconds=1000)
    deadline = time.monotonic() + 60
    while steps_done(tmp_path) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "run again to go on" in errors
    assert "Traceback" not in errors
    content = torch.load(tmp_path / "state" / "checkpoint.pt", weights_only=True)
    assert 0 < content["step"] < 40
    assert not (tmp_path / "encoder.safetensors").exists()
    process = start(recipe, inputs, tmp_path)
    assert process.wait(timeout=120) == 0, process.stderr.read()
    process.stderr.close()
    assert_same_run(tmp_path, uninterrupted)


def test_a_second_trainer_of_the_same_run_is_refused(recipe, inputs, tmp_path):
    with State(tmp_path / "state", recipe, "data").locked():
        process = start(recipe, inputs, tmp_path)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another process is training" in errors
    assert "Traceback" not in errors


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused_and_one_of_other_data_set_aside(recipe, tmp_path):
    State(tmp_path, recipe, "data").save({"step": 3})
    assert State(tmp_path, recipe, "data").load()["step"] == 3
    with pytest.raises(StateError, match="another recipe"):
        State(tmp_path, recipe | {"seed": 9}, "data").load()
    assert State(tmp_path, recipe, "other data").load() is None
    assert (tmp_path / "checkpoint.other-data.pt").exists()
    (tmp_path / "checkpoint.pt").write_bytes(b"PK half a file")
    with pytest.raises(StateError, match="cannot be read"):
        State(tmp_path, recipe, "data").load()


def test_a_history_line_cut_by_a_kill_and_lines_after_the_checkpoint_are_dropped(recipe, tmp_path):
    state = State(tmp_path, recipe, "data")
    state.start_history(0)
    for step in (1, 2, 3):
        state.log({"step": step})
    with open(state.history, "a") as file:
        file.write('{"step": 4, "lo')
    state.start_history(2)
    assert [json.loads(line).get("step") for line in state.history.read_text().splitlines()] == [None, 1, 2]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(recipe, inputs, tmp_path):
    wild = recipe | {"options": recipe["options"] | {"lr": 1e30}, "images_seen": 6400}
    process = start(wild, inputs, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "lower the learning rate" in errors
    assert "Traceback" not in errors
    if (tmp_path / "state" / "checkpoint.pt").exists():
        content = torch.load(tmp_path / "state" / "checkpoint.pt", weights_only=True)
        assert all(value.isfinite().all() for value in content["method"].values() if value.is_floating_point())


class FullDisk:
    """A file on a disk without room."""

    def __init__(self, file):
        self.file = file

    def write(self, _):
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_keeps_the_last_checkpoint(recipe, tmp_path, monkeypatch):
    state = State(tmp_path, recipe, "data")
    state.save({"step": 1})
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: save(content, FullDisk(file)))
    with pytest.raises(DiskFullError, match=r"no room to write .*checkpoint\.pt.*previous file is kept"):
        state.save({"step": 2})
    monkeypatch.undo()
    assert state.load()["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_what_a_kill_left_half_written_is_removed_by_the_next_run(recipe, tmp_path):
    state = State(tmp_path, recipe, "data")
    (tmp_path / ".checkpoint.123.part.pt").write_bytes(b"half")
    state.save({"step": 1})
    with state.locked():
        assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "lock"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_spares_the_workers_until_the_checkpoint_is_written(
    recipe, inputs, tmp_path, number
):
    """What Ctrl-C and a scheduler do: every process of the job gets the signal, workers that cut views included."""
    process = subprocess.Popen(
        [sys.executable, "-c", GROUP, canonical(recipe | {"images_seen": 160_000}), str(inputs), str(tmp_path)],
        stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while steps_done(tmp_path) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert torch.load(tmp_path / "state" / "checkpoint.pt", weights_only=True)["step"] > 0


GROUP = """
import json, sys
from pathlib import Path, PosixPath
from oac.pretrain.checkpoint import State
from oac.pretrain.loop import Preempted, Trainer
from oac.pretrain import methods
from oac.pretrain.run import TrainingFiles, training_batches
recipe, files, folder = json.loads(sys.argv[1]), eval(sys.argv[2]), Path(sys.argv[3])
batches, labels = training_batches(recipe, files)
state = State(folder / "state", recipe, "data")
trainer = Trainer(recipe, methods.build(recipe, labels), batches, state, workers=2, log_every=5)
try:
    trainer.run()
except Preempted:
    sys.exit(75)
"""
