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

CONTEXT = multiprocessing.get_context("fork")


def hold(count, names, locks, report, release):
    with gpus.acquire_gpus(count, names, locks) as gpu_ids:
        report.put((os.getpid(), gpu_ids))
        release.wait(60)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Start jobs that hold GPUs until they are told to release them; all are ended with the test."""
    monkeypatch.setattr(gpus, "POLL_SECONDS", 0.02)
    started = []

    def start(count, names=("0", "1", "2", "3")):
        report, release = CONTEXT.Queue(), CONTEXT.Event()
        process = CONTEXT.Process(target=hold, args=(count, names, tmp_path, report, release))
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


def test_a_job_sees_the_gpus_that_it_holds_and_a_job_of_none_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    with gpus.use_gpus(0):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,4"
    with gpus.use_gpus(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


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
    with open(tmp_path / "0") as lock:
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
