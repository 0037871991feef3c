"""Study files: read with what they take from others, checked for what no schema can say, and asked for their runs.

A study file is what a reader edits, so a mistake in it is answered with one sentence before any job starts. This
module needs no torch: the workflow imports it at every call.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oac.configuration import ConfigError, checked, read_yaml

# What each crop policy reads beside `policy` and `seeds`. A key that changes nothing is refused: it would make a
# reader believe that it does.
_BOX_KEYS = ("boxes", "scale_lower", "scale_cap", "smallest_box", "items", "count", "ratio", "budget")
POLICY_KEYS = {
    "scene-scene": ("scene_scale", "ratio", "budget"),
    "object-scene": (*_BOX_KEYS, "scene_scale", "heads"),
    "object-object": (*_BOX_KEYS, "scales"),
    "object-shift": (*_BOX_KEYS, "scales", "heads", "shift"),
    "object-dilate": (*_BOX_KEYS, "scales", "heads", "delta", "dilation"),
}
RELEASED_KEYS = ("dilation", "scales", "smallest_box", "items", "budget")  # crop lines of the audit only
SOURCE_KEYS = {  # the keys of `data` that say what and where a source is; each is read for its own sources only
    "synthetic": ("synthetic",),
    "openimages": ("location", "photos", "verify"),
    "dicts": ("location", "release", "photos", "verify"),
    "voc": ("location", "voc"),
    "coco": ("location", "photos", "coco"),
    "imagenet": ("location", "photos", "imagenet"),
    "folder": ("location", "photos", "folder"),
}
# The paper's ablations, and how many lines that differ in it make a table: two of one kind stand in other tables.
ABLATIONS = {"delta": 3, "shift": 3, "count": 3, "boxes": 3, "scale_lower": 3, "heads": 2}
ABLATIONS |= {"scene_scale": 3, "object_scene_scale": 3}
SCENE_SCALES = {"scene_scale": "scene-scene", "object_scene_scale": "object-scene"}  # one key, by policy
FROM_PIXELS = ("bing", "opencv_bing", "edge_boxes", "selective_search")  # sources of boxes that look at photos
BOX_SOURCES = (*FROM_PIXELS, "csv", "ground_truth", "random")  # all that a crop line can name
TWO_SPLITS = ("dicts", "voc", "coco", "imagenet")  # sources without a validation split
SGD_KEYS = ("lr", "epochs", "milestones", "batch_size")  # of `probe`; L-BFGS reads none of them
UNCROPPED = "none"  # the crops name of methods that do not crop


def load(files: Iterable[str | Path], schema_file: str | Path) -> dict[str, dict[str, Any]]:
    """Read study files into {name: study}. Raises ConfigError, also where two files have one name."""
    schema = read_yaml(schema_file)
    written = {file: read_yaml(file) for file in sorted(map(Path, files))}
    studies: dict[str, dict[str, Any]] = {}
    # A mistake is found where it was made, before the studies that take it from there.
    for file in sorted(written, key=lambda file: bool({"like", "base"} & set(written[file]))):
        given = with_base(written[file], file)
        study = checked(given, schema, file)
        _check_study(study, given, file)
        if study["name"] in studies:
            raise ConfigError(f"{file}: another study file has the name {study['name']} too: rename one of them")
        studies[study["name"]] = study
    return {file.stem: studies[file.stem] for file in written}


def with_base(given: dict[str, Any], file: Path) -> dict[str, Any]:
    """Fill in what a study takes from the files beside it, `like` first and then `base`. Raises ConfigError."""
    if not isinstance(given.get("like", given.get("base")), str):
        return given
    if isinstance(name := given.get("like"), str):
        given = _over(_beside(file, "like", name, barred=("like",)), given)
    if isinstance(name := given.get("base"), str):
        given = _over(_beside(file, "base", name, barred=("base", "like")) | {"crops": {}}, given)
    whole: dict[str, Any] = _without_nulls(given)
    return whole


def _beside(file: Path, key: str, name: str, barred: tuple[str, ...]) -> dict[str, Any]:
    """Read the study file that `file` names in `key`; one that goes on to another one itself is refused."""
    path = file.parent / f"{name}.yaml"
    if not path.exists():
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml") if other != file))
        raise ConfigError(f"{file}: {key} is {name}, but the studies beside it are {there}")
    found = read_yaml(path)
    for other in barred:
        if other in found:
            raise ConfigError(f"{file}: {key} {name} has a {other} itself: name that one and write the rest here")
    return found


def _over(below: Any, above: Any) -> Any:
    """Put `above` over `below`, key by key at every depth."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _over(below.get(key), value) for key, value in above.items()}


