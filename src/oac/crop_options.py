"""Every option of a crop variant, read from the one table, schemas/crops.yaml.

Study schema, recipes, `CropPolicy`, audit, ablations and docs/crops.md are derived from it. No torch is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oac.configuration import read_yaml

SCHEMAS = Path(__file__).parent / "schemas"
_TABLE = read_yaml(SCHEMAS / "crops.yaml")

POLICIES: tuple[str, ...] = tuple(_TABLE["policies"]["all"])
ASYMMETRIC_POLICIES: tuple[str, ...] = tuple(_TABLE["policies"]["asymmetric"])
FROM_PIXELS: tuple[str, ...] = tuple(_TABLE["box_sources"]["from_pixels"])
BOX_SOURCES: tuple[str, ...] = tuple(_TABLE["box_sources"]["all"])


@dataclass(frozen=True)
class CropOption:
    """One option of a crop variant; the head of schemas/crops.yaml says what each field means."""

    description: str
    policies: list[str]
    schema: dict[str, Any]
    default: Any
    label: str
    published: Any = None
    released: Any = None
    value_names: dict[Any, str] = field(default_factory=dict)
    paper: str = ""
    elsewhere: bool = False
    audit_only: bool = False


@dataclass(frozen=True)
class Ablation:
    """An ablation of the paper; schemas/crops.yaml says what each field means."""

    option: str
    least: int
    label: str
    paper: str
    policy: str | None = None


OPTIONS: dict[str, CropOption] = {key: CropOption(**entry) for key, entry in _TABLE["options"].items()}
ABLATIONS: dict[str, Ablation] = {
    name: Ablation(**{"option": name} | entry) for name, entry in _TABLE["ablations"].items()
}
AUDITED = tuple(key for key, option in OPTIONS.items() if option.released is not None)
"""Options in which the paper and the released code differ, in the order in which the audit switches them."""


def published(key: str) -> Any:
    """The paper's value of an option."""
    option = OPTIONS[key]
    return option.default if option.published is None else option.published


def keys_of(policy: str, scales: Any = None) -> tuple[str, ...]:
    """The options that a policy reads; variants with `scales` of their own need no s_min."""
    unread = ("scale_lower", "scale_cap") if scales is not None else ()
    return tuple(key for key, option in OPTIONS.items() if policy in option.policies and key not in unread)


def with_defaults(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Policy and all options that a crop variant reads, absent ones with their defaults, in the order of OPTIONS.

    Keys of the variant that are no options (its seeds) are left out.
    """
    keys = keys_of(variant["policy"], variant.get("scales"))
    return {"policy": variant["policy"]} | {key: variant.get(key, OPTIONS[key].default) for key in keys}


def crop_params(variant: Mapping[str, Any]) -> dict[str, Any]:
    """What decides where a variant's crops are cut, with defaults: the arguments of `CropPolicy`."""
    options = with_defaults(variant)
    return {key: value for key, value in options.items() if key == "policy" or not OPTIONS[key].elsewhere}


def described(variant: Mapping[str, Any]) -> str:
    """A crop variant in words: its policy, and the options that are not the defaults; its boxes stand elsewhere."""
    changed = {
        option.label[0].lower() + option.label[1:]: value_words(key, variant[key])
        for key, option in OPTIONS.items()
        if key not in ("boxes", "method_options") and variant.get(key, option.default) != option.default
    }
    given = [f"{name} {value}" for name, value in {**changed, **(variant.get("method_options") or {})}.items()]
    return ", ".join([variant["policy"], *given])


def value_words(option: str, value: Any) -> str:
    """The value of an option in words; of boxes, the name of their source."""
    if isinstance(value, list):
        ranges = value if isinstance(value[0], list) else [value]
        return " and ".join(f"{low:g} to {high:g}" for low, high in ranges)
    names = OPTIONS[option].value_names
    return names[value] if value in names else value if isinstance(value, str) else f"{value:g}"


def markdown_table() -> str:
    """The table of docs/crops.md: one row for each option."""
    rows = ["| option | policies | default | released code | meaning |", "| --- | --- | --- | --- | --- |"]
    for key, option in OPTIONS.items():
        policies = "all" if tuple(option.policies) == POLICIES else ", ".join(option.policies)
        meaning = option.description + (f" Paper: {option.paper}." if option.paper else "")
        cells = [f"`{key}`", policies, _written(option.default), _written(option.released), meaning]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _written(value: Any) -> str:
    return "" if value is None else f"`{value}`"
