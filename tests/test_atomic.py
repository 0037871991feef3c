"""Files are whole or absent, and what a killed process left of one goes when it is written again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oac import atomic
from oac.atomic import writing

LEAVE = """
import os, sys
from oac.atomic import writing
with writing(sys.argv[1]) as path:
    path.write_text("half")
    os._exit(1)
"""


def leave(path: Path) -> Path:
    """Let a process die while it writes `path`; return what it leaves."""
    before = set(os.listdir(path.parent))
    subprocess.run([sys.executable, "-c", LEAVE, str(path)], check=False)
    (left,) = set(os.listdir(path.parent)) - before
    return path.with_name(left)


def test_what_dead_processes_left_of_a_file_goes_and_of_no_other(tmp_path: Path) -> None:
    target = tmp_path / "train-[0].tar"
    dead = leave(target)
    others = [leave(tmp_path / name) for name in ("train-[0].csv", "train-[0].b.tar", "train-0.tar")]
    with writing(target) as path:
        assert path.suffix == ".tar"
        path.write_text("whole")
    assert not dead.exists()
    assert all(other.exists() for other in others)
    assert target.read_text() == "whole"


def test_what_a_living_process_or_another_machine_writes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.csv"
    living = tmp_path / atomic._temporary_name(target, os.getppid())
    living.write_text("half")
    monkeypatch.setattr(atomic.platform, "node", lambda: "elsewhere")
    far = tmp_path / atomic._temporary_name(target, 2**22 + 1)
    far.write_text("half")
    monkeypatch.undo()
    gone = tmp_path / atomic._temporary_name(target, 2**22 + 1)  # no process has such an id
    gone.write_text("half")
    assert len({living, far, gone}) == 3
    with writing(target) as path:
        path.write_text("whole")
    assert (living.exists(), far.exists(), gone.exists()) == (True, True, False)


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("before")

    def fail() -> None:
        with writing(target) as path:
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.csv"]
