"""Pictures that a server sends in place of photos that are gone: missing, with a reason."""

from __future__ import annotations

import io
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from oac.data.shard import TooManyMissingError, write_shard
from oac.data.store import Store

NAMES = [f"p{number}" for number in range(10)]
GONE = ["p2", "p3", "p5", "p9"]


def picture(level: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), (level, 20, 90)).save(data, "JPEG")
    return data.getvalue()


def redirect(place: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def store(folder: Path, base: str | Path, share: float = 1.0) -> tuple[set[str], dict[str, str]]:
    """The photos that are stored, and the reasons of those that are missing."""
    photos = pd.DataFrame({"image_id": NAMES, "path": [f"train/{name}.jpg" for name in NAMES], "rotation": 0})
    paths = [folder / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
    write_shard(photos, base, *paths, max_missing_share=share)
    missing = pd.read_csv(paths[2])
    return set(Store(folder).image_ids), dict(zip(missing["image_id"], missing["reason"], strict=True))


@pytest.fixture
def ten(server: Any) -> Any:
    server.files = {f"/train/{name}.jpg": picture(20 * n) for n, name in enumerate(NAMES)}
    return server


def test_the_same_bytes_for_several_photos_are_missing_and_named(tmp_path, ten):
    for name in GONE:
        ten.files[f"/train/{name}.jpg"] = picture(255)
    found, missing = store(tmp_path, ten.base)
    assert found == set(NAMES) - set(GONE)
    assert missing.keys() == set(GONE)
    for reason in missing.values():
        assert "placeholder" in reason
        assert "the same bytes for 4 photos, p2 and p3" in reason


def test_the_same_bytes_turned_by_rotations_are_missing_too(tmp_path, ten):
    for name in GONE[:2]:
        ten.files[f"/train/{name}.jpg"] = picture(255)
    photos = pd.DataFrame({"image_id": NAMES, "path": [f"train/{name}.jpg" for name in NAMES], "rotation": 0})
    photos.loc[2, "rotation"] = 90
    paths = [tmp_path / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
    write_shard(photos, ten.base, *paths, max_missing_share=1)
    assert pd.read_csv(paths[2])["image_id"].tolist() == GONE[:2]


def test_placeholders_count_as_missing_and_are_asked_for_again_by_the_next_job(tmp_path, ten):
    right = {name: ten.files[f"/train/{name}.jpg"] for name in GONE}
    for name in GONE:
        ten.files[f"/train/{name}.jpg"] = picture(255)
    with pytest.raises(TooManyMissingError, match=r"at least 4 of 10 .*p2 \(placeholder"):
        store(tmp_path, ten.base, share=0.3)
    ten.files |= {f"/train/{name}.jpg": data for name, data in right.items()}
    assert store(tmp_path, ten.base, share=0)[0] == set(NAMES)


@pytest.mark.parametrize("gone", [GONE, GONE[:1]])
def test_a_redirect_to_a_file_of_another_name_is_missing(tmp_path, ten, gone):
    ten.files["/static/not_available.jpg"] = picture(255)
    for name in gone:
        ten.faults[f"/train/{name}.jpg"] = [redirect("/static/not_available.jpg")]
    found, missing = store(tmp_path, ten.base)
    assert found == set(NAMES) - set(gone)
    assert missing.keys() == set(gone)
    assert all("not_available.jpg" in reason for reason in missing.values())


def test_a_redirect_to_the_file_elsewhere_is_followed(tmp_path, ten):
    for name in NAMES:
        ten.files[f"/mirror/{name}.jpg?key=1"] = ten.files[f"/train/{name}.jpg"]
        ten.faults[f"/train/{name}.jpg"] = [redirect(f"/mirror/{name}.jpg?key=1")]
    assert store(tmp_path, ten.base) == (set(NAMES), {})


def test_a_storage_that_has_names_of_its_own_and_says_the_photos_is_followed(tmp_path, ten):
    def named(data: bytes, name: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Disposition", f"inline; filename*=UTF-8''{name}.jpg")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

        return answer

    for n, name in enumerate(NAMES):
        ten.faults[f"/train/{name}.jpg"] = [redirect(f"/objects/{n:04x}")]
        ten.faults[f"/objects/{n:04x}"] = [named(picture(20 * n), name)]
    assert store(tmp_path, ten.base) == (set(NAMES), {})


def test_copies_on_a_disk_are_photos(tmp_path):
    (tmp_path / "raw/train").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / f"raw/train/{name}.jpg").write_bytes(picture(7))
    assert store(tmp_path / "store", tmp_path / "raw") == (set(NAMES), {})
