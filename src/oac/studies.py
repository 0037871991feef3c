"""What a study is asked for: its runs, variants, contrasts and grid, and its parts with and without defaults.

Studies are read and checked by `oac.study_files`. This module needs no torch: the workflow imports it at every call.
"""

from __future__ import annotations

import functools
import importlib.util
from collections import Counter
from collections.abc import Mapping
from typing import Any

from oac import crop_options
from oac.configuration import ConfigError, filled, read_yaml, without_defaults

UNCROPPED = "none"  # the crops of a method that does not crop
RANDOM_INIT = "random_init"  # the method of the reference row: a network as it was initialised
PRETRAINED = "pretrained"  # that of an encoder which there is already
FIXED_ENCODERS = (RANDOM_INIT, PRETRAINED)  # methods that train and crop nothing
TIMM = "timm/"  # what the name of a backbone begins with that is one of timm's


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of a study file; its options of crop variants are those of `oac.crop_options`."""
    result = read_yaml(crop_options.SCHEMAS / "study.yaml")
    (variant,) = result["properties"]["crops"]["patternProperties"].values()
    variant["properties"]["policy"]["enum"] = list(crop_options.POLICIES)
    for key, option in crop_options.OPTIONS.items():
        variant["properties"][key] = {"description": option.description} | option.schema
    return result


def config_schema() -> dict[str, Any]:
    """The JSON schema of config/config.yaml."""
    return read_yaml(crop_options.SCHEMAS / "config.yaml")


def cell_name(study: Mapping[str, Any], cell: str) -> str:
    """The name of a study of a grid."""
    return f"{study['name']}_{cell}"


def given(study: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The part of a study at some keys, without defaults: a new option with a default runs no job again."""
    part, known = study, schema()
    for key in keys:
        part, known = part[key], known["properties"][key]
    return without_defaults(part, known)


def completed(part: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Fill in again the defaults of a part of a study that `given` has picked."""
    known = schema()
    for key in keys:
        known = known["properties"][key]
    return filled(part, known)


def require_timm(backbone: str) -> None:
    """Raise ConfigError where a backbone is one of timm's and that is not installed. Nothing is imported."""
    if backbone.startswith(TIMM) and importlib.util.find_spec("timm") is None:
        raise ConfigError(
            f'backbone.name {backbone} needs timm, which is not installed: pip install -e ".[timm]" in a clone'
        )


def is_audit(study: Mapping[str, Any]) -> bool:
    """Whether some crop variant of a study switches an option between the paper and the released code."""
    audited = {key: option.default for key, option in crop_options.OPTIONS.items() if option.audit_only}
    variants = study["crops"].values()
    return any(variant.get(key, default) != default for variant in variants for key, default in audited.items())


def moco_variants(study: Mapping[str, Any]) -> list[str]:
    """List the crop variants that MoCo-v2 is trained with, in the order of the file."""
    return list(dict.fromkeys(crops for method, crops, _ in runs(study) if method == "moco_v2"))


def ablations(study: Mapping[str, Any]) -> list[str]:
    """List the ablations of which enough of MoCo-v2's crop variants differ in their option, and in nothing else."""
    result = []
    for name, ablation in crop_options.ABLATIONS.items():
        groups: Counter[str] = Counter()
        for variant in (study["crops"][crops] for crops in moco_variants(study)):
            options = crop_options.with_defaults(variant)
            if ablation.option in options and ablation.policy in (None, variant["policy"]):
                rest = repr(sorted((key, value) for key, value in options.items() if key != ablation.option))
                groups[rest] += 1
        result += [name] if max(groups.values(), default=0) >= ablation.least else []
    return result


def runs(study: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """List the (method, crops, seed) of a study, in the order of its file."""
    result = []
    for method, options in study["methods"].items():
        for crops in list(study["crops"]) if options["crops"] == "all" else options["crops"]:
            seeds = options.get("seeds") or study["crops"][crops]["seeds"]
            result += [(method, crops, seed) for seed in seeds]
    return result


def contrasts(study: Mapping[str, Any]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The comparisons that a study declares, each of two variants (method, crops), the primary one first."""
    return [(variant_of(first), variant_of(against)) for first, against in study["contrasts"]]


def variant_of(name: str) -> tuple[str, str]:
    """Method and crops of a variant as a study file names it: crops of MoCo-v2, method/crops, or a fixed encoder."""
    if name in FIXED_ENCODERS:
        return name, UNCROPPED
    method, _, crops = name.rpartition("/")
    return method or "moco_v2", crops


def title(study: Mapping[str, Any]) -> str:
    """What a study is called for people."""
    made = study["name"].replace("_", " ")
    return str(study.get("title") or made[0].upper() + made[1:])


def labels(study: Mapping[str, Any]) -> dict[str, str]:
    """What each crop variant is called for people: its label, or one made of its policy and options.

    Names go with the source of boxes, so variants that differ in it alone have one label; two variants that a made
    label would not tell from each other also have their keys.
    """
    variants = study["crops"]
    found = {crops: variant.get("label") or crop_options.described(variant) for crops, variant in variants.items()}
    names = Counter((label, variants[crops].get("boxes")) for crops, label in found.items())
    return {
        crops: label if names[label, variants[crops].get("boxes")] == 1 else f"{label} [{crops}]"
        for crops, label in found.items()
    }


def box_sources(study: Mapping[str, Any]) -> list[str]:
    """List the proposal sources that the crop variants of a study use, each once."""
    return list(dict.fromkeys(variant["boxes"] for variant in study["crops"].values() if "boxes" in variant))
