"""Jobs that share the GPUs of a machine, with processes that are killed and no GPU at all."""

import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from oac import gpus
from oac.configuration import ConfigError

CONTEXT = multiprocessing.get_context("fork")


def hold(count, names, locks, report, release, runs_per_gpu):
    os.environ[gpus.RUNS_PER_GPU] = str(runs_per_gpu)
    with gpus.acquire_gpus(count, names, locks) as gpu_ids:
        report.put((os.getpid(), gpu_ids))
        release.wait(60)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Start jobs that hold GPUs until they are told to release them; all are ended with the test."""
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.02)
    started = []

    def start(count, names=("0", "1", "2", "3"), runs_per_gpu=1):
        report, release = CONTEXT.Queue(), CONTEXT.Event()
        process = CONTEXT.Process(target=hold, args=(count, names, tmp_path, report, release, runs_per_gpu))
        process.start()
        started.append(process)
        return process, report, release

    yield start
    for process in started:
        process.kill()
        process.join()


def test_no_two_jobs_hold_the_same_gpu_and_the_last_waits_for_one_to_end(jobs):
    held = []
    running = [jobs(2) for _ in range(2)]
    held = [report.get(timeout=20)[1] for _, report, _ in running]
    assert sorted(held[0] + held[1]) == ["0", "1", "2", "3"]
    _, late, _ = jobs(2)
    time.sleep(0.3)
    assert late.empty()
    running[0][2].set()
    assert sorted(late.get(timeout=20)[1]) == sorted(held[0])


def test_a_killed_job_leaves_its_gpu_free(jobs):
    process, report, _ = jobs(1, ["5"])
    report.get(timeout=20)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    _, again, _ = jobs(1, ["5"])
    assert again.get(timeout=20)[1] == ["5"]


def waits(report):
    time.sleep(0.3)
    return report.empty()


def test_as_many_runs_share_a_gpu_as_may_and_the_next_waits(jobs):
    running = [jobs(1, ["0"], runs_per_gpu=3) for _ in range(3)]
    assert [report.get(timeout=20)[1] for _, report, _ in running] == [["0"]] * 3
    _, late, _ = jobs(1, ["0"], runs_per_gpu=3)
    assert waits(late)
    os.kill(running[1][0].pid, signal.SIGKILL)
    assert late.get(timeout=20)[1] == ["0"]


def test_shares_of_different_sizes_never_add_up_to_more_than_a_gpu(jobs):
    half, third = jobs(1, ["0"], runs_per_gpu=2), jobs(1, ["0"], runs_per_gpu=3)
    assert [report.get(timeout=20)[1] for _, report, _ in (half, third)] == [["0"]] * 2
    whole, second_half, sixth = (jobs(1, ["0"], runs_per_gpu=runs) for runs in (1, 2, 6))
    assert sixth[1].get(timeout=20)[1] == ["0"], "a half, a third and a sixth are one"
    assert waits(whole[1])
    assert second_half[1].empty()
    half[2].set()
    assert second_half[1].get(timeout=20)[1] == ["0"]
    assert waits(whole[1]), "a job that does not share has the GPU to itself"
    for _, _, release in (third, sixth, second_half):
        release.set()
    assert whole[1].get(timeout=20)[1] == ["0"]


def test_a_run_of_several_gpus_takes_a_share_of_each(jobs):
    names = ["0", "1"]
    running = [jobs(2, names, runs_per_gpu=2) for _ in range(2)]
    assert [report.get(timeout=20)[1] for _, report, _ in running] == [names] * 2
    assert waits(jobs(1, names, runs_per_gpu=2)[1])


def test_jobs_that_each_want_all_gpus_get_them_in_turn(jobs):
    """None may hold a part for ever while it waits for the rest."""
    names = ["0", "1", "2"]
    running = [jobs(3, names) for _ in range(3)]
    left = list(running)
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        for job in list(left):
            if not job[1].empty():
                assert job[1].get()[1] == names
                job[2].set()
                left.remove(job)
        time.sleep(0.01)
    assert not left


def test_a_gpu_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"2 GPUs asked for and 1 found \(0\): set `gpu` in config"):  # noqa: SIM117
        with gpus.acquire_gpus(2, ["0"], tmp_path):
            pass
    with pytest.raises(ValueError, match="1 GPU asked for and 0 found: set"):  # noqa: SIM117
        with gpus.acquire_gpus(1, [], tmp_path):
            pass


def test_the_gpus_of_a_scheduler_are_the_ones_that_count(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a7f")
    assert gpus.visible_gpus() == ["3", "GPU-8a7f"]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert gpus.visible_gpus() == []


def test_a_job_sees_the_gpus_that_it_holds_and_a_job_of_none_computes_on_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    with gpus.use_gpus(0) as device:
        assert (device, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cpu", "3,4")
    with gpus.use_gpus(1) as device:
        assert (device, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "3")


def test_without_a_scheduler_the_driver_lists_them(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible_gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert gpus.visible_gpus() == ["0", "1"]


def test_the_folder_of_the_locks_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    assert gpus.lock_folder() == gpus.lock_folder()
    assert stat.S_IMODE(gpus.lock_folder().stat().st_mode) == 0o700


def test_jobs_of_slurm_do_not_wait_for_each_others_gpu_0(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    folders = {gpus.lock_folder()}
    for allocation in ("17", "18"):
        monkeypatch.setenv("SLURM_JOB_ID", allocation)
        folders.add(gpus.lock_folder())
    assert len(folders) == 3


def test_a_process_that_inherits_the_locks_keeps_the_gpus_when_the_job_is_killed(tmp_path):
    code = (
        "import subprocess, sys; from pathlib import Path; from oac import gpus\n"
        "with gpus.acquire_gpus(1, ['0'], Path(sys.argv[1])):\n"
        "    child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "    print(child.pid, flush=True)\n"
        "    child.wait()"
    )
    job = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child = int(job.stdout.readline())
    job.kill()
    job.wait()
    with open(tmp_path / "0.0") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,1", 1)])
def test_a_gpu_is_asked_for_where_one_is_visible(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.resolve("auto") == count
    assert gpus.resolve(1 - count) == 1 - count


@pytest.mark.parametrize(("wanted", "per_node", "count"), [(0, 8, 1), (1, 8, 1), (8, 8, 1), (16, 8, 2), (12, 4, 3)])
def test_a_run_takes_one_machine_or_all_gpus_of_several(wanted, per_node, count):
    assert gpus.nodes(wanted, per_node) == count


def test_a_run_that_would_take_a_part_of_a_machine_is_refused():
    with pytest.raises(ConfigError, match=r"is 20, .* the 8 GPUs of one machine .* set gpu to 16"):
        gpus.nodes(20, 8)
