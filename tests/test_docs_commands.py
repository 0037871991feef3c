"""Every command that README and docs print is one that there is: its target, its options, its keys."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from oac import studies

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("README.md", "CONTRIBUTING.md", "config/README.md", "docs/results/README.md")
PAGES = [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").glob("*.md"))]
# Studies whose data anyone has, or that are planned without; the rules are the same for all studies.
PLANNED = ("demo", "demo_search", "audit", "ohms")


def commands(program: str) -> list[list[str]]:
    """The calls of a program in blocks of commands and in the text, in words, each once."""
    found = {}
    for page in PAGES:
        # Text, opening fence, block, closing fence, text, ...
        parts = re.split(r"^```\w*\n", page.read_text(encoding="utf-8"), flags=re.M)
        lines = [line for block in parts[1::2] for line in re.sub(r"\\\n", " ", block).splitlines()]
        lines += re.findall(r"`([^`]+)`", "\n".join(parts[::2]))
        for line in lines:
            for part in line.split("&&"):
                if part.split()[:1] == [program]:
                    found[tuple(shlex.split(part, comments=True)[1:])] = True
    return [list(words) for words in found]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--\w", word)]


def test_targets_of_make_are_there():
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    asked = {word for words in commands("make") for word in words if "=" not in word}
    assert {"demo", "test"} <= asked
    assert asked <= targets


@pytest.mark.parametrize("words", commands("python"), ids=" ".join)
def test_programs_know_the_options_that_pages_give_them(words):
    program = words[:2] if words[0] in ("-m", "-c") else words[:1]
    done = run(*program, "--help") if words[0] != "-c" else run(*words)
    assert done.returncode == 0, done.stderr
    for option in options(words):
        assert re.search(rf"{option}\b", done.stdout), option


def test_options_and_keys_of_snakemake_are_there():
    known = run("-m", "snakemake", "--help").stdout
    keys = set(studies.config_schema()["properties"])
    calls = commands("snakemake")
    assert len(calls) > 20
    for words in calls:
        for option in options(words):
            assert re.search(rf"{option}\b", known), words
        if "--config" in words:
            given = words[words.index("--config") + 1 :]
            assert {word.partition("=")[0] for word in given if "=" in word} <= keys, words


def test_targets_of_snakemake_are_planned(tmp_path):
    rules = {line.split()[0] for line in run("-m", "snakemake", "--list-rules").stdout.splitlines() if line}
    paths = []
    for words in commands("snakemake"):
        ends = [place for place, word in enumerate(words) if re.match(r"--\w", word) and word != "--dry-run"]
        for target in words[: min(ends, default=len(words))]:
            if target.startswith("results/"):
                target = re.sub(r"\{study\}|STUDY", "demo", target)
                study = target.split("/")[1]
                own = study == "paper" or "study_files" in " ".join(words)
                assert own or (ROOT / f"config/studies/{study}.yaml").exists(), words
                paths += [target] if study in PLANNED else []
            elif not target.startswith("-") and target != "...":
                assert target in rules, words
    assert len(set(paths)) > 8
    where = ["--directory", str(tmp_path), "--configfile", str(ROOT / "config/config.yaml")]
    done = run("-m", "snakemake", "--dry-run", "--quiet", "all", *where, "--", *sorted(set(paths)))
    assert done.returncode == 0, done.stdout + done.stderr
