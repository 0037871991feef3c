"""The subset as the paper's authors share it: pickled dicts inside .npy files, written, and read safely.

Their code loads three of them by unpickling, which runs whatever a file asks for. `load` reads the same files and
runs nothing; `save` writes them for their code:
- images_selected_new.npy and images_selected_test_40k.npy: {image id: [labels]}
- images_selected_with_all_features.npy: {image id: {"data": [rows]}}, a row being a line of the official box
  file, of which columns 4 to 7 are XMin, XMax, YMin, YMax (datasets/openimages_dataset_bing.py, extract_bb).

Such files come from a shared drive, so `load` walks the opcodes first, and then admits dicts, lists, strings, numbers
and the constructors numpy itself writes; those are replaced by inert stand-ins, so that not even numpy interprets a
hostile state.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from oac.atomic import writing
from oac.data.tables import BOX_COLUMNS

# numpy moved its core in 2.0; files of both ages are about.
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_REFUSED_OPCODES = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}


class UnsafePickleError(ValueError):
    """A pickle asks for something that plain data does not need, or is damaged; nothing of it was run."""


def save(mapping: Mapping[str, Any], path: str | Path) -> None:
    """Write a dict as the authors do, for their code; `load` reads it, and theirs, without running a pickle."""
    boxed = np.empty((), object)
    boxed[()] = dict(mapping)
    with writing(path) as temporary, open(temporary, "wb") as file:
        # numpy stores an object array as a pickle: it is the authors' format, and writing one runs nothing.
        np.save(file, boxed, allow_pickle=True)


def load(path: str | Path) -> dict[str, Any]:
    """Read a dict that `save` or the authors wrote, without running anything the file asks for.

    Raises UnsafePickleError, naming the file and what it asked for, and FileNotFoundError. The walk over the
    opcodes takes about half a second per million of them.
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            result = _load(file, path.stat().st_size)
        except UnsafePickleError as error:
            raise UnsafePickleError(f"{path} is refused: {error}") from None
        except Exception as error:
            # A damaged stream can make the reader fail in any way; none of them ran anything.
            raise UnsafePickleError(
                f"{path} is refused: it is no whole .npy file of a dict ({type(error).__name__}: {error})"
            ) from error
    if not isinstance(result, dict):
        raise UnsafePickleError(f"{path} is refused: it holds a {type(result).__name__}, a dict is needed")
    return result


def labels_dict(boxes: pd.DataFrame) -> dict[str, list[str]]:
    """{image id: sorted distinct labels} of a box table, in the order images first appear in it."""
    pairs = boxes[["image_id", "label"]].drop_duplicates()
    result: dict[str, list[str]] = {image_id: [] for image_id in pairs["image_id"]}
    for image_id, label in zip(pairs["image_id"], pairs["label"], strict=True):
        result[image_id].append(label)
    return {image_id: sorted(labels) for image_id, labels in result.items()}


def features_dict(boxes: pd.DataFrame) -> dict[str, dict[str, list[list[Any]]]]:
    """{image id: {"data": [rows]}} of a box table, rows of the 13 official columns.

    Corners are those of the upright photo, as in the image store. The canonical tables do not carry every
    column: Source is "canonical", Confidence 1, and the flags other than IsGroupOf are -1 (unknown).
    """
    result: dict[str, dict[str, list[list[Any]]]] = {}
    columns = (boxes[name].tolist() for name in BOX_COLUMNS)
    for image_id, label, xmin, xmax, ymin, ymax, group in zip(*columns, strict=True):
        row = [image_id, "canonical", label, 1, xmin, xmax, ymin, ymax, -1, -1, int(group), -1, -1]
        result.setdefault(image_id, {"data": []})["data"].append(row)
    return result


def _load(file: BinaryIO, size: int) -> Any:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise UnsafePickleError(f"its format version is {version}, not (1, 0) or (2, 0)")
    if not dtype.hasobject or shape != ():
        raise UnsafePickleError(f"it holds an array of {dtype} and shape {shape}, not one dict")
    start = file.tell()
    _check_opcodes(file, size)
    file.seek(start)
    reader = _Reader(file)
    result = reader.load()
    if not isinstance(result, _Array) or result.shape != ():
        raise UnsafePickleError("it does not hold the one numpy array its header promises")
    return _arrays(result)


