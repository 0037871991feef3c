"""The documentation as a site: every page has a place, links are kept, and the reference has all that there is."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from oac import crop_options, studies

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs/site"))

import pages  # noqa: E402 (beside mkdocs.yml's hooks, no package)
import reference  # noqa: E402


def nav_pages(entries):
    """The pages of a navigation, at any depth."""
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else nav_pages(value)


def test_the_navigation_has_every_page_once():
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = list(nav_pages(yaml.safe_load(text)["nav"]))
    written = {path.name for path in (ROOT / "docs").glob("*.md")} | set(pages.ROOT_PAGES.values())
    made = {f"reference/{name}" for name in reference.pages()}
    assert sorted(listed) == sorted(written | made | {"results/README.md"})


@pytest.mark.parametrize(
    ("page", "link", "on_site"),
    [
        ("README.md", "[a](docs/boxes.md#top)", "[a](boxes.md#top)"),
        ("README.md", "![a](docs/figures/idea.png)", "![a](figures/idea.png)"),
        ("docs/boxes.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/boxes.md", "[a](../src/oac/transforms.py)", "[a](source/src/oac/transforms.py.md)"),
        ("docs/results/README.md", "[a](../../workflow/rules)", "[a](../source/workflow/rules/index.md)"),
        ("docs/own_loop.md", "[a](figures/make.py)", "[a](source/docs/figures/make.py.md)"),
        ("docs/boxes.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("docs/boxes.md", "[a](#here)", "[a](#here)"),
        ("docs/boxes.md", "[a](nowhere.md)", "[a](nowhere.md)"),
        ("docs/boxes.md", "```python\nx = a[0](crops.md)\n```\n", "```python\nx = a[0](crops.md)\n```\n"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page, link, on_site):
    assert pages.for_site(page, link) == on_site


def test_linked_sources_become_pages_and_folders_list_their_files():
    made = pages.sources({"docs/x.md": "[rules](../workflow/rules) [boxes](boxes.md) [none](../none.py)"})
    rules = {f"workflow/rules/{path.name}" for path in (ROOT / "workflow/rules").glob("*.smk")}
    assert set(made) == {"workflow/rules"} | rules
    assert "(common.smk.md)" in made["workflow/rules"]
    assert (ROOT / "workflow/rules/probe.smk").read_text().strip() in made["workflow/rules/probe.smk"]


def described(schema):
    """Every key of a schema at any depth, with its schema."""
    for key, part in schema.get("properties", {}).items():
        yield key, part
        yield from described(part)
    for part in schema.get("patternProperties", {}).values():
        yield from described(part)


@pytest.mark.parametrize("schema", [studies.config_schema(), studies.schema()], ids=["config", "study"])
def test_the_page_of_the_configuration_has_every_key_with_its_default(schema):
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \| (?:`(.*?)`|required)? ?\| ", reference.configuration(), re.M)
    found = [(key, yaml.safe_load(default) if default else None) for key, _, default in rows]
    of_crops = [*crop_options.OPTIONS, "policy"]  # docs/crops.md has these
    for key, part in described(schema):
        if key not in of_crops:
            assert (key, part.get("default")) in found, key
    assert all(kind.strip() for key, kind, _ in rows if key not in of_crops)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "integer ≥ 1"),
        ({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1}, "number &gt; 0 ≤ 1 or null"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "list of 2: number"),
        ({"anyOf": [{"const": "auto"}, {"type": "boolean"}]}, "`auto` or true or false"),
        ({"enum": ["a", 2]}, "`a`, `2`"),
    ],
)
def test_what_a_value_may_be_is_said_in_words(schema, words):
    assert reference.value_kind(schema) == words


def test_the_page_of_commands_has_every_target():
    text = reference.commands()
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert set(re.findall(r"^\| `make ([\w-]+)", text, re.M)) == set(phony)
    rules = re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(), re.M)
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(rules)


def test_the_public_part_of_the_package_is_there_and_has_docstrings():
    import importlib

    for names in reference.API.values():
        for name in names:
            module, _, attribute = name.rpartition(".")
            assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_the_page_of_commands_has_every_module_that_is_one():
    modules = [
        path.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
        for path in (ROOT / "src").rglob("*.py")
        if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]
    assert modules
    assert set(re.findall(r"^\| `python -m ([\w.]+)", reference.commands(), re.M)) == set(modules)
