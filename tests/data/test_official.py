from __future__ import annotations

import base64
import csv
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oac.data import official
from oac.data.download import DownloadError, GoneError
from oac.data.official import FILES, fetch_annotation
from oac.data.openimages import annotation_files

NAME = "validation/validation-images-with-rotation.csv"
DATA = b"ImageID,Rotation\n" * 50


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with the size and md5 of a file that fits a test."""
    for name, file in FILES.items():
        data = DATA + name.encode()
        monkeypatch.setitem(FILES, name, replace(file, bytes=len(data), md5=hashlib.md5(data).hexdigest()))


def content(name: str) -> bytes:
    return DATA + name.encode()


def test_the_table_has_every_file_that_is_read_and_the_published_numbers(shared: Path) -> None:
    assert set(FILES) == set(annotation_files(["train", "validation", "test"]))
    with open(shared / "openimages" / "official_csv_sizes_md5.tsv", newline="") as file:
        published = {row["file"]: (int(row["bytes"]), row["md5"]) for row in csv.DictReader(file, delimiter="\t")}
    assert {name: (file.bytes, file.md5) for name, file in FILES.items()} == {name: published[name] for name in FILES}


def test_the_documentation_has_the_same_table() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5 and ".csv`" in line]
    assert len(rows) == len(FILES)
    for file in FILES.values():
        place = file.place.removesuffix(file.name)
        assert f"| `{file.name}` | `{place}` | {file.bytes:,} | `{file.md5}` |" in rows


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", ["official", "plain"])
def test_a_mirror_may_have_either_layout(server: Any, tmp_path: Path, layout: str) -> None:
    place = FILES[NAME].place if layout == "official" else NAME
    server.files[f"/mirror/{place}"] = content(NAME)
    (tmp_path / "disk" / place).parent.mkdir(parents=True)
    (tmp_path / "disk" / place).write_bytes(content(NAME))
    for base in (f"{server.base}/mirror/", str(tmp_path / "disk"), (tmp_path / "disk").as_uri()):
        target = tmp_path / "out" / "list.csv"
        fetch_annotation(NAME, base, target, verify=True)
        assert target.read_bytes() == content(NAME)
        target.unlink()


@pytest.mark.usefixtures("small")
def test_another_file_under_the_right_name_is_refused(server: Any, tmp_path: Path) -> None:
    server.files[f"/{NAME}"] = content("another")
    with pytest.raises(DownloadError, match=r"expected"):
        fetch_annotation(NAME, server.base, tmp_path / "list.csv", verify=True)
    assert not (tmp_path / "list.csv").exists()
    fetch_annotation(NAME, server.base, tmp_path / "list.csv", verify=False)
    with pytest.raises(
        GoneError, match=r"holds neither test-annotations-bbox\.csv nor v5/test-annotations-bbox\.csv"
    ):
        fetch_annotation("test-annotations-bbox.csv", server.base, tmp_path / "boxes.csv", verify=True)


@pytest.mark.usefixtures("small")
def test_sources_are_checked_without_fetching_them(server: Any) -> None:
    for name, file in FILES.items():
        server.files[f"/{file.place}"] = content(name)
        md5 = base64.b64encode(bytes.fromhex(file.md5)).decode()
        server.heads[f"/{file.place}"] = {"x-goog-hash": f"crc32c=AAAAAA==,md5={md5}"}
    for path in official.EXAMPLES:
        server.files[f"/photos/{path}"] = b"jpeg"
        server.heads[f"/photos/{path}"] = {"Content-Type": "image/jpeg"}
    assert [problem for _, problem in official.check(server.base, f"{server.base}/photos")] == [""] * 9
    assert server.sent == []
    first, second, third = list(FILES.values())[:3]
    server.files[f"/{first.place}"] += b"more"
    server.heads[f"/{second.place}"] = {"x-goog-hash": "md5=" + base64.b64encode(bytes(16)).decode()}
    del server.files[f"/{third.place}"]
    server.heads[f"/photos/{official.EXAMPLES[0]}"] = {"Content-Type": "text/html"}
    problems = [problem for _, problem in official.check(server.base, f"{server.base}/photos") if problem]
    assert len(problems) == 4
    assert "bytes" in problems[0]
    assert f"the md5 is {bytes(16).hex()}" in problems[1]
    assert "HTTP 404" in problems[2]
    assert "text/html" in problems[3]


def test_the_command_ends_with_an_error_where_an_address_is_wrong(server: Any) -> None:
    script = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "check_sources.py"
    command = [sys.executable, script, "--base", server.base, "--photos", server.base]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == 9
    assert "9 addresses are not as expected" in done.stderr


@pytest.mark.usefixtures("small")
def test_a_mirror_may_have_packed_files(server: Any, tmp_path: Path) -> None:
    server.files[f"/{NAME}.gz"] = b"packed"
    fetch_annotation(NAME, server.base, tmp_path / "list.csv", verify=False)
    assert (tmp_path / "list.csv").read_bytes() == b"packed"
    with pytest.raises(GoneError, match="holds neither"):
        fetch_annotation(NAME, server.base, tmp_path / "other.csv", verify=True)
