"""Studies as a reader wrote them: files read with what they take from others, and checked for what no schema can say.

A study file is what a reader edits, so a mistake in it is answered with one sentence before any job starts. This
module needs no torch: the workflow imports it at every call.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oac import crop_options
from oac.configuration import ConfigError, checked, deep_merge, read_yaml
from oac.studies import RANDOM_INIT, UNCROPPED, box_sources, cell_name, contrasts, runs, schema, variant_of

SOURCE_KEYS = {  # the keys of `data` that say what and where a source is; each is read for its own sources only
    "synthetic": ("synthetic",),
    "openimages": ("location", "photos", "verify"),
    "dicts": ("location", "release", "photos", "verify"),
    "voc": ("location", "voc"),
    "coco": ("location", "photos", "coco"),
    "imagenet": ("location", "photos", "imagenet"),
    "folder": ("location", "photos", "folder"),
}
TWO_SPLITS = ("dicts", "voc", "coco", "imagenet")  # sources without a validation split
SGD_KEYS = ("lr", "epochs", "milestones", "batch_size")  # of `probe`; L-BFGS reads none of them
PARENT_KEYS = {"like": ("like",), "base": ("base", "like")}  # and the keys of these that a parent may not have


def load(files: Iterable[str | Path]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Read study files.

    Returns the studies by name, and by name the message of each file that is broken, so that a mistake in one study
    does not stop the others. Raises ConfigError where two files have one name, and where a file does not exist.
    """
    paths = sorted(map(Path, files))
    stems = [path.stem for path in paths]
    if twice := next((path for path in paths if stems.count(path.stem) > 1), None):
        raise ConfigError(f"{twice}: another study file has the name {twice.stem} too: rename one of them")
    broken: dict[str, str] = {}
    studies: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            studies[path.stem] = study = read_study(path)
            for cell in study["grid"]:
                if (name := cell_name(study, cell)) in stems:
                    raise ConfigError(
                        f"{path}: grid.{cell} has the name of the study file {name}: rename one of them"
                    )
                studies[name] = _read_cell(path, cell)
        except ConfigError as error:
            broken[path.stem] = str(error)
    return studies, broken


def read_study(file: Path) -> dict[str, Any]:
    """Read one study file, with what it takes from others and all defaults. Raises ConfigError."""
    study = _checked_study(_with_parents(read_yaml(file), file), file)
    if study["name"] != file.stem:
        raise ConfigError(f"{file}: name is {study['name']}, but a study is named like its file: write {file.stem}")
    return study


def _read_cell(file: Path, cell: str) -> dict[str, Any]:
    """Read one study of the grid of a study file. Raises ConfigError."""
    own = read_yaml(file)
    changes = own.pop("grid")[cell]
    whole = _with_parents(own, file)
    given = deep_merge(whole, {**changes, "name": cell_name(whole, cell)})
    return _checked_study(_without_nulls(given), f"{file}: grid.{cell}")


def _checked_study(given: dict[str, Any], file: str | Path) -> dict[str, Any]:
    study = checked(given, schema(), file)
    _check_study(study, given, file)
    return study


def _with_parents(given: dict[str, Any], file: Path) -> dict[str, Any]:
    """Fill in what a study takes from the files beside it, `like` first and then `base`. Raises ConfigError."""
    whole = given
    for key, barred in PARENT_KEYS.items():
        name = whole.get(key)
        if isinstance(name, str):
            whole = deep_merge(_read_parent(file, key, name, barred), whole)
    return given if whole is given else _without_nulls(whole)


def _read_parent(file: Path, key: str, name: str, barred: tuple[str, ...]) -> dict[str, Any]:
    """Read the study file that `file` names in `key`; one that names another one in a barred key is refused."""
    path = file.parent / f"{name}.yaml"
    if not path.exists():
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml") if other != file))
        raise ConfigError(f"{file}: {key} is {name}, but the studies beside it are {there}")
    parent = read_yaml(path)
    for other in barred:
        if other in parent:
            raise ConfigError(f"{file}: {key} {name} has a {other} itself: name that one and write the rest here")
    read_study(path)  # a mistake is named in the file that it was made in
    return parent | {"crops": {}, "contrasts": []} if key == "base" else parent


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


