"""The training runs of studies by their files, for commands that look at them while they train.

Nothing here holds a lock or writes, so a run and Snakemake go on undisturbed; and files are all that is read, so it
makes no difference whether a run trains on this machine or on one of a cluster.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import oac
from oac import studies, study_files
from oac.configuration import checked, read_yaml
from oac.pretrain import recipe as recipes
from oac.workflow.files import StudyFiles

CHECKOUT = Path(oac.__file__).parents[2]


@dataclass(frozen=True)
class Training:
    """A run that is trained: its name, study/method/crops/seed0, the recipe's hash, and where its files are."""

    name: str
    digest: str
    log: Path
    published: Path  # its history, once it is finished
    state: Path

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of its history so far, the recipe first; none of a run that was not begun."""
        return read_lines(self.published) if self.finished else read_lines(self.state / "history.jsonl")

    @cached_property
    def finished(self) -> bool:
        """Whether its results are there; those of another recipe are not its own."""
        first = next(iter(read_lines(self.published)), {})
        return "recipe" in first and recipes.digest(first["recipe"]) == self.digest


def arguments(command: str, text: str | None) -> argparse.ArgumentParser:
    """The arguments of a command of this package that looks at the runs of studies; text: its description."""
    parser = argparse.ArgumentParser(
        prog=f"python -m oac.workflow.{command}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help="names or files; else those of config/config.yaml"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="folder of results/ and state/, as Snakemake's"
    )
    return parser


def trainings(names: Sequence[str] = (), folder: Path = Path()) -> list[Training]:
    """The training runs of studies, in the order of their files; a grid has those of all its studies.

    names: of studies, or study files; without any, those that the configuration lists. folder: where results/, state/
    and logs/ are. Raises ConfigError where a study is not there or its file is broken.
    """
    config = checked(read_yaml(CHECKOUT / "config/config.yaml"), studies.config_schema(), "config/config.yaml")
    named = [Path(name) for name in names if name.endswith((".yaml", ".yml"))]
    files = [*(CHECKOUT / "config/studies").glob("*.yaml"), *(CHECKOUT / file for file in config["study_files"])]
    files += [file for file in named if file.resolve() not in [other.resolve() for other in files]]
    known, broken = study_files.load(files)
    found = []
    for name in names or config["studies"]:
        study = study_files.find(known, Path(name).stem if Path(name) in named else name, broken)
        cells = [studies.cell_name(study, cell) for cell in study["grid"]]
        for part in cells or [study["name"]]:
            found += _of_study(StudyFiles(study_files.find(known, part, broken)), folder)
    return found


def _of_study(files: StudyFiles, folder: Path) -> list[Training]:
    found = []
    for method, crops, seed in studies.runs(files.study):
        if method not in studies.FIXED_ENCODERS:
            run = f"{method}/{crops}/seed{seed}"
            found.append(
                Training(
                    f"{files.name}/{run}",
                    recipes.digest(files.recipe(method, crops, str(seed))),
                    folder / f"logs/{files.name}/pretrain/{run}.log",
                    folder / f"{files.folder}/pretrain/{run}/history.jsonl",
                    folder / files.state_folder(method, crops, str(seed)),
                )
            )
    return found


def read_lines(history: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a history that may be written to at this moment; none where there is no file."""
    try:
        text = history.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut short, by a kill or because it is being written
            break
    return lines
