"""Studies as a reader wrote them: files read with what they take from others, and found by name.

A study file is what a reader edits, so a mistake in it is answered with one sentence before any job starts
(`oac.study_checks`). This module needs no torch: the workflow imports it at every call.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oac.configuration import ConfigError, checked, deep_merge, read_yaml
from oac.studies import cell_name, schema
from oac.study_checks import SOURCE_KEYS, complete_study

# Keys that name another study file, and which of the two that file may not have itself.
PARENT_KEYS = {"extends": ("extends",), "setup_from": ("setup_from", "extends")}
COMPARISON = ("crops", "seeds", "contrasts")  # what of another file is not its setup


def load(files: Iterable[str | Path]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Read study files.

    Returns the studies by name, and by name the message of each file that is broken, so that a mistake in one study
    does not stop the others. Raises ConfigError where two files have one name, and where a file does not exist.
    """
    # A name with a dot in front is a copy that an editor or a desktop made.
    paths = sorted(path for path in map(Path, files) if not path.name.startswith("."))
    if absent := next((path for path in paths if not path.exists()), None):
        raise ConfigError(f"study_files: {absent} does not exist: correct the name, or leave it out")
    stems = [path.stem for path in paths]
    if twice := next((path for path in paths if stems.count(path.stem) > 1), None):
        raise ConfigError(f"{twice}: another study file has the name {twice.stem} too: rename one of them")
    broken: dict[str, str] = {}
    studies: dict[str, dict[str, Any]] = {}
    known = {path.stem: path for path in paths}
    for path in paths:
        try:
            studies[path.stem] = study = read_study(path, known)
            for cell in study["grid"]:
                if (name := cell_name(study, cell)) in stems:
                    raise ConfigError(
                        f"{path}: grid.{cell} has the name of the study file {name}: rename one of them"
                    )
                studies[name] = _read_cell(path, cell, known)
        except ConfigError as error:
            broken[path.stem] = str(error)
    return studies, broken


def read_study(file: Path, known: Mapping[str, Path] = MappingProxyType({})) -> dict[str, Any]:
    """Read one study file, with what it takes from others and all defaults. Raises ConfigError.

    known: study files by name that it may take from, beside those in its own folder.
    """
    study = _checked_study(_with_parents(read_yaml(file), file, known), file)
    if study["name"] != file.stem:
        raise ConfigError(f"{file}: name is {study['name']}, but a study is named like its file: write {file.stem}")
    return study


def _read_cell(file: Path, cell: str, known: Mapping[str, Path]) -> dict[str, Any]:
    """Read one study of the grid of a study file. Raises ConfigError."""
    own = read_yaml(file)
    changes = own.pop("grid")[cell]
    whole = _with_parents(own, file, known)
    given = deep_merge(whole, {**changes, "name": cell_name(whole, cell)})
    return _checked_study(_without_nulls(given), f"{file}: grid.{cell}")


def _checked_study(given: dict[str, Any], file: str | Path) -> dict[str, Any]:
    study = checked(given, schema(), file)
    complete_study(study, given, file)
    return study


def _with_parents(given: dict[str, Any], file: Path, known: Mapping[str, Path]) -> dict[str, Any]:
    """Fill in what a study takes from other files, `extends` first and then `setup_from`. Raises ConfigError."""
    whole = given
    for key, barred in PARENT_KEYS.items():
        name = whole.get(key)
        if isinstance(name, str):
            parent = _read_parent(file, key, name, barred, known)
            whole = deep_merge(_for_source(parent, whole), whole)
    return given if whole is given else _without_nulls(whole)


def _read_parent(
    file: Path, key: str, name: str, barred: tuple[str, ...], known: Mapping[str, Path]
) -> dict[str, Any]:
    """Read the study file that `file` names in `key`; one that names another one in a barred key is refused."""
    beside = {path.stem: path for path in file.parent.glob("[!.]*.yaml")}
    path = beside.get(name, known.get(name))
    if path is None:
        there = ", ".join(sorted({*beside, *known} - {file.stem}))
        raise ConfigError(f"{file}: {key} is {name}, but the other studies are {there}")
    parent = read_yaml(path)
    for other in barred:
        if other in parent:
            raise ConfigError(
                f"{file}: {key} names {name}, which has {other} itself: name that one and write the rest here"
            )
    read_study(path, known)  # a mistake is named in the file that it was made in
    left = ("title", *COMPARISON) if key == "setup_from" else ("title",)
    return {name: part for name, part in parent.items() if name not in left}


def _for_source(parent: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a study with another source takes from a parent: not what belongs to the parent's source."""
    data, own = parent.get("data"), given.get("data")
    if not (isinstance(data, dict) and isinstance(own, dict)) or own.get("source", data["source"]) == data["source"]:
        return parent
    left_over = {"boxes_per_photo", *(key for keys in SOURCE_KEYS.values() for key in keys)}
    kept = {key: value for key, value in data.items() if key not in left_over}
    store = {key: value for key, value in kept.get("store", {}).items() if key != "shards"}
    return parent | {"data": kept | {"store": store}}


def _without_nulls(value: Any) -> Any:
    """Take the keys away that are null, at every depth."""
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(part) for key, part in value.items() if part is not None}


def find(studies: Mapping[str, dict[str, Any]], name: str, broken: Mapping[str, str]) -> dict[str, Any]:
    """Return the study of that name.

    Raises ConfigError: the message of its file where that is broken, else the nearest name and all there are.
    """
    if name in broken:
        raise ConfigError(broken[name])
    if name not in studies:
        cells = {cell_name(study, cell) for study in studies.values() for cell in study["grid"]}
        files = ", ".join(other for other in studies if other not in cells)
        raise ConfigError(f"there is no study {name!r}{_nearest(name, studies)}: there are {files}")
    return studies[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def check_names(config: Mapping[str, Any], studies: Mapping[str, Any], broken: Iterable[str] = ()) -> None:
    """Raise ConfigError where the configuration names a study that no file describes.

    broken: names of studies whose files are broken; they are named when a command asks for them.
    """
    known = [*studies, *broken]
    named = [(key, name) for key in ("studies", "paper_studies") for name in config[key]]
    named += [(f"table1.{column}", name) for column, name in config["table1"].items() if name is not None]
    for key, name in named:
        if name not in known:
            hint = _nearest(name, known)
            raise ConfigError(f"{key} names {name}{hint}, but there are the studies {', '.join(known)}")
    name = config["table1"]["imagenet"]
    if name in studies and studies[name].get("probe", {}).get("task") != "single_label":
        raise ConfigError(
            f"table1.imagenet names {name}, whose probe has no top-1 accuracy: set `probe.task: single_label` in its"
            f" study file, or name another study, or null"
        )