def _check_opcodes(file: BinaryIO, size: int) -> None:
    """Refuse by name what plain data never needs, before the stream is given to the unpickler."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            _admitted(module, name)
        elif opcode.name in _REFUSED_OPCODES:
            raise UnsafePickleError(f"it uses the pickle instruction {opcode.name}")
        elif opcode.name in _MEMO_OPCODES and not 0 <= int(argument or 0) <= size:
            # The unpickler allocates its memo up to the largest index: a few bytes could ask for gigabytes.
            raise UnsafePickleError(f"it asks for a memo of {argument} entries")


class _Dtype:
    """Stand-in of numpy.dtype while a stream is read: admits plain numbers, strings and objects."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any = None, *_: Any) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not isinstance(text, str) or np.dtype(text).kind not in "biufUSO":
            raise UnsafePickleError(f"it asks for a numpy dtype {name!r}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        _version, order, subtype, names, fields, itemsize, *_ = state
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if (subtype, names, fields) != (None, None, None) or order not in ("<", ">", "|", "="):
            raise UnsafePickleError("it asks for a structured numpy dtype")
        if self.dtype.kind in "US" and itemsize > 0:
            width = itemsize // (4 if self.dtype.kind == "U" else 1)
            self.dtype = np.dtype(f"{self.dtype.kind}{width}")
        self.dtype = self.dtype.newbyteorder(">" if order == ">" else "<")


class _Array:
    """Stand-in of numpy.ndarray: takes the state numpy writes and gives an array only when asked."""

    __slots__ = ("dtype", "fortran", "made", "raw", "shape")
    raw: Any

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not (isinstance(dtype, _Dtype) and isinstance(shape, tuple) and all(type(n) is int for n in shape)):
            raise UnsafePickleError("it holds a numpy array in a form numpy does not write")
        values = list if dtype.dtype.hasobject else bytes
        wanted = math.prod(shape) * (1 if values is list else dtype.dtype.itemsize)
        if min(shape, default=0) < 0 or type(raw) is not values or len(raw) != wanted:
            raise UnsafePickleError(f"it holds a numpy array of shape {shape} whose data do not fit")
        self.shape, self.dtype, self.fortran, self.raw = shape, dtype.dtype, bool(fortran), raw
        self.made: Any = None

    def value(self) -> Any:
        """The array; of a 0-d object array its only element.

        The same one each time: a few bytes can refer to one array as often as they like.
        """
        if self.made is None:
            self.made = self._make()
        return self.made

    def _make(self) -> Any:
        if not self.dtype.hasobject:
            flat = np.frombuffer(self.raw, self.dtype)
        elif self.shape == ():
            return self.raw[0]
        else:
            flat = np.empty(len(self.raw), object)
            flat[:] = self.raw
        return flat.reshape(self.shape, order="F" if self.fortran else "C").copy()


class _Constructor:
    """A function of the stream that carries no state a stream could change."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError(f"it tries to change numpy's {self.name}")

    def __call__(self, kind: Any, value: Any = None, *_: Any) -> Any:
        if self.name == "_reconstruct" and kind is _Array:
            return _Array()
        plain = isinstance(kind, _Dtype) and not kind.dtype.hasobject
        if self.name == "scalar" and plain and type(value) is bytes and len(value) == kind.dtype.itemsize:
            return np.frombuffer(value, kind.dtype)[0]
        raise UnsafePickleError(f"it calls numpy's {self.name} with something numpy does not write")


def _admitted(module: str, name: str) -> Any:
    if module in _NUMPY_MODULES and name in ("_reconstruct", "scalar"):
        return _Constructor(name)
    if (module, name) == ("numpy", "ndarray"):
        return _Array
    if (module, name) == ("numpy", "dtype"):
        return _Dtype
    raise UnsafePickleError(f"it asks for {module}.{name}; only plain data and numpy's own constructors are read")


class _Reader(pickle.Unpickler):
    def __init__(self, file: BinaryIO | io.BytesIO) -> None:
        # Files of Python 2 hold byte strings; numpy reads them as latin-1 too.
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        return _admitted(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError("it refers to objects outside the file")


_SCALARS = (str, int, float, bytes, complex, np.generic, type(None))


def _arrays(root: Any) -> Any:
    """Replace every stand-in of an array by the array, in place; not recursive, as data can nest deeply."""
    result = root.value() if isinstance(root, _Array) else root
    seen: set[int] = set()
    todo = [result] if isinstance(result, (dict, list)) else []
    while todo:
        container = todo.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        if isinstance(container, dict):
            _check_scalars(container)
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in list(pairs):
            if isinstance(value, _SCALARS):
                continue
            if isinstance(value, _Array):
                container[key] = value = value.value()
            if isinstance(value, (dict, list)):
                todo.append(value)
            elif isinstance(value, tuple) or (isinstance(value, np.ndarray) and value.dtype.hasobject):
                _check_scalars(value)
            elif not isinstance(value, np.ndarray):
                raise UnsafePickleError(f"it holds a {type(value).__name__.strip('_')} where data should be")
    return result


def _check_scalars(values: Iterable[Any]) -> None:
    """Keys, tuples and arrays of objects may hold numbers and strings, nothing that holds more."""
    for value in values.flat if isinstance(values, np.ndarray) else values:
        if not isinstance(value, _SCALARS):
            raise UnsafePickleError(f"it holds a {type(value).__name__.strip('_')} where a number or text should be")
