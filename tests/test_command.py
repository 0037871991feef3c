"""A script's end: one sentence for a mistake of the user, a traceback for a defect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oac.command import KILLED

SCRIPT = """
import sys

from oac.command import plain_errors
{imports}


def main():
    {body}


if __name__ == "__main__":
    with plain_errors(*sys.argv[1:]):
        main()
"""


def run(
    folder: Path, body: str, imports: str = "", arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a script with one statement."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(body=body, imports=imports))
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "imports", "words"),
    [
        ('raise ValueError(\n        "photos.csv has no line")', "", ["photos.csv has no line"]),
        ('open("absent.csv")', "", ["absent.csv"]),
        ('read_yaml("absent.yaml")', "from oac.configuration import read_yaml", ["absent.yaml"]),
        # An error of another package that ours is raised from.
        ('read_yaml("broken.yaml")', "from oac.configuration import read_yaml", ["broken.yaml"]),
        ('from_csv("a.csv", ["a"], count=1)', "from oac.proposals.box_sources import from_csv", ["a.csv", "xmin"]),
        ('from_csv("void.csv", ["a"], count=1)', "from oac.proposals.box_sources import from_csv", ["void.csv"]),
    ],
    ids=["script", "system", "package", "cause", "column", "table"],
)
def test_a_mistake_of_the_user_is_one_sentence(tmp_path, monkeypatch, body, imports, words):
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("a: [1")
    Path("a.csv").write_text("image_id\na\n")
    Path("void.csv").touch()
    done = run(tmp_path, body, imports)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words)
    assert not done.stdout


@pytest.mark.parametrize(
    ("body", "imports"),
    [
        ('json.loads("{")', "import json"),  # a function of another package, with frames of its own
        ('int("x")', ""),  # a compiled one, without
        ("coordinates(np.zeros(3), np.zeros(2))", "import numpy as np\ncoordinates = np.add"),
    ],
)
def test_a_defect_has_its_traceback_before_the_sentence(tmp_path, body, imports):
    done = run(tmp_path, body, imports)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert body in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_other_errors_are_left_alone(tmp_path):
    done = run(tmp_path, '{}["key"]')
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "error: " not in done.stderr


def test_the_log_takes_everything_that_is_written(tmp_path):
    log = tmp_path / "logs" / "job.log"
    done = run(tmp_path, 'os.write(1, b"native\\n")\n    raise ValueError("a sentence")', "import os", (str(log),))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    text = log.read_text()
    assert text == "native\nerror: a sentence\n"


def test_nothing_is_printed_where_all_goes_well(tmp_path):
    done = run(tmp_path, "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize(("number", "name"), [("SIGSEGV", "Segmentation fault"), ("SIGABRT", "Aborted")])
def test_a_signal_that_kills_the_process_is_named(tmp_path, logged, number, name):
    log = tmp_path / "job.log"
    done = run(tmp_path, f"os.kill(os.getpid(), signal.{number})", "import os, signal", (str(log),) if logged else ())
    assert done.returncode == -getattr(signal, number)
    text = log.read_text() if logged else done.stderr
    assert name in text
    assert "script.py" in text


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_log_says_that_the_process_was_killed(tmp_path, logged, number):
    log = tmp_path / "job.log"
    kill = f"print('begun', flush=True)\n    os.kill(os.getpid(), {int(number)})"
    done = run(tmp_path, kill, "import os", (str(log),) if logged else ())
    assert done.returncode == -number
    deadline = time.monotonic() + 30  # the shell that says so may end after the process
    while KILLED not in (text := log.read_text() if logged else done.stdout + done.stderr):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert text.startswith("begun\n")
    assert text.endswith(f"{KILLED}\n")


@pytest.mark.parametrize(
    "body", ["sys.exit(75)", 'raise ValueError("a sentence")', "raise KeyboardInterrupt", "{}[0]"]
)
def test_a_process_that_ends_by_itself_was_not_killed(tmp_path, body):
    done = run(tmp_path, body)
    assert "killed" not in done.stdout + done.stderr
    assert done.returncode != 0


def test_a_signal_to_all_processes_of_a_job_is_named_too(tmp_path):
    log = tmp_path / "job.log"
    body = "subprocess.Popen(['sleep', '60'])\n    os.killpg(os.getpgid(0), signal.SIGKILL)"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(imports="import os, signal, subprocess", body=body))
    subprocess.run([sys.executable, str(script), str(log)], start_new_session=True)
    deadline = time.monotonic() + 30
    while KILLED not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_child_that_lives_on_does_not_keep_the_log_from_saying_so(tmp_path):
    log = tmp_path / "job.log"
    body = "os.fork() or time.sleep(60)\n    time.sleep(1)\n    os.kill(os.getpid(), signal.SIGKILL)"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(imports="import os, signal, time", body=body))
    process = subprocess.Popen([sys.executable, str(script), str(log)], start_new_session=True)
    try:
        assert process.wait(30) == -signal.SIGKILL
        deadline = time.monotonic() + 10
        while KILLED not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