def _check_study(study: dict[str, Any], given: Mapping[str, Any], file: str | Path) -> None:
    """Check what no schema can say, and fill in the defaults of crop variants."""
    _check_meaning(study, given, file)
    for name, variant in list(study["crops"].items()):
        _check_variant(name, variant, study, file)
        study["crops"][name] = {"seeds": variant["seeds"]} | crop_options.with_defaults(variant)
    _check_methods(study, file)
    for source in {*box_sources(study), *study["proposals"]["comparison"]["sources"]} & {"csv", "opencv_bing"}:
        if source not in study["proposals"]:
            raise ConfigError(f"{file}: proposals.{source} is missing, which says where the files of that source are")
    for name in study["report"].get("variants", []):
        if name not in study["crops"]:
            raise ConfigError(
                f"{file}: report.variants names {name}, but the crop variants are {', '.join(study['crops'])}"
            )
    known = {(method, crops) for method, crops, _ in runs(study)}
    for name in (name for pair in study["contrasts"] for name in pair):
        if variant_of(name) not in known:
            there = ", ".join(dict.fromkeys(f"{method}/{crops}" for method, crops, _ in runs(study)))
            raise ConfigError(f"{file}: contrasts names {name}, but the variants that are run are {there}")
    pairs = [frozenset(pair) for pair in contrasts(study)]
    if twice := [pair for pair in pairs if pairs.count(pair) > 1 or len(pair) < 2]:
        names = " and ".join(f"{method}/{crops}" for method, crops in sorted(twice[0]))
        raise ConfigError(f"{file}: contrasts has {names} twice: a comparison is tested once")
    probe = study["probe"]
    if probe["solver"] == "sgd" and probe.get("views", 1) > probe["epochs"]:
        raise ConfigError(f"{file}: probe.views {probe['views']} is more than its {probe['epochs']} epochs will see")
    edges = probe["size_edges"]
    if edges != sorted(set(edges)):
        raise ConfigError(f"{file}: probe.size_edges must rise: {edges}")
    data = study["data"]
    if probe["test"] == "validation" and "validation" not in data["store"]["shards"]:
        raise ConfigError(f"{file}: probe.test is validation, but data.store.shards has no validation split")
    if data["source"] in TWO_SPLITS and "validation" in data["store"]["shards"]:
        raise ConfigError(
            f"{file}: data.store.shards.validation must go: source {data['source']} has no validation split"
        )


def _check_variant(name: str, variant: Mapping[str, Any], study: Mapping[str, Any], file: str | Path) -> None:
    """Refuse options that the variant's policy does not read, which a reader would believe to change something."""
    policy, where = variant["policy"], f"{file}: crops.{name}"
    keys = crop_options.keys_of(policy, variant.get("scales"))
    for key in variant:
        if key not in ("policy", "seeds", *keys):
            raise ConfigError(f"{where}.{key} has no meaning for {policy} crops; remove it")
    ranges = [(key, variant[key]) for key in ("scene_scale", "ratio", "shift") if key in variant]
    for key, (low, high) in [*ranges, *(("scales", scale) for scale in variant.get("scales") or [])]:
        if low > high:
            raise ConfigError(f"{where}.{key} must rise, but {low} is above {high}")
    if variant.get("budget") == "boxes" and "boxes_per_photo" not in study["data"]:
        raise ConfigError(f"{file}: data.boxes_per_photo is missing, which crops.{name}.budget multiplies by")
    if "boxes" in keys and "boxes" not in variant:
        raise ConfigError(f"{where}.boxes is missing: {', '.join(crop_options.BOX_SOURCES)}")


def _check_methods(study: Mapping[str, Any], file: str | Path) -> None:
    """Check that methods name crop variants that there are, and batches that divide into their splits."""
    for method, options in study["methods"].items():
        for crops in options["crops"] if options["crops"] != "all" else []:
            if crops not in study["crops"] and (method, crops) != (RANDOM_INIT, UNCROPPED):
                known = ", ".join(study["crops"])
                raise ConfigError(f"{file}: methods.{method}.crops names {crops}, but the crop variants are {known}")
        part = schema()["properties"]["methods"]["properties"][method]
        for crops in study["crops"] if options["crops"] == "all" else set(options["crops"]) - {UNCROPPED}:
            others, where = study["crops"][crops]["method_options"] or {}, f"{file}: crops.{crops}.method_options"
            if fixed := sorted({"crops", "seeds", "images_seen", "heads", "augment"} & set(others)):
                raise ConfigError(
                    f"{where} names {fixed[0]}, which is no option of a method that a variant can change"
                )
            whole = checked({**options, **others}, part, f"{where}, for {method}")
            _check_splits(whole, f"{where}, for {method}: batch_size")
        _check_splits(options, f"{file}: methods.{method}.batch_size")


def _check_splits(options: Mapping[str, Any], key: str) -> None:
    """Refuse a batch that does not divide into the splits of its batch norm."""
    if options.get("batch_size", 0) % options.get("bn_splits", 1):
        raise ConfigError(f"{key} {options['batch_size']} does not divide into its {options['bn_splits']} bn_splits")


def _check_meaning(study: Mapping[str, Any], given: Mapping[str, Any], file: str | Path) -> None:
    """Refuse what a file gives and nothing reads; defaults are not in `given`, the file as it was written."""
    source, backbone, solver = study["data"]["source"], study["backbone"]["name"], study["probe"]["solver"]
    epochs = solver == "sgd" or study["probe"]["best_epoch"]
    others = {key for keys in SOURCE_KEYS.values() for key in keys} - set(SOURCE_KEYS[source])
    unread = [("data", key, f"with source: {source}") for key in sorted(others)]
    unread += [("probe", key, f"with solver: {solver}") for key in SGD_KEYS if not epochs]
    if study["probe"]["task"] == "single_label" and study["probe"]["best_epoch"]:
        unread.append(("probe", "best_epoch", "with task: single_label"))
    unread += [("backbone", "width", f"for {backbone}, whose width is fixed")] if backbone != "narrow" else []
    for part, key, reason in unread:
        if key in given[part]:
            raise ConfigError(f"{file}: {part}.{key} has no meaning {reason}; remove it")


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
    if name in studies and studies[name]["probe"]["task"] != "single_label":
        raise ConfigError(
            f"table1.imagenet names {name}, whose probe has no top-1 accuracy: set `probe.task: single_label` in its"
            f" study file, or name another study, or null"
        )