def _without_nulls(value: Any) -> Any:
    """Take the keys away that are null, at every depth."""
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(part) for key, part in value.items() if part is not None}


def is_audit(study: Mapping[str, Any]) -> bool:
    """Whether some crop line of a study switches an option between the paper and the released code."""
    return any(key in line for line in study["crops"].values() for key in RELEASED_KEYS)


def ablated(option: str) -> tuple[str, str | None]:
    """Return the key that an option of ABLATIONS varies, and the only policy it is varied for; None for any."""
    return ("scene_scale", SCENE_SCALES[option]) if option in SCENE_SCALES else (option, None)


def contrasted(study: Mapping[str, Any]) -> list[str]:
    """List the crop lines that MoCo-v2 is trained with, in the order of the file."""
    return list(dict.fromkeys(crops for method, crops, _ in runs(study) if method == "moco_v2"))


def ablations(study: Mapping[str, Any]) -> list[str]:
    """List the options of ABLATIONS in which enough of MoCo-v2's crop lines differ, and in nothing else."""
    found = []
    for option, least in ABLATIONS.items():
        varied, policy = ablated(option)
        groups: dict[str, int] = {}
        for line in (study["crops"][name] for name in contrasted(study)):
            if varied in POLICY_KEYS[line["policy"]] and policy in (None, line["policy"]):
                rest = repr(sorted((key, value) for key, value in line.items() if key not in (varied, "seeds")))
                groups[rest] = groups.get(rest, 0) + 1
        found += [option] if max(groups.values(), default=0) >= least else []
    return found


