"""Reads YAML that people write: checked against a JSON schema, defaults filled in, errors that name file and key.

A configuration file is what a reader edits, so a mistake in it is answered with one sentence before any job starts.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

# 16.0 is no integer here: no path has a seed1.0, and options of torch that count are integers.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


class ConfigError(ValueError):
    """A configuration file is not as its schema wants it; the message names file, key and remedy."""


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; a key given twice is an error. Raises ConfigError."""
    try:
        content = yaml.load(Path(file).read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no mapping of keys to values")
    return content


def deep_merge(below: Any, above: Any) -> Any:
    """Put `above` over `below`, key by key at every depth of mappings."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: deep_merge(below.get(key), value) for key, value in above.items()}


def checked(content: dict[str, Any], schema: Mapping[str, Any], file: str | Path) -> dict[str, Any]:
    """Return `content` with the schema's defaults filled in. Raises ConfigError at the first mistake."""
    try:
        problem = _beyond_schemas(content)
    except RecursionError:
        problem = "a mapping or list holds itself, by an alias (*) of its own anchor (&)"
    if problem:
        raise ConfigError(f"{file}: {problem}")
    content = filled(content, schema)
    # What is missing comes last: it can follow from a wrong value, such as that of data.source.
    errors = sorted(
        _Validator(schema).iter_errors(content),
        key=lambda error: (error.validator == "required", list(map(str, error.path))),
    )
    if errors:
        raise ConfigError(f"{file}: {_sentence(errors[0])}")
    return content


def _beyond_schemas(value: Any, path: str = "") -> str | None:
    """What no schema can refuse, at any depth: keys that are no text, and nan, for which every bound holds."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} must be a finite number, not {value}"
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, str) and "\n" in key:
                return f"the key {key!r} has a line break"
            if not isinstance(key, str):
                where = f"the key {key!r}" + f" of {path}" * bool(path)
                return f"{where} is no text, because YAML reads it so; write it in quotes"
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(filter(None, (_beyond_schemas(part, f"{path}.{key}".lstrip(".")) for key, part in parts)), None)


class _StrictLoader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)  # a key that is a mapping or a list is refused below
            # Merged keys (<<) are meant to be overridden.
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def filled(value: Any, schema: Mapping[str, Any]) -> Any:
    """Copy `value` with the schema's defaults for absent keys, at every depth; wrong types are not judged."""
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    result = {key: schema["default"] for key, schema in properties.items() if "default" in schema} | value
    patterns = schema.get("patternProperties", {})
    for key, part in result.items():
        matching = [s for pattern, s in patterns.items() if re.search(pattern, str(key))]
        result[key] = filled(part, properties.get(key) or next(iter(matching), {}))
    # The order of a file is kept (tables follow it); keys that were absent come last.
    return {key: result[key] for key in (*value, *(key for key in result if key not in value))}


def without_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """Copy `value` without the keys that have the schema's default, at every depth; `filled` puts them back.

    Keys are sorted, so that equal values have one text.
    """
    if not isinstance(value, dict):
        return value
    result = {}
    for key, part in sorted(value.items()):
        known = schema.get("properties", {}).get(key, {})
        part = without_defaults(part, known)
        if "default" not in known or part != known["default"]:
            result[key] = part
    return result


def _sentence(error: jsonschema.ValidationError) -> str:
    """Say what is wrong where, and what to write instead."""
    where, instance, expected = ".".join(map(str, error.absolute_path)), error.instance, error.validator_value
    prefix = f"{where}." if where else ""
    if error.validator == "additionalProperties":
        schema: Mapping[str, Any] = error.schema
        known = list(schema.get("properties", {}))
        patterns = schema.get("patternProperties", {})
        extra = next(str(k) for k in instance if k not in known and not any(re.search(p, str(k)) for p in patterns))
        if not known:
            return f"{prefix}{extra} is no allowed name; it must match {next(iter(patterns))}"
        close = difflib.get_close_matches(extra, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"the keys here are {', '.join(known)}"
        return f"unknown key {prefix}{extra}; {hint}"
    if error.validator == "required":
        return f"the key {prefix}{next(key for key in expected if key not in instance)} is missing"
    if error.validator == "type":
        types = " or ".join([expected] if isinstance(expected, str) else expected)
        if isinstance(instance, str) and (number := _as_yaml_number(instance)) and re.search("number|integer", types):
            return f"{where} is the text {instance!r}, not a number, because YAML reads it so; write {number}"
        return f"{where} must be of type {types}, not {instance!r}"
    if error.validator == "anyOf":
        choices = [str(choice.get("const", f"of type {choice.get('type')}")) for choice in expected]
        return f"{where} must be {' or '.join(choices)}, not {instance!r}"
    return f"{where or 'the file'}: {error.message}"


def _as_yaml_number(text: str) -> str | None:
    """Write a number that YAML 1.1 reads as text, such as 1e-4, so that it reads a number: 1.0e-4."""
    match = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", text.strip())
    if match:
        return f"{match[1]}{match[2] or '.0'}e{match[3] or '+'}{match[4]}"
    return text.strip() if re.fullmatch(r"[+-]?\d+(\.\d*)?", text.strip()) else None
