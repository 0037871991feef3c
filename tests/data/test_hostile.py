"""200 hostile dict files and 1,000 mutated photos: nothing runs, nothing crashes, everything is accounted for."""

from __future__ import annotations

import io
import os
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data import dicts
from oac.data.decode import MissingPhotoError, prepare
from oac.data.store import Store, stored_images, write_shard
from oac.pretrain.host_photos import HostPhotos

# What such files call, as (module, name) and arguments. Each would leave the file "ran" behind, or is a step to it.
CALLS = [
    ("os", "system", ("touch ran",)),
    ("posix", "system", ("touch ran",)),
    ("subprocess", "Popen", (["touch", "ran"],)),
    ("subprocess", "check_output", (["touch", "ran"],)),
    ("builtins", "eval", ("open('ran', 'w')",)),
    ("builtins", "exec", ("open('ran', 'w')",)),
    ("builtins", "open", ("ran", "w")),
    ("builtins", "compile", ("1", "x", "exec")),
    ("builtins", "__import__", ("os",)),
    ("builtins", "getattr", ("x", "upper")),
    ("__builtin__", "eval", ("open('ran', 'w')",)),
    ("io", "open", ("ran", "w")),
    ("os", "mkdir", ("ran",)),
    ("os", "remove", ("d.npy",)),
    ("shutil", "rmtree", (".",)),
    ("pathlib", "Path", ("ran",)),
    ("importlib", "import_module", ("antigravity",)),
    ("runpy", "run_path", ("x.py",)),
    ("pty", "spawn", ("sh",)),
    ("socket", "create_connection", (("127.0.0.1", 9),)),
    ("webbrowser", "open", ("ran",)),
    ("ctypes", "CDLL", ("libc.so.6",)),
    ("pickle", "loads", (b"cos\nsystem\n(S'touch ran'\ntR.",)),
    ("marshal", "loads", (b"N",)),
    ("types", "FunctionType", ()),
    ("functools", "partial", (print,)),
    ("operator", "attrgetter", ("__class__",)),
    ("operator", "methodcaller", ("system", "touch ran")),
    ("codecs", "decode", (b"x", "hex")),
    ("copyreg", "_reconstructor", (object, object, None)),
    ("collections", "OrderedDict", ()),
    ("builtins", "bytearray", (10,)),
    ("numpy", "load", ("x.npy",)),
    ("numpy", "memmap", ("ran", "u1", "w+", 0, (4,))),
    ("numpy", "fromfile", ("x",)),
    ("numpy", "ndarray.tofile", ("ran",)),
    ("numpy.core.multiarray", "frombuffer", (b"x",)),
    ("numpy._core.multiarray", "array", ([1],)),
    ("numpy.lib.format", "read_array", (None,)),
    ("numpy.testing._private.utils", "runstring", ("open('ran', 'w')", {})),
    ("pandas", "read_pickle", ("x",)),
    ("torch", "load", ("x",)),
]
PLACES = ["top", "value", "key", "row"]


def stream(module: str, name: str, arguments: tuple, place: str, protocol: int) -> bytes:
    """The pickle of a 0-d array of an object in which, at this place, the function is called."""
    marker = "OAC-MARKER"
    value = {
        "top": marker,
        "value": {"a": [marker]},
        "key": {"b": {"data": [[marker, 1.0]]}},
        "row": {"c": np.array([1, marker], object)},
    }[place]
    boxed = np.empty((), object)
    boxed[()] = value
    whole = pickle.dumps(boxed, 3)
    found = b"X" + len(marker).to_bytes(4, "little") + marker.encode()
    assert whole.count(found) == 1
    try:
        made = pickle.dumps(arguments, protocol)
    except Exception:
        made = pickle.dumps((), protocol)
    body = made[:-1]
    if protocol >= 2:
        body = body[2:]  # without the opcode of the protocol
        if protocol >= 4 and body[:1] == b"\x95":
            body = body[9:]  # and without the frame
    call = f"c{module}\n{name}\n".encode()
    if protocol >= 4:  # names that stand on the stack, which no walk over the opcodes sees
        texts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
        call = b"".join(texts) + b"\x93"
    call += body + b"R"
    return whole.replace(found, call)


def hostile() -> Iterator[tuple[str, bytes]]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    number = 0
    for place in PLACES:
        for module, name, arguments in CALLS:
            protocol = number % 6
            number += 1
            yield f"{module}.{name}", header.getvalue() + stream(module, name, arguments, place, protocol)
    # What comes after the dict is never reached by one that loads it, but must not run either.
    boxed = np.empty((), object)
    boxed[()] = {"a": 1}
    for module, name, arguments in CALLS[:32]:
        made = pickle.dumps(arguments if module != "functools" else (), 0)[:-1]
        before = f"c{module}\n{name}\n".encode() + made + b"R0"
        yield f"{module}.{name}", header.getvalue() + before + pickle.dumps(boxed, 3)


EVENTS: list[str] = []
WATCHED: list[bool] = []


def watch(event: str, arguments: tuple) -> None:
    """Note what no reading of data does; a hook cannot be taken away again, so it is switched on by WATCHED.

    (numpy parses the header of a file with ast, which raises the event "compile".)
    """
    watched = ("os", "subprocess", "socket", "ctypes", "shutil", "exec", "import", "open")
    own = event == "open" and str(arguments[0]).endswith("d.npy")
    if WATCHED and event.split(".")[0] in watched and not own:
        EVENTS.append(event)


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    sys.addaudithook(watch)