def find(studies: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the study of that name. Raises ConfigError, with the nearest name and all there are."""
    if name not in studies:
        close = difflib.get_close_matches(name, studies, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"there is no study {name!r}{hint}: there are {', '.join(studies)}")
    return studies[name]


def runs(study: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """List the (method, crops, seed) of a study, in the order of its file."""
    result = []
    for method, options in study["methods"].items():
        lines = list(study["crops"]) if options["crops"] == "all" else options["crops"]
        for crops in lines:
            seeds = options.get("seeds") or study["crops"][crops]["seeds"]
            result += [(method, crops, seed) for seed in seeds]
    return result


def box_sources(study: Mapping[str, Any]) -> list[str]:
    """List the proposal sources that the crop lines of a study use, each once."""
    return list(dict.fromkeys(line["boxes"] for line in study["crops"].values() if "boxes" in line))


def gpus(setting: str | int) -> int:
    """Turn the setting `gpu` (auto or a number) into the number of GPUs a run takes, without importing torch."""
    if setting != "auto":
        return int(setting)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return int(Path("/dev/nvidiactl").exists() if visible is None else visible not in ("", "-1"))


def _check_study(study: dict[str, Any], given: Mapping[str, Any], file: Path) -> None:
    """Check what no schema can say, and drop the defaults that a crop line's policy does not read."""
    if study["name"] != file.stem:
        raise ConfigError(f"{file}: name is {study['name']}, but a study is named like its file: write {file.stem}")
    _check_meaning(study, given, file)
    for name, line in study["crops"].items():
        used = {"policy", "seeds", *POLICY_KEYS[line["policy"]]}
        used -= {"scale_lower", "scale_cap"} if "scales" in line else set()  # ranges of their own need no s_min
        for key in [key for key in line if key not in used]:
            if key in given["crops"][name]:
                raise ConfigError(f"{file}: crops.{name}.{key} has no meaning for {line['policy']} crops; remove it")
            del line[key]
        ranges = [(key, line[key]) for key in ("scene_scale", "ratio", "shift") if key in line]
        for key, (low, high) in [*ranges, *(("scales", scale) for scale in line.get("scales", []))]:
            if low > high:
                raise ConfigError(f"{file}: crops.{name}.{key} must rise, but {low} is above {high}")
        if line.get("budget") == "boxes" and "boxes_per_photo" not in study["data"]:
            raise ConfigError(f"{file}: data.boxes_per_photo is missing, which crops.{name}.budget multiplies by")
        if "boxes" in used and "boxes" not in line:
            raise ConfigError(f"{file}: crops.{name}.boxes is missing: {', '.join(BOX_SOURCES)}")
    for method, options in study["methods"].items():
        lines = options["crops"] if options["crops"] != "all" else []
        for crops in lines:
            if crops not in study["crops"] and (method, crops) != ("random", UNCROPPED):
                known = ", ".join(study["crops"])
                raise ConfigError(f"{file}: methods.{method}.crops names {crops}, but the crop lines are {known}")
        if options.get("batch_size", 0) % options.get("groups", 1):
            raise ConfigError(
                f"{file}: methods.{method}.batch_size {options['batch_size']} does not divide into its"
                f" {options['groups']} batch norm groups"
            )
    for source in {*box_sources(study), *study["proposals"]["evidence"]["sources"]} & {"csv", "opencv_bing"}:
        if source not in study["proposals"]:
            raise ConfigError(f"{file}: proposals.{source} is missing, which says where the files of that source are")
    for name in study["report"].get("lines", []):
        if name not in study["crops"]:
            raise ConfigError(
                f"{file}: report.lines names {name}, but the crop lines are {', '.join(study['crops'])}"
            )
    probe = study["probe"]
    if probe["solver"] == "sgd" and probe.get("views", 1) > probe["epochs"]:
        raise ConfigError(f"{file}: probe.views {probe['views']} is more than its {probe['epochs']} epochs will see")
    edges = probe["size_edges"]
    if edges != sorted(set(edges)):
        raise ConfigError(f"{file}: probe.size_edges must rise: {edges}")
    data = study["data"]
    if data["source"] in TWO_SPLITS and "validation" in data["store"]["shards"]:
        raise ConfigError(
            f"{file}: data.store.shards.validation must go: source {data['source']} has no validation split"
        )


def _check_meaning(study: Mapping[str, Any], given: Mapping[str, Any], file: Path) -> None:
    """Refuse what a file gives and nothing reads; defaults are not in `given`, the file as it was written."""
    source, backbone, solver = study["data"]["source"], study["backbone"]["name"], study["probe"]["solver"]
    epochs = solver == "sgd" or study["probe"].get("best_epoch")
    others = {key for keys in SOURCE_KEYS.values() for key in keys} - set(SOURCE_KEYS[source])
    unread = [("data", key, f"with source: {source}") for key in sorted(others)]
    unread += [("probe", key, f"with solver: {solver}") for key in SGD_KEYS if not epochs]
    if study["probe"].get("task") == "single_label" and study["probe"].get("best_epoch"):
        unread.append(("probe", "best_epoch", "with task: single_label"))
    unread += [("backbone", "width", f"for {backbone}, whose width is fixed")] if backbone != "narrow" else []
    for part, key, reason in unread:
        if key in given[part]:
            raise ConfigError(f"{file}: {part}.{key} has no meaning {reason}; remove it")


def check_names(config: Mapping[str, Any], studies: Mapping[str, Any]) -> None:
    """Raise ConfigError where the configuration names a study that no file describes."""
    named = [(key, name) for key in ("studies", "paper_studies") for name in config[key]]
    named += [(f"table1.{column}", name) for column, name in config["table1"].items() if name is not None]
    for key, name in named:
        if name not in studies:
            close = difflib.get_close_matches(name, studies, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ConfigError(f"{key} names {name}{hint}, but there are the studies {', '.join(studies)}")
    name = config["table1"]["imagenet"]
    if name is not None and studies[name]["probe"].get("task") != "single_label":
        raise ConfigError(
            f"table1.imagenet names {name}, whose probe has no top-1 accuracy: set `probe.task: single_label` in its"
            f" study file, or name another study, or null"
        )
