"""What a reader of a study's page must know about its photos, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def missing_photos(count: int) -> str:
    """Say how many photos of the subset are not in the store."""
    where = " (`data/missing.csv` says which and why)." if count else "."
    return f"Photos of the subset that could not be had or read, and are left out: {count}{where}"


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
