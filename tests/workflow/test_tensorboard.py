"""Training curves as TensorBoard's own reader finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oac.workflow.tensorboard import seconds_trained, write_events
from oac.workflow.trainings import trainings

TINY = str(Path(__file__).resolve().parents[1] / "config/tiny.yaml")
LOSSES = {16: 3.5, 32: 2.25, 48: 1.125}


def begin(folder, losses):
    """The first training of the tiny study, with a line of history for each loss by images seen."""
    training = trainings([TINY], folder)[0]
    training.state.mkdir(parents=True, exist_ok=True)
    lines = [{"recipe": {}, "device": "cpu"}]
    lines += [
        {"step": seen // 16, "images_seen": seen, "loss": loss, "chance": 3.0, "images_per_s": 8.0}
        for seen, loss in losses.items()
    ]
    (training.state / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return training


def test_the_curves_of_a_run_are_its_history_and_written_anew_by_each_call(tmp_path):
    pytest.importorskip("tensorboard", reason='needs pip install -e ".[tensorboard]"')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "oac.workflow.tensorboard",
        TINY,
        "--directory",
        str(tmp_path),
        "--out",
        str(out),
    ]
    for count in (2, 3):
        losses = dict(list(LOSSES.items())[:count])
        name = begin(tmp_path, losses).name
        stranger = out / name / "events.out.tfevents.1.other"
        stranger.parent.mkdir(parents=True, exist_ok=True)
        stranger.touch()
        subprocess.run(command, check=True, capture_output=True)
        assert stranger.exists()
        assert len(list((out / name).iterdir())) == 2
        curves = EventAccumulator(str(out / name))
        curves.Reload()
        assert {point.step: point.value for point in curves.Scalars("loss")} == losses
        assert set(curves.Tags()["scalars"]) == {"loss", "chance", "images_per_s"}
        assert [point.wall_time for point in curves.Scalars("loss")] == [2.0, 4.0, 6.0][:count]
    assert len(list(out.glob("tiny/*/*/*"))) == 1  # runs that were not begun have none


def test_without_the_package_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ValueError, match=r"pip install -e \"\.\[tensorboard\]\""):
        write_events(begin(tmp_path, LOSSES), tmp_path / "out")


def test_the_time_of_training_is_that_of_its_intervals():
    lines = [{"images_seen": 100, "images_per_s": 50.0}, {"images_seen": 150, "images_per_s": 10.0}]
    assert seconds_trained(lines) == [2.0, 7.0]
