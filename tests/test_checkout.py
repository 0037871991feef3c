"""The commit that a number is of: as git says it, and no error where git cannot say."""

from __future__ import annotations

import subprocess

import pytest

from oac.checkout import UNKNOWN, commit


def git(folder, *arguments):
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package in a checkout with one commit, which has a tag."""
    folder = tmp_path / "checkout/src/package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    git(folder, "tag", "--annotate", "v1", "--message", "v1")
    return folder


def test_the_commit_is_that_of_the_checkout_whatever_its_tags(package):
    assert commit(package) == git(package, "rev-parse", "HEAD")[:12]


def test_a_changed_tracked_file_is_told_and_an_untracked_one_is_not(package):
    (package / "results.txt").write_text("made here")
    assert not commit(package).endswith("-dirty")
    (package / "__init__.py").write_text("changed = True\n")
    assert commit(package) == git(package, "rev-parse", "HEAD")[:12] + "-dirty"


def test_a_package_that_the_checkout_around_it_does_not_track_is_of_no_commit(package):
    installed = package.parent / "venv/package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert commit(installed) == UNKNOWN


def test_outside_of_a_checkout_and_without_git_it_is_unknown(package, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "__init__.py").write_text("")
    assert commit(outside) == UNKNOWN
    monkeypatch.setenv("PATH", str(outside))
    assert commit(package) == UNKNOWN


def test_another_repository_in_the_environment_does_not_count(package, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    expected = commit(package)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    assert expected == git(package, "rev-parse", "HEAD")[:12]
