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


def walk(folder: str | Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder at any depth below one, linked folders too, and the names of the files in it, sorted.

    What a desktop or an editor leaves is passed over.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # links can lead round in a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_litter(name))
        yield Path(place), sorted(names)


def is_litter(name: str) -> bool:
    """Whether a name is of what a desktop or an editor leaves: ._photo.jpg, .ipynb_checkpoints, @eaDir."""
    return name.startswith((".", "@eaDir"))


def size(path: Path) -> str:
    """The size of a file as text; a link that leads nowhere has none."""
    return str(path.stat().st_size) if path.is_file() else "absent"


def sizes(folder: Path) -> Iterator[str]:
    """Path and size of each file at any depth below a folder, sorted; nothing where there is no folder."""
    for place, names in walk(folder):
        yield from (f"{(place / name).relative_to(folder).as_posix()}\t{size(place / name)}" for name in names)
