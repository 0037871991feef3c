"""Short ids of photos: the file's name where that is enough, else as much of the path as it takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence


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
