"""Which files a study's source is read from, and how: the one place that knows the sources apart.

A source that lies in a folder is a module of this package, named like the source, with four functions. The options
are those under its name in the study file. Adding one is that module and its keys in the schema.
- `files(folder, **options)`: the files it is read from, as far as they are known unseen.
- `read_release(folder, **options)`.
- `most_photos(folder, **options)`: for each split the number of its photos, or more.
- `state(folder, **options)`: lines, another one where a file that is not among `files` came, went or changed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oac.data import authors, official, openimages, photo_sizes
from oac.data.photo_files import file_state, present
from oac.data.tables import Release, check_lines
from oac.data.web import is_server
from oac.user_files import BadFileError, reading

DOWNLOADED = ("synthetic", "openimages")  # read from annotation files under their official names
PHOTOS_PER_SHARD, MOST_SHARDS = 1000, 999  # where a study does not say how many shards it has


def annotation_files(data: Mapping[str, Any]) -> list[str]:
    """The annotation files that are downloaded for a study, by their official names."""
    if data["source"] in DOWNLOADED:
        return openimages.annotation_files(list(splits(data)))
    return authors.annotation_files() if data["source"] == "dicts" else []


def local_files(data: Mapping[str, Any]) -> list[str]:
    """The files of a study's source that are read where they lie."""
    if data["source"] in DOWNLOADED:
        return []
    if data["source"] == "dicts":
        return authors.files(local_folder(data["location"]))
    return _module(data["source"]).files(local_folder(data["location"]), **_options(data))


def splits(data: Mapping[str, Any]) -> Sequence[str]:
    """The splits of a study's source."""
    if given := data["store"].get("shards"):
        return list(given)
    return ("train", "validation", "test") if data["source"] == "synthetic" else ("train", "test")


def shards(data: Mapping[str, Any]) -> dict[str, int]:
    """How many shards each split has: as the study file says, else one for so many photos.

    Raises FileNotFoundError and ValueError where the source is not there to count.
    """
    given: dict[str, int] | None = data["store"].get("shards")
    if given:
        return given
    if data["source"] == "synthetic":
        counts = {split: data["synthetic"][split] for split in splits(data)}
    elif "photos" in data:
        raise ValueError("the photos lie elsewhere (data.photos) and cannot be counted: say data.store.shards")
    else:
        folder = local_folder(data["location"])
        counts = _most_photos(data["source"], folder, json.dumps(_options(data), sort_keys=True))
    return {split: min(MOST_SHARDS, max(1, -(-count // PHOTOS_PER_SHARD))) for split, count in counts.items()}


def fingerprint(data: Mapping[str, Any]) -> str | None:
    """A hash of what a source in a folder is made of; None of others, and where the folder is not there.

    The folder's own place is no part of it, so a data set may be moved. Sizes and times of files are.
    """
    if data["source"] in DOWNLOADED or not Path(folder := local_folder(data["location"])).is_dir():
        return None
    options = json.dumps(_options(data), sort_keys=True)
    return _fingerprint(data["source"], folder, options, tuple(local_files(data)))


@functools.cache
def _fingerprint(source: str, folder: str, options: str, files: tuple[str, ...]) -> str:
    # Snakemake sees newer files only, not older ones put in place. A folder's time tells of litter too.
    lines = [file_state(file) for file in files if not Path(file).is_dir()]
    if source != "dicts":
        lines += _module(source).state(folder, **json.loads(options))
    text = "\n".join(lines)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


@functools.cache
def _most_photos(source: str, folder: str, options: str) -> dict[str, int]:
    counts: dict[str, int] = _module(source).most_photos(folder, **json.loads(options))
    return counts


def _options(data: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a study's source. Photos have one at most, and `photos` is a key of its own; dicts have none."""
    if data["source"] == "photos":
        return {"labels": data["labels"]} if "labels" in data else {}
    return {} if data["source"] == "dicts" else dict(data[data["source"]])


def local_folder(address: str) -> str:
    """The path of a file:// address; whatever else it is stays as it is."""
    return urllib.parse.unquote(urllib.parse.urlsplit(address).path) if address.startswith("file://") else address


def difficult_marks(data: Mapping[str, Any]) -> str | None:
    """The folder whose annotations mark difficult objects (voc.difficult_objects); None where nothing does."""
    return local_folder(data["location"]) if data["source"] == "voc" else None


def annotations_address(data: Mapping[str, Any]) -> str:
    """Where annotation files are downloaded from."""
    return data.get("release", official.BASE) if data["source"] == "dicts" else data["location"]


def photos_address(data: Mapping[str, Any]) -> str:
    """Where photos come from: `photos`, else beside the annotations, which of the official addresses only one has."""
    address = data.get("photos") or annotations_address(data)
    return official.PHOTOS if address.rstrip("/") == official.BASE else address


def is_verified(data: Mapping[str, Any]) -> bool:
    """Whether annotation files must have the published sizes and md5."""
    return data.get("verify", data["source"] != "synthetic" and annotations_address(data) == official.BASE)


def read(options: Mapping[str, Any], location: str, release: Path, photos: str) -> Release:
    """Read a study's source.

    options: `source`, the options of that source under its name, and `shards`, whose keys are the splits. location:
    where a source that lies in a folder lies. release: folder of the downloaded annotation files. photos: folder or
    address of the photos; boxes in pixels become shares of the sizes that the photos of a folder have. Raises as the
    source does, and BadFileError where a split has no photo.
    """
    source, folder = options["source"], Path(local_folder(location))
    place = release if source in DOWNLOADED else folder
    labels = str(Path(options["labels"])) if "labels" in options else None
    with reading(place, beside=labels), np.errstate(over="ignore"):  # numbers without bounds make bad boxes
        if source in DOWNLOADED:
            found = openimages.read_release(release, list(options["shards"]))
        elif source == "dicts":
            found = authors.read_release(folder, release)
        else:
            found = _module(source).read_release(folder, **_options(options))
        check_lines(found, place)
    there = set(found.images["split"])
    if absent := [split for split in options["shards"] if split not in there]:
        raise BadFileError(
            f"{place}: the data set has no photos of the split {absent[0]}, only of"
            f" {', '.join(sorted(there)) or 'none'}: name some in its files, or say data.store.shards without it if"
            " nothing needs it"
        )
    takes = f"source {source} takes pixels: multiply corners by the width and height of their photos"
    found = photo_sizes.without_shares(found, place, takes)
    if is_server(photos):
        return photo_sizes.scaled(found, None)
    place = Path(local_folder(photos))
    return photo_sizes.scaled(_as_present(found, place), place)


def _as_present(release: Release, folder: Path) -> Release:
    """Name photos as their files do where these code letters otherwise, and say so."""
    paths = release.images["path"].tolist()
    there, changed = set(paths), []
    for row, path in enumerate(paths):
        if not path.isascii() and (other := present(folder, path)) not in there:
            paths[row] = other
            there.add(other)
            changed.append(path)
    if not changed:
        return release
    note = (
        "Photos whose files have é and the like as one character where their list has two, or the reverse, which are"
        f" found all the same: {len(changed):,}, the first: {changed[0]}."
    )
    return replace(release, images=release.images.assign(path=paths), notes=(*release.notes, note))


def _module(source: str) -> ModuleType:
    return importlib.import_module(f"oac.data.{source}")
