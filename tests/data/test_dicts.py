from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oac.data import dicts
from oac.data.tables import BOX_COLUMNS

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)

BOXES = pd.DataFrame(
    [
        ("b", "/m/y", 0.25, 0.5, 0.125, 1.0, True),
        ("a", "/m/z", 0.0, 0.5, 0.0, 0.5, False),
        ("b", "/m/x", 0.5, 0.75, 0.0, 0.5, False),
        ("b", "/m/y", 0.0, 0.25, 0.0, 0.5, False),
    ],
    columns=BOX_COLUMNS,
)


def npy(payload: bytes, descr: str = "|O", shape: tuple = ()) -> bytes:
    """A .npy file whose data are these bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + payload


def payload_of(value: object, protocol: int = 4) -> bytes:
    boxed = np.empty((), object)
    boxed[()] = value
    return pickle.dumps(boxed, protocol)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_what_is_saved_is_loaded_by_us_and_by_numpy(tmp_path_factory: pytest.TempPathFactory, mapping: dict) -> None:
    path = tmp_path_factory.mktemp("dicts") / "d.npy"
    dicts.save(mapping, path)
    assert dicts.load(path) == mapping
    # The way the authors' code reads it.
    assert np.load(path, allow_pickle=True).item() == mapping


def test_the_subset_in_the_authors_form(tmp_path: Path) -> None:
    assert dicts.labels_dict(BOXES) == {"b": ["/m/x", "/m/y"], "a": ["/m/z"]}
    features = dicts.features_dict(BOXES)
    assert list(features) == ["b", "a"]
    rows = features["b"]["data"]
    assert [len(row) for row in rows] == [13, 13, 13]
    # As their loader takes them: LabelName in column 2, x1, x2, y1, y2 in columns 4 to 7, through float().
    assert [row[2] for row in rows] == ["/m/y", "/m/x", "/m/y"]
    assert [float(value) for value in rows[0][4:8]] == [0.25, 0.5, 0.125, 1.0]
    assert [row[10] for row in rows] == [1, 0, 0]
    dicts.save(features, tmp_path / "f.npy")
    assert dicts.load(tmp_path / "f.npy") == features


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("core", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numpy_values_of_both_ages_are_read(tmp_path: Path, core: bytes, protocol: int) -> None:
    value = {
        "row": [np.float64(0.5), np.float32(0.25), np.int64(-3), np.bool_(True), np.str_("abc")],
        "fortran": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "text": np.array(["ab", "c"]),
        "mixed": np.array([1, "x", 0.5], object),
        "none": np.zeros((0, 2)),
    }
    # Protocol 4 counts the bytes of its frames and names, so that there only a name of the same length fits.
    payload = payload_of(value, protocol)
    if core not in payload:
        payload = payload_of(value, 3).replace(b"numpy._core.multiarray", core)
    path = tmp_path / "d.npy"
    path.write_bytes(npy(payload))
    found = dicts.load(path)
    assert found["row"] == value["row"]
    for key in ("fortran", "text", "mixed", "none"):
        assert found[key].dtype == value[key].dtype
        np.testing.assert_array_equal(found[key], value[key])


class Call:
    """Pickles to a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (Call(os.system, "touch ran"), r"(posix|nt)\.system"),
        (Call(eval, "open('ran', 'w')"), r"(builtins|__builtin__)\.eval"),
        (Call(np.load, "x.npy"), r"numpy\.load"),
        (Call(getattr, "x", "upper"), r"(builtins|__builtin__)\.getattr"),
        (Path("x"), r"pathlib"),
        (Call(bytearray, 10), r"(builtins|__builtin__)\.bytearray|bytearray where data"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: object, named: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ({"a": [call]}, [call], call):
        Path("d.npy").write_bytes(npy(payload_of(value, protocol)))
        with pytest.raises(dicts.UnsafePickleError, match=rf"d\.npy is refused: .*({named})"):
            dicts.load("d.npy")
    assert os.listdir() == ["d.npy"]


GLOBALS = {
    "_reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n",
    "dtype": b"cnumpy\ndtype\n",
    "ndarray": b"cnumpy\nndarray\n",
}


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        (b"(S'touch ran'\nios\nsystem\n.", "INST"),
        (b"Pobject 1\n.", "PERSID"),
        (b"\x82\x01.", "EXT1"),
        (b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"c__main__\nnumpy.ndarray\n.", r"__main__\.numpy"),
        (b"}r\xff\xff\xff\x7f.", "memo of 2147483647 entries"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", r"numpy\.ndarray\.__init__"),
        (GLOBALS["_reconstruct"] + GLOBALS["dtype"] + b"(I0\ntS'b'\n\x87R.", "calls numpy's _reconstruct"),
        (GLOBALS["_reconstruct"] + b"}(S'name'\nS'x'\nub.", "change numpy's _reconstruct"),
        (GLOBALS["dtype"] + b"S'V16'\n\x85R.", "dtype 'V16'"),
        (GLOBALS["dtype"] + b"S'f8'\n\x85R(I3\nS'<'\nN(S'a'\nt}I8\nI8\nI0\ntb.", "structured"),
        # An array of 2**40 numbers with eight bytes of data.
        (
            GLOBALS["_reconstruct"] + GLOBALS["ndarray"] + b"(I0\ntS'b'\n\x87R(I1\n(L1099511627776L\nt"
            + GLOBALS["dtype"] + b"S'f8'\n\x85RI00\nC\x0800000000tb.",
            "data do not fit",
        ),
    ],
)  # fmt: skip
def test_hand_made_streams_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bytes, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.npy").write_bytes(npy(stream))
    with pytest.raises(dicts.UnsafePickleError, match=named):
        dicts.load("d.npy")
    assert os.listdir() == ["d.npy"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "no whole .npy file"),
        (b"PK\x03\x04rest", "no whole .npy file"),
        (npy(payload_of([1, 2])), "it holds a list, a dict is needed"),
        (npy(pickle.dumps({"a": 1})), "does not hold the one numpy array"),
        (npy(struct.pack("<d", 1.0), "<f8"), "not one dict"),
        (npy(payload_of({"a": 1}))[:-9], "no whole .npy file"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "d.npy"
    path.write_bytes(content)
    with pytest.raises(dicts.UnsafePickleError, match=named):
        dicts.load(path)


@pytest.mark.parametrize("protocol", [3, 4])
def test_mutated_files_are_read_or_refused(tmp_path: Path, protocol: int) -> None:
    whole = npy(payload_of({"a": {"data": [["x", 1, 0.5, np.float64(2)]]}, "b": np.arange(3)}, protocol))
    generator = random.Random(protocol)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        (tmp_path / "d.npy").write_bytes(data)
        try:
            assert isinstance(dicts.load(tmp_path / "d.npy"), dict)
        except dicts.UnsafePickleError:
            refused += 1
    assert refused > 100


def test_one_array_that_is_referred_to_often_takes_its_memory_once(tmp_path: Path) -> None:
    array = np.zeros(1 << 20, np.uint8)
    path = tmp_path / "d.npy"
    path.write_bytes(npy(payload_of({"rows": [array] * 300, "again": array})))
    assert path.stat().st_size < 1.1 * array.nbytes
    tracemalloc.start()
    found = dicts.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * array.nbytes
    # As numpy gives it: one array under many names.
    assert len({id(value) for value in [*found["rows"], found["again"]]}) == 1
    assert len(found["rows"]) == 300
