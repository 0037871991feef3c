"""A copy of the repository in which Snakemake runs, so that tests may edit its code and its studies.

The tiny study is built once in a test session, also where several processes run the tests. Tests work on copies.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = ("Snakefile", "config", "profiles", "src", "tests/config", "workflow")


@dataclass(frozen=True)
class Workflow:
    """A copy of the code, and the folder that results go to."""

    repo: Path
    folder: Path

    def run(self, *arguments: str, config: Path | None = None, snakefile: str = "Snakefile") -> Result:
        """Call Snakemake in `folder`; by default with the tests' configuration."""
        process = self.start(*arguments, config=config, snakefile=snakefile)
        try:
            text, _ = process.communicate(timeout=1800)
        finally:
            process.kill()
        return Result(process.returncode, text)

    def start(
        self, *arguments: str, config: Path | None = None, snakefile: str = "Snakefile"
    ) -> subprocess.Popen[str]:
        """Start the same call and leave it running; all it prints comes from its stdout."""
        config = config or self.repo / "tests/config/config.yaml"
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.repo / snakefile)]
        # --configfile takes any number of files, so it stands last, behind the targets.
        command += ["--directory", str(self.folder), *arguments, "--configfile", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(self.repo / "src")}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def planned(self, *arguments: str, config: Path | None = None) -> Result:
        """Call it for a dry run, which must succeed."""
        result = self.run("--dry-run", *arguments, config=config)
        assert result.code == 0, result.text
        return result

    def changed(self, edits: dict[str, Any], where: Path, base: str = "tests/config/tiny.yaml") -> Path:
        """Write a configuration and an edited study under `where`; edits: dotted path to value, None removes."""
        study = yaml.safe_load((self.repo / base).read_text())
        for path, value in edits.items():
            *parents, last = path.split(".")
            target = study
            for key in parents:
                target = target.setdefault(key, {})
            if value is None:
                del target[last]
            else:
                target[last] = value
        file = where / f"{study['name']}.yaml"
        file.write_text(yaml.safe_dump(study, sort_keys=False))
        config = where / "config.yaml"
        config.write_text(yaml.safe_dump({"studies": [study["name"]], "study_files": [str(file)], "gpu": 0}))
        return config

    def copy_to(self, folder: Path) -> Workflow:
        """Copy the folder with its times, by which Snakemake knows what is done."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)


@dataclass(frozen=True)
class Result:
    """How a call of Snakemake ended, and what it printed."""

    code: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs per rule, from the statistics that Snakemake prints before it starts."""
        found = re.findall(r"^(\w+) +(\d+)$", self.text, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in found if rule != "total"}

    @property
    def trained(self) -> set[str]:
        """The runs that are pretrained: "method on crops, seed n"."""
        return set(re.findall(r"Pretraining \w+: (\w+ on [\w-]+, seed \d+)", self.text))


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what Snakemake needs of this repository."""
    copy = tmp_path_factory.mktemp("repo")
    for name in CODE:
        source, target = ROOT / name, copy / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
    return copy


@pytest.fixture(scope="session")
def built(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny study, built by the process that asks first. Nobody writes to it; take a copy."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each of its processes a folder inside the session's.
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    workflow, mark = Workflow(repo, session / "tiny"), session / "tiny.built"
    with open(session / "tiny.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            shutil.rmtree(workflow.folder, ignore_errors=True)
            workflow.folder.mkdir()
            result = workflow.run()
            assert result.code == 0, result.text
            mark.touch()
    return workflow


@pytest.fixture(scope="session")
def finished(built: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The finished tiny study, to read and for dry runs; a test that builds anything takes `copied`."""
    return built.copy_to(tmp_path_factory.mktemp("finished") / "copy")


@pytest.fixture
def copied(built: Workflow, tmp_path: Path) -> Workflow:
    """The finished tiny study in a folder of the test's own, in which anything may be built."""
    return built.copy_to(tmp_path / "copied")


@pytest.fixture
def fresh(repo: Path, tmp_path: Path) -> Workflow:
    """The same code over an empty folder."""
    return Workflow(repo, tmp_path)
