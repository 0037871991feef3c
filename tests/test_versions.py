"""A stage's number follows its code: see `oac.versions`."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oac
from oac import crop_options, studies, versions

PACKAGE = Path(oac.__file__).parent
STAGES = {
    "STORE": "data",
    "PROPOSALS": "proposals",
    "PRETRAIN": "pretrain",
    "PROBE": "probe",
    "REPORT": "report",
}
# Keys of a study whose defaults a stage's parameters leave out.
KEYS = {
    "STORE": ("data",),
    "PROPOSALS": ("proposals",),
    "PRETRAIN": ("data", "proposals", "pretrain", "methods"),
    "PROBE": ("probe",),
    "REPORT": (),
}

# The code of each stage as of its number. When the test fails: if the same input now gives another output, raise the
# number in oac/versions.py; in either case put the new value here.
CODE = {
    ("STORE", 3): "92c1980e4f2c57b4",
    ("PROPOSALS", 3): "6b9edec430421f22",
    ("PRETRAIN", 3): "d0cbf6cc95913292",
    ("PROBE", 4): "add7d8a3898a89e7",
    ("REPORT", 9): "b8521b1c730db0be",
}


def tree(node: Any) -> Any:
    """A syntax tree without places, docstrings and empty fields, the same for every Python."""
    if isinstance(node, list):
        return [tree(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    body = parts.get("body")
    if isinstance(body, list) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        parts["body"] = body[1:]
    return [type(node).__name__, *([name, tree(value)] for name, value in sorted(parts.items()))]


def defaults(schema: dict[str, Any]) -> Iterator[Any]:
    """Every default of a schema, in order: recipes do not say them."""
    for key, part in sorted(schema.get("properties", {}).items()):
        yield key, part.get("default")
        yield from defaults(part)


def code_hash(stage: str) -> str:
    """Hash of a stage's code: comments, docstrings and layout do not count."""
    folder = PACKAGE / STAGES[stage]
    parts = [
        [str(path.relative_to(folder)), tree(ast.parse(path.read_text()))] for path in sorted(folder.rglob("*.py"))
    ]
    known = studies.schema()["properties"]
    parts += [[key, list(defaults(known[key]))] for key in KEYS[stage]]
    if stage == "PRETRAIN":
        parts.append([(key, option.default) for key, option in crop_options.OPTIONS.items()])
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_of_a_stage_is_that_of_its_number(stage):
    assert CODE.get((stage, getattr(versions, stage))) == code_hash(stage), (
        f"the code of oac.{STAGES[stage]} changed (now {code_hash(stage)}): raise {stage} in oac/versions.py if the"
        " same input gives another output, and put the value into CODE here"
    )


def test_comments_and_docstrings_do_not_count_and_code_does():
    one = tree(ast.parse('def f(x):\n    """Say so."""\n    return x  # why\n'))
    assert one == tree(ast.parse("def f(x):\n\n    return x\n"))
    assert one != tree(ast.parse("def f(x):\n    return x + 1\n"))
