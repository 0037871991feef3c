"""The pages under reference/, made from where their facts stand: schemas, Makefile, target rules, docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "src/oac/schemas"
TYPES = {"string": "text", "boolean": "true or false", "object": "mapping", "null": "null"}
# What other programs may import; everything else may change in any version.
API = {
    "Crops in a training loop": ["oac.transforms.ObjectAwareCrop"],
    "Boxes": ["oac.proposals.bing.Bing"],
    "Encoders": [
        "oac.pretrain.nn.load_encoder",
        "oac.pretrain.nn.encoder_recipe",
        "oac.pretrain.export.to_detectron2",
    ],
    "Photos": ["oac.data.store.Store", "oac.data.store.DamagedPhotoError", "oac.data.store.stored_images"],
}


def pages() -> dict[str, str]:
    """The Markdown of each page by its name."""
    return {"configuration.md": configuration(), "commands.md": commands(), "python.md": python()}


def configuration() -> str:
    """Every key of config/config.yaml and of a study file, a table for each mapping."""
    text = [
        "# Configuration\n\nMade from the schemas that files are checked by. An unknown key is refused by name.\n",
        "## config/config.yaml\n\n",
        *_tables(read_schema("config.yaml"), ""),
        "## Study file\n\nIn `config/studies`, or anywhere else. `data.subset` is the mapping `subset` in the mapping"
        " `data`. Options of a crop variant have [a page of their own](../crops.md).\n\n",
        *_tables(read_schema("study.yaml"), ""),
    ]
    return "\n".join(text)


def read_schema(name: str) -> dict[str, Any]:
    """Read one of the schemas of configuration files."""
    schema: dict[str, Any] = yaml.safe_load((SCHEMAS / name).read_text(encoding="utf-8"))
    return schema


def _tables(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """The table of a mapping's keys, then those of the mappings in it, each under its path."""
    if path:
        yield f"### `{path}`\n\n{schema.get('description', '')}\n"
    required = schema.get("required", [])
    keys = dict(schema.get("properties", {}))
    if keys:
        yield "| key | value | default | meaning |\n| --- | --- | --- | --- |"
        yield "".join(_row(key, part, key in required) for key, part in keys.items())
    for key, part in keys.items():
        if part.get("properties") or part.get("patternProperties"):
            yield from _tables(part, f"{path}.{key}".lstrip("."))
    for part in schema.get("patternProperties", {}).values():
        yield from _tables(part, f"{path}.NAME")


def _row(key: str, schema: Mapping[str, Any], required: bool) -> str:
    default = f"`{written(schema['default'])}`" if "default" in schema else "required" if required else ""
    cells = [f"`{key}`", value_kind(schema), default, schema.get("description", "")]
    # Text of a schema is no Markdown.
    cells[3] = re.sub(r"([*<>\[\]])", r"\\\1", cells[3])
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def written(value: Any) -> str:
    """A value as it is written in a file: YAML reads JSON's 1e-06 as text."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def value_kind(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words: of a JSON schema's const, enum, anyOf, type and bounds."""
    if "const" in schema:
        return f"`{written(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{written(value)}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(value_kind, schema["anyOf"]))
    kinds = schema.get("type", "")
    if isinstance(kinds, list):
        return " or ".join(value_kind({**schema, "type": kind}) for kind in kinds)
    if kinds == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        count = f"{least}: " if least and least == most else ""
        return f"list of {count}{value_kind(schema['items'])}"
    if kinds in ("number", "integer"):
        return " ".join([kinds, *_bounds(schema)])
    return TYPES.get(kinds, kinds)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": "&gt;", "maximum": "≤", "exclusiveMaximum": "&lt;"}
    return [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]


def commands() -> str:
    """Targets of make, from the Makefile's head, and of Snakemake, from the docstrings of the target rules."""
    make = re.findall(r"^# (make [\w -]+?(?: \w+=\w+)?)  +(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    rules = re.findall(r'^rule (\w+):\n    """(.*?)"""', (ROOT / "Snakefile").read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(
        [
            "# Commands\n\n## make\n\n| command | what it does |\n| --- | --- |",
            *(f"| `{name}` | {text} |" for name, text in make),
            "\nEach sets up its environment first, once. Another Python: `make PYTHON=python3.12 demo`.\n",
            "## snakemake\n\nA path under `results/` is a target too"
            " ([one variant by its path](../studies.md#one-variant-by-its-path)).\n",
            "| target | what it makes |\n| --- | --- |",
            *(f"| `{name}` | {' '.join(text.split())} |" for name, text in rules),
            "\n## python\n\n`--help` lists the options of each.\n",
            "| command | where it is described |\n| --- | --- |",
            "| `python -m oac.proposals PHOTOS... --out FILE` | [boxes](../boxes.md) |",
            "| `python -m oac.workflow.progress STUDY...` | [how far a study is](../studies.md#how-far-a-study-is) |",
            "| `python -m oac.workflow.tensorboard STUDY... --out DIR`"
            " | [training curves](../studies.md#how-far-a-study-is) |",
            "| `python workflow/scripts/export_detectron2.py ENCODER OUT` | [encoders](../export.md) |",
            "| `python workflow/scripts/describe_encoder.py ENCODER --out FILE`"
            " | [publish an encoder](../export.md#publish-one) |",
            "| `python workflow/scripts/place_in_regimes.py results/STUDY`"
            " | [regimes](../guide.md#when-do-object-crops-help) |",
            "| `python workflow/scripts/compare_machines.py FIRST SECOND --out FILE`"
            " | [machines](../guide.md#the-same-study-on-another-machine) |",
            "",
        ]
    )


def python() -> str:
    """The public part of the package, whose docstrings mkdocstrings reads."""
    head = "# Python\n\nWhat other programs may import. Everything else can change in any version.\n"
    parts = [f"## {title}\n\n" + "\n\n".join(f"::: {name}" for name in names) for title, names in API.items()]
    return "\n".join([head, *(part + "\n" for part in parts)])
