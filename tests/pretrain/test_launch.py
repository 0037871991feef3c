"""One job of several processes, as the workflow starts it: through torchrun, on a CPU with gloo.

Two calls of the script that meet on the loopback address stand in for two machines.
"""

import signal
import socket
import subprocess
import time

import psutil
import pytest
import torch

from .test_resume import assert_same_run, command, lines, steps_done

HANGS = 600  # seconds; eight processes that start on two busy cores have taken two minutes


def start(recipe, inputs, folder, *more, checkpoint_seconds=1000.0):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*command(recipe, inputs, folder, checkpoint_seconds), *more], stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def long_recipe():
    from .conftest import METHODS

    return METHODS["moco_v2"] | {"images_seen": 160 * 16}


@pytest.fixture(scope="module")
def pair(long_recipe, inputs, tmp_path_factory):
    """A run of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("pair")
    process = start(long_recipe, inputs, folder, "--processes", "2")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    return folder


def test_two_processes_write_one_encoder_and_one_history(pair, long_recipe):
    steps = [line["step"] for line in lines(pair)[1:]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 160
    assert lines(pair)[-1]["images_seen"] == long_recipe["images_seen"], "the batch of both counts, and counts once"


def wait_for_steps(folder, process):
    deadline = time.monotonic() + HANGS
    while steps_done(folder) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert steps_done(folder) >= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_leaves_with_75_and_goes_on_to_the_same_bits(pair, long_recipe, inputs, tmp_path, number):
    process = start(long_recipe, inputs, tmp_path, "--processes", "2")
    wait_for_steps(tmp_path, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 75, errors
    assert not (tmp_path / "encoder.safetensors").exists()
    process = start(long_recipe, inputs, tmp_path, "--processes", "2")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    assert_same_run(tmp_path, pair)


def test_a_killed_process_ends_the_job_with_an_error_and_leaves_none_behind(long_recipe, inputs, tmp_path):
    process = start(long_recipe | {"images_seen": 10**5}, inputs, tmp_path, "--processes", "2")
    wait_for_steps(tmp_path, process)
    family = psutil.Process(process.pid).children(recursive=True)
    workers = [p for p in family if "LOCAL_RANK" in p.environ() and p.name() != "sh"]
    assert len(workers) == 2
    workers[1].kill()
    process.communicate(timeout=HANGS)
    assert process.returncode == 1
    _gone, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_a_killed_job_takes_its_processes_along_which_save_what_they_have(long_recipe, inputs, tmp_path):
    process = start(long_recipe | {"images_seen": 10**5}, inputs, tmp_path, "--processes", "2")
    wait_for_steps(tmp_path, process)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=HANGS)
    _gone, alive = psutil.wait_procs(family, timeout=40)
    assert not alive
    assert torch.load(tmp_path / "state" / "checkpoint.pt", weights_only=True)["step"] > 0


def test_a_signal_to_every_process_of_a_job_ends_it_with_75_all_the_same(long_recipe, inputs, tmp_path):
    """What a scheduler does: the watching process, torchrun and the two that train all get it."""
    process = start(long_recipe | {"images_seen": 10**5}, inputs, tmp_path, "--processes", "2")
    wait_for_steps(tmp_path, process)
    for member in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        member.terminate()
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 75, errors
    assert torch.load(tmp_path / "state" / "checkpoint.pt", weights_only=True)["step"] > 0


def start_machines(recipe, inputs, folder, processes=2):
    """Start two calls of the script, each with its half of the run's processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    more = ["--nodes", "2", "--processes", str(processes), "--rendezvous", endpoint]
    return [start(recipe, inputs, folder, *more) for _ in range(2)]


def ends(machines):
    """How both ended, and what they wrote."""
    errors = [machine.communicate(timeout=HANGS)[1] for machine in machines]
    return [machine.returncode for machine in machines], "\n".join(errors)


def test_two_machines_of_two_processes_have_the_losses_of_one_process(long_recipe, inputs, tmp_path):
    # As in test_distributed: so small a rate that rounding stays rounding.
    calm = {"lr": 0.0005, "batch_size": 32, "bn_splits": 4}
    recipe = long_recipe | {"images_seen": 12 * 32, "options": long_recipe["options"] | calm}
    alone = start(recipe, inputs, tmp_path / "alone")
    assert ends([alone])[0] == [0]
    codes, errors = ends(start_machines(recipe, inputs, tmp_path / "machines", processes=4))
    assert codes == [0, 0], errors
    losses = [[line["loss"] for line in lines(tmp_path / name)[1:]] for name in ("alone", "machines")]
    assert len(losses[0]) == 12
    assert max(losses[0]) - min(losses[0]) > 1e-3, "a loss that does not move shows nothing"
    assert losses[1] == pytest.approx(losses[0], rel=0, abs=1e-4)


def test_two_machines_of_which_one_is_stopped_leave_with_75_and_go_on_to_the_bits_of_one(
    pair, long_recipe, inputs, tmp_path
):
    machines = start_machines(long_recipe, inputs, tmp_path)
    wait_for_steps(tmp_path, machines[0])
    machines[1].send_signal(signal.SIGTERM)
    codes, errors = ends(machines)
    assert codes == [75, 75], errors
    assert not (tmp_path / "encoder.safetensors").exists()
    codes, errors = ends(start_machines(long_recipe, inputs, tmp_path))
    assert codes == [0, 0], errors
    assert_same_run(tmp_path, pair)


def test_a_killed_process_of_one_machine_ends_both_with_an_error(long_recipe, inputs, tmp_path):
    machines = start_machines(long_recipe | {"images_seen": 10**5}, inputs, tmp_path)
    wait_for_steps(tmp_path, machines[0])
    families = [psutil.Process(machine.pid).children(recursive=True) for machine in machines]
    next(p for p in families[1] if "LOCAL_RANK" in p.environ()).kill()
    assert ends(machines)[0] == [1, 1]
    _gone, alive = psutil.wait_procs([p for family in families for p in family], timeout=20)
    assert not alive


def test_several_machines_outside_of_a_slurm_job_are_one_sentence(long_recipe, inputs, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    codes, errors = ends([start(long_recipe, inputs, tmp_path, "--nodes", "2", "--gpus", "16")])
    assert codes == [1]
    assert errors.startswith("error: a run on 2 machines")
    assert "Traceback" not in errors


def test_more_gpus_than_there_are_is_one_sentence(long_recipe, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    process = start(long_recipe, inputs, tmp_path, "--gpus", "2")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert errors.startswith("error: 2 GPUs asked for and 0 found")
    assert "Traceback" not in errors
