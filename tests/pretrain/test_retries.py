"""Which runs are tried again: those that an interruption ended."""

import runpy

import pytest
import torch

from oac.atomic import DiskFullError
from oac.pretrain.checkpoint import BusyError, State, StateError

from .test_launch import HANGS, start
from .test_resume import SCRIPT


def test_what_would_fail_again_is_not_tried_again(recipe, inputs, tmp_path):
    """A retry is for interruptions; a first attempt starts afresh."""
    wrong = recipe | {"crops": recipe["crops"] | {"policy": "object-nothing"}}
    process = start(wrong, inputs, tmp_path)
    _, first = process.communicate(timeout=HANGS)
    assert process.returncode == 1, first
    process = start(recipe, inputs, tmp_path, "--attempt", "2")
    _, second = process.communicate(timeout=HANGS)
    assert process.returncode == 1, second
    assert first.strip().removeprefix("error: ").splitlines()[-1] in second
    assert "not tried again" in second
    process = start(recipe, inputs, tmp_path, "--attempt", "1")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    assert not list(tmp_path.rglob("*.failed"))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError("a network file system is away"), True),
        (ConnectionResetError("another machine has left"), True),
        (RuntimeError("NCCL error"), True),
        (torch.distributed.DistNetworkError("connection lost"), True),
        (BusyError("another process is training in state"), True),
        (StateError("checkpoint.pt is of another recipe"), False),
        (DiskFullError(28, "no room"), False),
        (torch.OutOfMemoryError("the GPU's memory is full"), False),
        (FileNotFoundError(2, "no such file"), False),
        (PermissionError(13, "not to be read"), False),
        (ValueError("no photo has a box"), False),
        (FloatingPointError("training diverged"), False),
        (TypeError("a defect"), False),
        (NotImplementedError("a defect"), False),
        (RecursionError("a defect"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, passes):
    assert runpy.run_path(str(SCRIPT))["may_pass"](error) is passes


def test_a_run_that_another_process_holds_is_tried_again(recipe, inputs, tmp_path):
    with State(tmp_path / "state", {}, "").locked():
        process = start(recipe, inputs, tmp_path)
        _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "another process is training" in errors
    process = start(recipe, inputs, tmp_path, "--attempt", "2")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors


def test_a_run_whose_checkpoint_is_of_another_recipe_is_not_tried_again(recipe, inputs, tmp_path):
    State(tmp_path / "state", recipe | {"seed": 5}, "").save({})
    for attempt in ("1", "2"):
        process = start(recipe, inputs, tmp_path, "--attempt", attempt)
        _, errors = process.communicate(timeout=HANGS)
        assert process.returncode == 1
        assert "of another recipe" in errors
    assert "not tried again" in errors
