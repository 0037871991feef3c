"""Load the authors' files from the folder that ORIGINALS names (README.md)."""

import ast
import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest
import torch


@pytest.fixture
def path_of_original():
    """Give a function that finds a file of the authors: path_of_original("swav/main_swav.py")."""

    def find(name):
        folder = os.environ.get("ORIGINALS")
        if not folder:
            pytest.skip("ORIGINALS names no folder of the authors' code (tests/originals/README.md)")
        path = Path(folder) / name
        if not path.is_file():
            pytest.skip(f"{name} is not under ORIGINALS, {folder}")
        return path

    return find


@pytest.fixture
def original(path_of_original, monkeypatch):
    """Give a function that loads a file as a module: original("swav/main_swav.py").

    absent: modules that it imports and that need not be installed. only: names of the functions and classes to keep
    of a script that would do more, `around` what they refer to.
    """

    def load(name, *, absent=None, only=(), around=None):
        path = path_of_original(name)
        for module, content in (absent or {}).items():
            monkeypatch.setitem(sys.modules, module, content)
        if only:
            tree = ast.parse(path.read_text())
            kept = [node for node in tree.body if getattr(node, "name", None) in only]
            module = types.SimpleNamespace()
            exec(compile(ast.Module(kept, []), str(path), "exec"), around)
            module.__dict__.update({node.name: around[node.name] for node in kept})
            return module
        if "\nfrom ." in path.read_text():  # a part of its package
            monkeypatch.syspath_prepend(path.parent.parent)
            return importlib.import_module(f"{path.parent.name}.{path.stem}")
        spec = importlib.util.spec_from_file_location(f"original_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(autouse=True)
def on_the_host_in_float64(monkeypatch):
    """Neither side goes to a GPU, nor leaves float64."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor, *_, **__: tensor)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module, *_, **__: module)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.fixture
def alone(tmp_path):
    """A process group of one, which the authors' code asks for."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
