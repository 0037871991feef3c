"""What a reader of a study's page must know about its photos, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def missing_photos(count: int) -> str:
    """Say how many photos of the subset are not in the store."""
    where = " (`data/missing.csv` says which and why)." if count else "."
    return f"Photos of the subset that could not be had or read, and are left out: {count}{where}"


def other_files(count: int) -> str | None:
    """Say how many files of a folder of photos are none by their names; None where all are."""
    return f"Files of the folder that are no photos by their names, and are left out: {count:,}." if count else None


def photos_without_boxes(recall: Mapping[str, Any]) -> str | None:
    """Name the sources that have no box for some photos, of which object crops then take the whole; None without.

    recall: the contents of recall.json.
    """
    counts: dict[str, list[int]] = {}
    for sources in recall["splits"].values():
        for source, found in sources.items():
            before = counts.get(source, [0, 0])
            counts[source] = [before[0] + found["photos_without_boxes"], before[1] + found["photos"]]
    few = [f"{source} {missing:,} of {photos:,}" for source, (missing, photos) in counts.items() if missing]
    if not few:
        return None
    return f"Photos without a box, which object crops take as a whole, by source of boxes: {'; '.join(few)}."


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
