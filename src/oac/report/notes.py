"""What a reader of a study's page must know about its photos, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MANY = 5  # missing verdicts, from which on they are counted


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


def shortened(verdicts: str) -> str:
    """The verdicts without those that there are none of, which a sentence counts where they are many.

    verdicts: a list in Markdown, a line each.
    """
    lines = verdicts.strip().splitlines()
    kept = [line for line in lines if not line.startswith("- No verdict on ")]
    missing = len(lines) - len(kept)
    if missing < MANY:
        return "\n".join(lines)
    return "\n".join(
        [*kept, f"- No verdict on {missing} comparisons with a variant of fewer than 3 seeds (`verdicts.md`)."]
    )