def test_200_hostile_dicts_are_refused_by_name_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = list(hostile())
    assert len(files) == 200
    assert len({data for _, data in files}) == 200
    dicts.save({"a": [1]}, "d.npy")
    dicts.load("d.npy")  # what the first reading imports is no news
    for named, data in files:
        Path("d.npy").write_bytes(data)
        EVENTS.clear()
        WATCHED.append(True)
        try:
            with pytest.raises(dicts.UnsafePickleError) as refusal:
                dicts.load("d.npy")
        finally:
            WATCHED.clear()
        text = str(refusal.value)
        assert text.startswith("d.npy is refused: "), text
        assert f"it asks for {named}" in text, text
        assert not EVENTS, named
    assert os.listdir() == ["d.npy"]


def test_the_watch_sees_what_numpy_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: the same files do run under numpy's own reader."""
    monkeypatch.chdir(tmp_path)
    Path("d.npy").write_bytes(next(hostile())[1])
    WATCHED.append(True)
    try:
        np.load("d.npy", allow_pickle=True)
    finally:
        WATCHED.clear()
    assert "os.system" in EVENTS
    assert Path("ran").exists()


def mutated(original: bytes, generator: random.Random) -> bytes:
    """A JPEG with bytes changed, cut, doubled or put in; half of the harm hits the header."""
    data = bytearray(original)
    for _ in range(generator.randint(1, 8)):
        place = generator.randrange(min(len(data), generator.choice((len(data), 700))))
        kind = generator.random()
        if kind < 0.7:
            data[place] = generator.randrange(256)
        elif kind < 0.8:
            data[place:place] = generator.randbytes(generator.randint(1, 40))
        elif kind < 0.9:
            del data[place : place + generator.randint(1, 200)]
        else:
            data[place:place] = data[place : place + 100]
    if generator.random() < 0.15:
        del data[generator.randrange(len(data)) :]
    return bytes(data)


@pytest.fixture(scope="module")
def originals() -> list[bytes]:
    """JPEGs of several kinds: baseline, progressive, grey, CMYK, with EXIF data and a thumbnail."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (image, {"quality": 85}),
        (image, {"quality": 90, "progressive": True}),
        (image.convert("L"), {}),
        (image.convert("CMYK"), {}),
        (image, {"exif": exif, "subsampling": 0}),
        (image, {"restart_marker_rows": 2, "optimize": True}),
    ]
    result = []
    for picture, options in kinds:
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", **options)
        result.append(encoded.getvalue())
    return result


def test_1000_mutated_photos_are_stored_and_loaded_or_listed(tmp_path: Path, originals: list[bytes]) -> None:
    generator = random.Random(4)
    folder = tmp_path / "raw"
    folder.mkdir()
    ids = [f"m{number:04}" for number in range(1000)]
    for number, image_id in enumerate(ids):
        (folder / f"{image_id}.jpg").write_bytes(mutated(originals[number % len(originals)], generator))
    photos = pd.DataFrame({"image_id": ids, "rotation": [90 * (n % 4) for n in range(1000)]})
    photos["path"] = photos["image_id"] + ".jpg"
    store = tmp_path / "photos"
    paths = [store / "train" / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
    write_shard(photos, folder, *paths, long_side=100, max_missing_share=1.0)

    stored, missing = pd.read_parquet(paths[1]), pd.read_csv(paths[2])
    assert sorted([*stored["image_id"], *missing["image_id"]]) == ids
    assert min(len(stored), len(missing)) > 150
    assert missing["reason"].str.startswith("not a readable image").all()
    assert Store(store).image_ids == stored["image_id"].tolist()
    images = stored_images(store)
    for reduced, resident in ((False, 1.0), (False, 0.0), (True, 1.0), (True, 0.0)):
        loaded = HostPhotos(store, images, resident, reduced=reduced)
        for number, row in enumerate(images.itertuples()):
            photo = loaded[number]
            assert photo is not None
            assert (photo.at(1).mode, photo.at(1).size) == ("RGB", (row.width, row.height))


def test_photos_that_are_damaged_in_the_store_are_told_apart(tmp_path: Path, originals: list[bytes]) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    ids = [f"m{number:04}" for number in range(100)]
    for number, image_id in enumerate(ids):
        (folder / f"{image_id}.jpg").write_bytes(originals[number % 2])
    photos = pd.DataFrame({"image_id": ids, "rotation": 0, "path": [f"{image_id}.jpg" for image_id in ids]})
    paths = [tmp_path / "photos" / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
    write_shard(photos, folder, *paths)
    index, data = pd.read_parquet(paths[1]), bytearray(paths[0].read_bytes())
    generator, harmed = random.Random(1), set()
    for row in index.sample(30, random_state=0).itertuples():
        data[row.offset + generator.randrange(row.bytes)] ^= 1 << generator.randrange(8)
        harmed.add(row.image_id)
    paths[0].write_bytes(data)
    loaded = HostPhotos(tmp_path / "photos", stored_images(tmp_path / "photos"), 0.0)
    assert {loaded.image_ids[n] for n in range(100) if loaded[n] is None} == harmed


def test_a_photo_that_claims_to_be_huge_takes_no_memory(originals: list[bytes]) -> None:
    data = bytearray(originals[0])
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = (12_000).to_bytes(2, "big") * 2
    with pytest.raises(MissingPhotoError, match="144,000,000 pixels"):
        prepare(bytes(data))
