"""Files of photos: ids as short as can be, and their sizes, which tell of most changes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path


def short_ids(paths: Sequence[str], names: Sequence[str] | None = None) -> list[str]:
    """An id for each path, no two alike: its name, else the path without its suffix, else the whole path.

    paths: of distinct photos. names: what to try first, by default the file's name without its suffix.
    """
    whole = [re.sub(r"\.[^./]*$", "", path) for path in paths]
    first = names if names is not None else [path.rpartition("/")[2] for path in whole]
    choices = list(zip(first, whole, paths, strict=True))
    level = [0] * len(choices)
    while True:
        ids = [choice[place] for choice, place in zip(choices, level, strict=True)]
        counts = Counter(ids)
        twice = [row for row, name in enumerate(ids) if counts[name] > 1 and level[row] < 2]
        if not twice:
            return ids
        for row in twice:
            level[row] += 1


def sizes(folder: Path) -> Iterator[str]:
    """Path and size of each file at any depth below a folder, sorted; nothing where there is no folder."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            yield f"{path.relative_to(folder).as_posix()}\t{path.stat().st_size}"
