"""Which files a study's source is read from, and how: the one place that knows the sources apart.

A source that lies in a folder is a module of this package, named like the source, with two functions: `files(folder,
**options)`, the files it is read from, the first of them below `folder` and known without looking, and
`read_release(folder, **options)`. The options are those under its name in the study file. Adding one is that module
and its keys in the schema.
"""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from oac.data import authors, official, openimages
from oac.data.tables import Release

DOWNLOADED = ("synthetic", "openimages")  # read from annotation files under their official names


def annotation_files(data: Mapping[str, Any]) -> list[str]:
    """The annotation files that are downloaded for a study, by their official names."""
    if data["source"] in DOWNLOADED:
        return openimages.annotation_files(list(data["store"]["shards"]))
    return authors.annotation_files() if data["source"] == "dicts" else []


def local_files(data: Mapping[str, Any]) -> list[str]:
    """The files of a study's source that are read where they lie."""
    if data["source"] in DOWNLOADED:
        return []
    if data["source"] == "dicts":
        return authors.files(local_folder(data["location"]))
    return _module(data["source"]).files(local_folder(data["location"]), **data[data["source"]])


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


def read(options: Mapping[str, Any], files: Sequence[str], release: Path) -> Release:
    """Read a study's source.

    options: `source`, the options of that source under its name, and `shards`, whose keys are the splits. files: what
    `local_files` lists, which says where the source lies. release: folder of the downloaded annotation files.
    """
    source = options["source"]
    if source in DOWNLOADED:
        return openimages.read_release(release, list(options["shards"]))
    if source == "dicts":
        return authors.read_release(Path(files[0]).parent, release)
    module, own = _module(source), options[source]
    depth = len(Path(module.files("", **own)[0]).parts)
    return module.read_release(Path(files[0]).parents[depth - 1], **own)


def _module(source: str) -> ModuleType:
    return importlib.import_module(f"oac.data.{source}")
