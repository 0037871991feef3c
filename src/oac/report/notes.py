"""What a reader of a study's page must know about its photos, in sentences."""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from oac.report.results import BOX_NAMES

MOST_REASONS = 10


def missing_photos(missing: pd.DataFrame) -> str:
    """Say how many photos of the subset are not in the store, by reason and format. missing: missing.csv as text."""
    said = f"Photos of the subset that could not be had or read, and are left out: {len(missing):,}"
    if missing.empty:
        return f"{said}."
    kinds = Counter((_reason(*row), _format(row[0])) for row in zip(missing["path"], missing["reason"], strict=True))
    first = [f"{count:,} {form}, {reason}" for (reason, form), count in kinds.most_common(MOST_REASONS)]
    rest = [f"{kinds.total() - sum(count for _, count in kinds.most_common(MOST_REASONS)):,} for other reasons"]
    return f"{said}: {'; '.join(first + rest * (len(kinds) > MOST_REASONS))} (`data/missing.csv` says which)."


def _reason(path: str, reason: str) -> str:
    """A reason without what it tells of one photo: the place before it and the detail behind it."""
    places = (path, urllib.parse.quote(path))
    for place in places:
        reason = reason.rpartition(f"{place}: ")[2]
    return reason.partition(": ")[0]


def _format(path: str) -> str:
    """The format of a file by its name."""
    name, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return suffix.upper() if name and dot else "without a suffix"


def shown_by_all(metrics: Iterable[Mapping[str, Any]]) -> str | None:
    """Name the classes that every test photo shows, of which there is no AP; None without. metrics: of all runs."""
    names = dict.fromkeys(name for run in metrics for name in run.get("shown_by_all", ()))
    if not names:
        return None
    return (
        "Classes that every test photo shows, so that any ranking is perfect; they have no average precision and are"
        f" left out of the mean: {', '.join(names)}."
    )


def other_files(count: int) -> str | None:
    """Say how many files of a folder of photos are none by their names; None where all are."""
    return f"Files of the folder that are no photos by their names, and are left out: {count:,}." if count else None


def boxed_photos(recall: Mapping[str, Any]) -> str | None:
    """Say of each source of boxes how many photos have one; None without a source.

    recall: the contents of recall.json, or `coverage`.
    """
    counts: dict[str, list[int]] = {}
    for sources in recall["splits"].values():
        for source, found in sources.items():
            before = counts.get(source, [0, 0])
            counts[source] = [before[0] + found["photos_without_boxes"], before[1] + found["photos"]]
    if not counts:
        return None
    boxed = [
        f"{BOX_NAMES.get(source, source)} {photos - missing:,} of {photos:,}"
        for source, (missing, photos) in counts.items()
    ]
    others = " Object crops take the others whole." if any(missing for missing, _ in counts.values()) else ""
    return f"Photos with a box, by source of boxes: {'; '.join(boxed)}.{others}"


def coverage(files: Sequence[str | Path]) -> dict[str, Any]:
    """Count the photos without a box of each source, as recall.json does, for a study that has no recall.json.

    files: the list of photos and tables of proposals, named like their sources; none of a study without boxes.
    """
    if not files:
        return {"splits": {}}
    ids, *boxed = (set(pd.read_parquet(file, columns=["image_id"])["image_id"]) for file in files)
    counts = {
        Path(file).stem: {"photos_without_boxes": len(ids - found), "photos": len(ids)}
        for file, found in zip(files[1:], boxed, strict=True)
    }
    return {"splits": {"all": counts}}


def undrawn_names(names: Sequence[str]) -> str | None:
    """Name the classes whose names no font of this machine can write in a figure; None where all can be."""
    if not names:
        return None
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
    return (
        f"Class names that figures show as squares, because no font of this machine has their characters: {shown}."
        " Install one that has (Noto Sans CJK for Chinese, Japanese and Korean) and draw the figures again."
    )


def replaced_photos(histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> str | None:
    """Name the runs that met photos they could not decode, with counts of draws; None where there is none.

    histories: for each run's name the parsed lines of its history.jsonl. Its `damaged` counts on from line to line: a
    photo as often as it was drawn, in vain, in `images_seen` draws.
    """
    runs = []
    for name, lines in histories.items():
        last = [line for line in lines if line.get("damaged")][-1:]
        runs += [f"{name} {line['damaged']:,} of {line['images_seen']:,}" for line in last]
    if not runs:
        return None
    return f"Photos that could not be decoded in training, each draw replaced by the next photo: {'; '.join(runs)}."


def long_queues(histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> str | None:
    """Name the runs whose queue of keys is longer than an epoch; None where there is none. histories: as above."""
    runs = []
    for name, (first, *lines) in ((name, list(lines)) for name, lines in histories.items()):
        # SwAV's queue holds what codes are computed among, no negatives.
        moco = first["recipe"].get("method") == "moco_v2"
        queue = first["recipe"].get("options", {}).get("queue", 0) if moco else 0
        seen = [line for line in lines if line.get("epoch")][-1:]
        runs += [f"{name} {queue:,}" for line in seen if queue > line["images_seen"] / line["epoch"]]
    if not runs:
        return None
    return (
        "Queues of more keys than there are photos, so that a photo's own keys are among its negatives and the loss"
        f" rises until the queue is full: {'; '.join(runs)}. Lower `queue`."
    )
