"""SIGKILL at fifty random moments, spread over all methods, ends with the bits of an undisturbed run."""

import math
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import torch

from oac.pretrain.run import train_run

from .conftest import METHODS

KILLS = math.ceil(50 / len(METHODS))
STEPS = 50


def train(recipe, inputs, folder, checkpoint_seconds):
    torch.set_num_threads(1)  # a forked process has no pool of compute threads to wait for
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    train_run(
        recipe, inputs, folder / "state", folder / "encoder.safetensors", folder / "history.jsonl",
        checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip


def start(*arguments):
    """Fork, so that a start costs milliseconds: a whole new interpreter is what test_resume.py kills."""
    process = multiprocessing.get_context("fork").Process(target=train, args=arguments)
    process.start()
    return process


@pytest.mark.parametrize("recipe", METHODS, indirect=True)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(recipe, inputs, tmp_path):
    recipe["images_seen"] = STEPS * recipe["options"]["batch_size"]
    moments = random.Random(recipe["method"])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    process = start(recipe, inputs, whole, 1000.0)
    process.join(120)
    duration = time.monotonic() - began
    assert process.exitcode == 0
    expected = (whole / "encoder.safetensors").read_bytes()
    kills = starts = resumed = 0
    while kills < KILLS:
        starts += 1
        assert starts < 10 * KILLS, "runs end before they can be killed"
        process = start(recipe, inputs, killed, moments.choice([0.0, 0.02, 0.1]))
        process.join(moments.uniform(0, duration))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        resumed += (killed / "state" / "checkpoint.pt").exists()
        if process.exitcode == 0:  # it came to its end: compare, and begin another
            assert (killed / "encoder.safetensors").read_bytes() == expected
            shutil.rmtree(killed)
    process = start(recipe, inputs, killed, 0.0)
    process.join(120)
    assert process.exitcode == 0
    assert (killed / "encoder.safetensors").read_bytes() == expected
    assert resumed, "no kill left a checkpoint to go on from"
