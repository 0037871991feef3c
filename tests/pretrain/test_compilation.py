"""When a run is compiled, and that a second run finds what the first one compiled."""

import os
import subprocess
import sys

import pytest
import torch

from oac.pretrain import compilation, methods
from oac.pretrain.checkpoint import State
from oac.pretrain.compilation import PAYS_SECONDS, TIMED, WARM_UP, Compilation
from oac.pretrain.loop import Trainer
from oac.pretrain.run import training_batches

GPU, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.mark.parametrize(
    ("mode", "device", "parts", "compiled", "said"),
    [
        ("on", CPU, 1, 1, "on"),
        ("off", GPU, 1, 0, "off"),
        ("auto", CPU, 1, 0, "on a CPU"),
        ("auto", GPU, 4, 0, "in 4 parts"),
        ("on", GPU, 4, 0, "in 4 parts"),
    ],
)
def test_what_is_known_at_the_start_is_decided_there(mode, device, parts, compiled, said, capsys):
    calls = []
    decision = Compilation(mode, device, lambda: calls.append(1), parts)
    assert len(calls) == compiled
    assert said in capsys.readouterr().err
    for left in range(100, 0, -1):
        decision.after_step(left)
    assert len(calls) == compiled


@pytest.mark.parametrize(("seconds_a_step", "compiled"), [(0.31, 1), (0.29, 0)])
def test_a_gpus_run_is_compiled_where_its_rest_is_long(seconds_a_step, compiled, monkeypatch, capsys):
    steps, calls, now = 1000 + WARM_UP + TIMED, [], [0.0]
    decision = Compilation("auto", GPU, lambda: calls.append(now[0]))
    monkeypatch.setattr(Compilation, "_now", lambda self: now[0])
    assert PAYS_SECONDS == 1000 * 0.3
    for step in range(1, steps + 1):
        now[0] += 50.0 if step < WARM_UP else seconds_a_step  # the first steps are slow and do not count
        decision.after_step(steps - step)
        if step < WARM_UP + TIMED:
            assert not calls
    assert len(calls) == compiled
    assert f"compilation {'on' if compiled else 'off'}: the rest" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["moco_v2", "swav"], indirect=True)
def test_a_compiled_run_has_the_losses_of_the_uncompiled_one(recipe, inputs, tmp_path):
    losses = []
    for mode in ("off", "on"):
        batches, labels = training_batches(recipe, inputs)
        torch.manual_seed(0)
        method = methods.build(recipe, labels)
        trainer = Trainer(recipe, method, batches, State(tmp_path / mode, recipe, "data"), compile=mode)
        losses.append([float(trainer._train_step(batches[step])["loss"]) for step in range(4)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


SECOND = """
import torch
from pathlib import Path
from oac.pretrain.compilation import keep_results
from oac.pretrain.nn import backbone
keep_results(Path("compiled"))
torch.manual_seed(0)
net = backbone("narrow", width=8, bn_splits=2)[0]
net.compile(dynamic=False)
net(torch.randn(4, 3, 32, 32)).sum().backward()
print(dict(torch._dynamo.utils.counters["inductor"]))
"""


def test_a_second_run_takes_what_the_first_one_compiled(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "TORCHINDUCTOR_CACHE_DIR"}
    counts = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SECOND], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        counts.append(eval(done.stdout, {}))
    assert not counts[0].get("fxgraph_cache_hit")
    assert counts[1].get("fxgraph_cache_hit", 0) > 0
    assert not counts[1].get("fxgraph_cache_miss")


def test_a_users_own_folder_for_the_compiler_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    compilation.keep_results(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere"
