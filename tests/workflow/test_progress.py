"""Where trainings are, told from their files: begun, finished, killed, failed, on another machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oac import study_files
from oac.configuration import ConfigError
from oac.pretrain import recipe as recipes
from oac.pretrain.checkpoint import State
from oac.workflow.progress import look, table
from oac.workflow.trainings import trainings

TINY = str(Path(__file__).resolve().parents[1] / "config/tiny.yaml")
SCENE, DILATE, SUPERVISED = (
    "tiny/moco_v2/scene-scene/seed0",
    "tiny/moco_v2/object-dilate/seed0",
    "tiny/supervised/scene-scene/seed0",
)
NOW = 2_000_000_000.0
HOLD = """
import sys, time
from oac.pretrain.checkpoint import State
with State(sys.argv[1], {}, "").locked():
    print("held", flush=True)
    time.sleep(600)
"""


def recipe_of(run):
    _, method, crops, _ = run.split("/")
    return recipes.build(study_files.read_study(Path(TINY)), method, crops, 0)


def begin(folder, run, steps=(), ago=10.0):
    """Write the state of a run that was begun; steps: of its lines. Its files were written so many seconds ago."""
    (training,) = [one for one in trainings([TINY], folder) if one.name == run]
    training.state.mkdir(parents=True)
    lines = [{"recipe": recipe_of(run), "device": "cpu", "steps": 400}]
    lines += [
        {"step": step, "loss": 2.345, "chance": 3.497, "images_per_s": 123.4, "eta_s": 4000 - 10 * step}
        for step in steps
    ]
    history = training.state / "history.jsonl"
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(history, (NOW - ago, NOW - ago))
    return training


def seen(folder):
    """State and cells by run."""
    return {one.name: look(one, NOW) for one in trainings([TINY], folder)}


def test_a_study_that_was_not_begun_has_no_row_and_is_counted(tmp_path):
    found = seen(tmp_path)
    assert set(found) == {SCENE, DILATE, SUPERVISED}  # an untrained network is no training
    assert table(list(found.values())) == "3 training runs: 3 not started"


def test_a_running_run_shows_its_last_line(tmp_path):
    begin(tmp_path, SCENE, (4, 8))
    found = seen(tmp_path)
    assert found[SCENE].state == "running"
    text = table(list(found.values()))
    (row,) = [line for line in text.splitlines() if line.startswith(SCENE)]
    log = tmp_path / "logs/tiny/pretrain/moco_v2/scene-scene/seed0.log"
    assert re.split("  +", row) == [SCENE, "8/400", "2.35 (3.50)", "123", "1:05:20", str(log)]
    assert text.splitlines()[-1] == "3 training runs: 1 running, 2 not started"


def test_a_run_before_its_first_line_is_starting(tmp_path):
    begin(tmp_path, SCENE)
    assert seen(tmp_path)[SCENE].row[1:5] == ("0/400", "-", "-", "starting")


def test_a_line_that_is_being_written_does_not_count(tmp_path):
    training = begin(tmp_path, SCENE, (4,))
    with open(training.state / "history.jsonl", "a") as file:
        file.write('{"step": 8, "lo')
    assert seen(tmp_path)[SCENE].row[1] == "4/400"


@pytest.mark.parametrize(("ago", "state"), [(590.0, "running"), (610.0, "stopped")])
def test_a_run_that_wrote_nothing_for_long_is_stopped_wherever_it_was(tmp_path, ago, state):
    training = begin(tmp_path, SCENE, (4,), ago)
    (training.state / "lock").write_text("another-machine 1\n")
    found = seen(tmp_path)[SCENE]
    assert found.state == state
    assert (found.row[4] == "stopped 0:10:10 ago") == (state == "stopped")


def test_a_checkpoint_is_a_sign_of_life_too(tmp_path):
    training = begin(tmp_path, SCENE, (4,), ago=5000.0)
    (training.state / "checkpoint.pt").touch()
    os.utime(training.state / "checkpoint.pt", (NOW - 60, NOW - 60))
    assert seen(tmp_path)[SCENE].state == "running"


def test_a_killed_run_of_this_machine_is_stopped_at_once(tmp_path):
    training = begin(tmp_path, SCENE, (4,))
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(training.state)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert seen(tmp_path)[SCENE].state == "running"
    finally:
        process.kill()
        process.communicate()
    assert seen(tmp_path)[SCENE].state == "stopped"
    # The next one says that it is there.
    with State(training.state, {}, "").locked():
        assert (training.state / "lock").read_text().split()[1] == str(os.getpid())
        assert seen(tmp_path)[SCENE].state == "running"


def test_a_run_that_failed_says_why(tmp_path):
    training = begin(tmp_path, SCENE, (4,))
    training.state.with_name(training.state.name + ".failed").write_text("training diverged by step 8")
    text = table(list(seen(tmp_path).values()))
    assert f"{SCENE} failed: training diverged by step 8" in text
    assert text.splitlines()[-1] == "3 training runs: 1 failed, 2 not started"


@pytest.mark.parametrize("own", [True, False])
def test_a_run_is_finished_by_a_history_of_its_own_recipe(tmp_path, own):
    (training,) = [one for one in trainings([TINY], tmp_path) if one.name == DILATE]
    training.published.parent.mkdir(parents=True)
    recipe = recipe_of(DILATE)
    if not own:
        recipe["options"]["lr"] = 0.5
    training.published.write_text(json.dumps({"recipe": recipe}) + "\n")
    assert seen(tmp_path)[DILATE].state == ("finished" if own else "not started")


def test_the_studies_of_a_grid_are_one_table():
    names = [one.name for one in trainings(["regimes"])]
    assert len(names) == len(set(names))
    studies = {name.partition("/")[0] for name in names}
    assert len(studies) > 3
    assert all(study.startswith("regimes_") for study in studies)


@pytest.mark.parametrize(("name", "words"), [("dmeo", "did you mean demo"), ("absent.yaml", "absent.yaml does not")])
def test_a_study_that_is_not_there_is_one_sentence(name, words):
    with pytest.raises(ConfigError, match=words):
        trainings([name])
