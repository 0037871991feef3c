"""Mutated annotation files: a reader ends with a sentence that names the file, or every object is accounted for."""

from __future__ import annotations

import csv
import io
import json
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oac
from oac.csv_tables import SEPARATORS
from oac.data import coco, folder, imagenet, photos, voc
from oac.data.bad_boxes import mend
from oac.data.tables import Release

PACKAGE = Path(oac.__file__).parent
FILES: dict[str, dict[str, bytes]] = {
    "voc": {
        "ImageSets/Main/train.txt": b"0001\n0002\n",
        "ImageSets/Main/val.txt": b"0003 1\n",
        **{
            f"Annotations/{name}.xml": b"<annotation><size><width>20</width><height>10</height></size>"
            b"<object><name>dog</name><bndbox><xmin>1</xmin><xmax>20</xmax><ymin>3</ymin><ymax>5</ymax></bndbox>"
            b"</object></annotation>"
            for name in ("0001", "0002", "0003")
        },
    },
    "coco": {
        name: json.dumps(
            {
                "categories": [{"id": 1, "name": "dog"}, {"id": "2", "name": "cat"}],
                "images": [{"id": 1, "file_name": f"{name[0]}.jpg", "width": 20, "height": 10}],
                "annotations": [
                    {"id": 5, "image_id": 1, "category_id": category, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}
                    for category in (1, 2)
                ],
            }
        ).encode()
        for name in ("train.json", "test.json")
    },
    "folder": {
        "boxes.csv": b"path,label,xmin,xmax,ymin,ymax,split,rotation\n"
        b'a.jpg,cat,0.1,0.2,0.3,0.4,train,90\nb.jpg,"d, og",0,1,0.25,1,test,\n'
    },
    "photos": {
        "a.jpg": b"",
        "b/c.png": b"",
        "labels.csv": b"image_id,label,split\na.jpg,cat,train\nb/c.png,1,test\n",
    },
    "imagenet": {"train/a/1.jpg": b"", "val/a/2.jpg": b"", "names.txt": b"a dog\nb cat\n"},
}
MUTABLE = {"voc": list(FILES["voc"]), "coco": list(FILES["coco"]), "folder": ["boxes.csv"]}
MUTABLE |= {"photos": ["labels.csv"], "imagenet": ["names.txt"]}
READ: dict[str, Callable[[Path], Release]] = {
    "voc": voc.read_release,
    "coco": lambda root: coco.read_release(
        root, train="train.json", test="test.json", train_photos="t", test_photos="v"
    ),
    "folder": lambda root: folder.read_release(root, boxes="boxes.csv"),
    "photos": lambda root: photos.read_release(root, labels=str(root / "labels.csv")),
    "imagenet": lambda root: imagenet.read_release(root, train="train", test="val", names="names.txt"),
}
STATE = {
    "voc": voc.state,
    "coco": lambda root: coco.state(root, train_photos="t", test_photos="v"),
    "folder": lambda root: folder.state(root, boxes="boxes.csv"),
    "photos": photos.state,
    "imagenet": lambda root: imagenet.state(root, train="train", test="val"),
}
TOKENS = [b"", b"\0", b"\xff", b"\xe9", b"\xef\xbb\xbf", b"nan", b"1e999", b"-1", b"1" * 400, b",", b";", b"\t", b'"']
TOKENS += [
    b"\n",
    b"\r\n",
    b"../",
    b"/",
    b"\\",
    b"[",
    b"null",
    b"true",
    b"{}",
    b"<",
    b"&a;",
    b" ",
    b"0,5",
    b"\x1f\x8b",
]
TOKENS += [b"[" * 20_000, b"<a>" * 2_000, b'<?xml version="1.0" encoding="nonesuch"?>']


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes of a file with one to three pieces replaced, or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 2, 5, 20, len(content)]))
        content = content[:start] + draw(st.sampled_from(TOKENS)) + content[start + length :]
    return content


def objects(source: str, root: Path, split_ids: list[str]) -> int:
    """How many objects the files hold, counted without the readers."""
    if source == "voc":
        trees = (ElementTree.parse(root / f"Annotations/{name}.xml") for name in split_ids)
        return sum(len(item.findall("bndbox")) for tree in trees for item in tree.getroot().iter("object"))
    if source == "coco":
        return sum(len(json.loads((root / n).read_text("utf-8-sig"))["annotations"]) for n in FILES["coco"])
    text = (root / "boxes.csv").read_text("utf-8-sig").lstrip("\r\n \t")
    mark = max(SEPARATORS, key=text.splitlines()[0].count)
    return sum(any(map(str.strip, row)) for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark)) - 1


def check_sentence(error: Exception, root: Path) -> None:
    """Fail unless an error is raised by the package and names a file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert PACKAGE in Path(last.filename).parents, repr(error)
    assert (last.line or "").startswith("raise "), repr(error)
    assert str(root) in str(error), repr(error)


@pytest.mark.parametrize("source", FILES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_mutated_file_is_refused_in_a_sentence_or_accounted_for(
    tmp_path: Path, source: str, data: st.DataObject
) -> None:
    mutated = data.draw(st.sampled_from(MUTABLE[source]))
    for name, content in FILES[source].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.draw(mutations(content)) if name == mutated else content)
    try:
        release = READ[source](tmp_path)
    except (ValueError, OSError) as error:
        check_sentence(error, tmp_path)
        return
    list(STATE[source](tmp_path))
    given_boxes = len(release.boxes)
    if source in ("voc", "coco", "folder") and not (tmp_path / mutated).read_bytes().startswith(b"\x1f\x8b"):
        assert given_boxes == objects(source, tmp_path, release.images["image_id"].tolist())
    kept, account = mend(release, "clip", most=1)
    assert account.boxes == given_boxes == len(kept.boxes) + account.dropped
    corners = kept.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy()
    assert ((corners >= 0) & (corners <= 1)).all()
