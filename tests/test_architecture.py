"""The package is layered: data, proposals, pretrain, probe, report, workflow. Nothing imports a later layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
STAGES = ("data", "proposals", "pretrain", "transforms", "probe", "report", "workflow")  # two are one module
FILES = sorted((SOURCE / "oac").rglob("*.py"))


def module(path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module(path) for path in FILES}


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Modules that a file imports; with everywhere=False only those at its top level."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else str(node.module)


def stage(name: str) -> int | None:
    """Place of a module in the chain of stages, None for what lies beside it."""
    parts = name.split(".")
    return STAGES.index(parts[1]) if len(parts) > 1 and parts[0] == "oac" and parts[1] in STAGES else None


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_stage_imports_only_itself_and_earlier_ones(path):
    own = stage(module(path))
    for name in imports(path):
        assert name.split(".")[0] != "snakemake"
        other = stage(name)
        if own is None:
            assert other is None, f"{module(path)} lies beside the stages and imports {name}"
        else:
            assert other is None or other <= own, f"{module(path)} imports {name} of a later stage"


def test_no_module_imports_itself_in_a_circle():
    graph = {module(path): {name for name in imports(path, everywhere=False) if name in NAMES} for path in FILES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "name",
    [
        "oac.pretrain.crops",
        "oac.probe.metrics",
        "oac.report.statistics",
        "oac.report.variant_tables",
        "oac.report.pairs",
    ],
)
def test_pure_modules_know_neither_files_nor_devices(name):
    path = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
    assert not {"pathlib", "os", "io", "PIL", "pyarrow"} & {found.split(".")[0] for found in imports(path)}


@pytest.mark.parametrize("name", ["oac.studies", "oac.pretrain.recipe", "oac.workflow", "oac.report.making"])
def test_what_the_workflow_and_its_tables_import_needs_no_torch(name):
    todo, seen = [name], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        parents = [current.rsplit(".", n)[0] for n in range(1, current.count(".") + 1)]
        todo += [parent for parent in parents if parent in NAMES]
        path = SOURCE.joinpath(*current.split("."))
        found = set(imports(path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"))
        assert "torch" not in {part.split(".")[0] for part in found}, current
        todo += [part for part in found if part in NAMES]
