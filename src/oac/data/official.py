"""The official annotation files of Open Images: where each one is, its size and its md5.

Names are those that `openimages` reads. A mirror is a folder or an address with the same files, either at the places
they have below `BASE` or under their plain names; `data.location` of a study file says where it is. Sizes and md5 are
those of the published files (V6 for train boxes, V5 for the rest); the photos are in a public bucket.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import urllib3

from oac.data.download import GoneError, fetch
from oac.data.http_client import connection_pool

BASE = "https://storage.googleapis.com/openimages"
# Photos of all splits: {PHOTOS}/{split}/{ImageID}.jpg. The bucket is public and needs no account.
PHOTOS = "https://open-images-dataset.s3.amazonaws.com"

# Photos that tell whether the bucket answers: the first of train and one of validation.
EXAMPLES = ("train/000002b66c9c498e.jpg", "validation/0fa1f463189c8e42.jpg")


@dataclass(frozen=True)
class OfficialFile:
    """A file of the release: its name here, its place below BASE, and what it must be."""

    name: str
    place: str
    bytes: int
    md5: str


FILES = {
    file.name: file
    for file in (
        OfficialFile(
            "class-descriptions-boxable.csv",
            "v5/class-descriptions-boxable.csv",
            12_011,
            "9846fd22fd2e68b45e3f3810a4c2a32a",
        ),
        OfficialFile(
            "oidv6-train-annotations-bbox.csv",
            "v6/oidv6-train-annotations-bbox.csv",
            2_258_447_590,
            "3c3e70cfaba5757ea5c2604b19cac3b2",
        ),
        OfficialFile(
            "validation-annotations-bbox.csv",
            "v5/validation-annotations-bbox.csv",
            25_105_048,
            "c5e8200df129ea6867e913e8b21fcab9",
        ),
        OfficialFile(
            "test-annotations-bbox.csv",
            "v5/test-annotations-bbox.csv",
            77_484_237,
            "1cc058a7003b4e73d47642276e9b123b",
        ),
        OfficialFile(
            "train/train-images-boxable-with-rotation.csv",
            "2018_04/train/train-images-boxable-with-rotation.csv",
            638_407_721,
            "a4ac0bcedb5c2df4d1b1230dc6b41b8f",
        ),
        OfficialFile(
            "validation/validation-images-with-rotation.csv",
            "2018_04/validation/validation-images-with-rotation.csv",
            15_245_485,
            "643a54e43b0bab8acce8817b4a569780",
        ),
        OfficialFile(
            "test/test-images-with-rotation.csv",
            "2018_04/test/test-images-with-rotation.csv",
            45_227_339,
            "d832feb775b3cb78077bf8ae350adce5",
        ),
    )
}


def fetch_annotation(name: str, base: str, target: str | Path, *, verify: bool) -> None:
    """Write the file `name` (as `openimages` calls it) to `target`, from the official address or another one.

    base: an address (http, https, file) or a folder. The file is looked for where the official address has it and
    under its plain name, there first at BASE and last elsewhere. verify: compare bytes and md5 with those published;
    without it a file packed by gzip, of a further suffix .gz, does too.

    Raises DownloadError: GoneError, naming both places, where it is in neither.
    """
    base = base.rstrip("/") if "://" in base else Path(base).resolve().as_uri()
    known = FILES[name]
    places = [known.place, name] if base == BASE else [name, known.place]
    expected = {"bytes": known.bytes, "md5": known.md5} if verify else {}
    # A mirror may have them packed by gzip, where sizes and md5 are others; readers unpack what is.
    packed = [] if verify else [f"{place}.gz" for place in places]
    for place in places + packed:
        try:
            fetch(f"{base}/{place}", target, **expected)  # type: ignore[arg-type]
            return
        except GoneError as error:
            last = error
    raise GoneError(f"{base} holds neither {places[0]} nor {places[1]} ({last})") from None


def check(base: str = BASE, photos: str = PHOTOS, timeout: float = 30.0) -> Iterator[tuple[str, str]]:
    """Ask the servers with HEAD requests; yield (address, what is wrong with it), the latter empty where all is well.

    Compared are the size and, where the server tells it (as Google's does), the md5 of each annotation file. Of
    photos, two are asked for.
    """
    options = {"timeout": timeout, "retries": urllib3.Retry(3, backoff_factor=1.0)}
    for file in FILES.values():
        url = f"{base}/{file.place}"
        yield url, _difference(connection_pool(url, **options), url, file)
    for path in EXAMPLES:
        url = f"{photos}/{path}"
        yield url, _difference(connection_pool(url, **options), url, None)


def _difference(pool: urllib3.PoolManager, url: str, file: OfficialFile | None) -> str:
    try:
        answer = pool.request("HEAD", url)
    except urllib3.exceptions.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    if answer.status != 200:
        return f"HTTP {answer.status} {answer.reason or ''}".strip()
    if file is None:
        kind = answer.headers.get("Content-Type", "")
        return "" if kind.startswith(("image/", "binary/", "application/octet")) else f"the content type is {kind!r}"
    size = answer.headers.get("Content-Length")
    if size != str(file.bytes):
        return f"{size} bytes, {file.bytes} are expected"
    for part in answer.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind == "md5" and base64.b64decode(value).hex() != file.md5:
            return f"the md5 is {base64.b64decode(value).hex()}, {file.md5} is expected"
    return ""
