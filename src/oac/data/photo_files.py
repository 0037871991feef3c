"""Files of photos: their paths and names, ids as short as can be, and sizes and times, which tell of changes."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from oac.data.decode import suffixes

# Folders that desktops, archives and file systems make beside what is kept.
LITTER = (
    "__macosx",
    "__pycache__",
    "$recycle.bin",
    "recycler",
    "#recycle",
    "@recycle",
    "system volume information",
    "network trash folder",
    "temporary items",
    "lost+found",
)


def plain_path(path: str) -> str:
    """A path as written in a user's file, with slashes, and without blanks around it or parts that lead nowhere (./).

    One that is absolute or leads upwards stays so, for `check_release` to refuse.
    """
    path = path.strip().replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" * path.startswith("/") + "/".join(parts)


def as_known(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """How each name of a user's file is written among known ones; one that is not among them is a plain path.

    It may be there as it stands, as a plain path, or with é as one character where it is two, or two.
    """
    known = dict.fromkeys(known)
    forms = {unicodedata.normalize("NFC", name): name for name in known if not name.isascii()}
    found = {}
    for name in names:
        path = name if name in known else plain_path(name)
        found[name] = path if path in known else forms.get(unicodedata.normalize("NFC", path), path)
    return found


def is_photo(path: str) -> bool:
    """Whether a file is a photo by its name, and the name can stand in a table."""
    name = path.rpartition("/")[2]
    return name.lower().endswith(suffixes()) and not is_litter(name) and is_text(path)


def is_text(path: str) -> bool:
    """Whether a path is text: a file system allows any bytes."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


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

    What a desktop or an editor leaves is passed over. Raises OSError, naming it, for a folder that cannot be read.
    """
    # Links can lead round in a circle, and to a folder above.
    seen = {str(above) for above in Path(os.path.realpath(folder)).parents}
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_litter(name))
        yield Path(place), sorted(names)


def paths_below(folder: str | Path) -> Iterator[str]:
    """The paths of all files that `walk` finds, relative to the folder, with slashes."""
    for place, names in walk(folder):
        below = place.relative_to(folder).as_posix()
        yield from names if below == "." else (f"{below}/{name}" for name in names)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def once(folder: str | Path, paths: Sequence[str]) -> tuple[list[str], int]:
    """Paths below a folder without those that are links to another of them, and how many those are.

    Of several links to a file that is not among them the first stays.
    """
    links = {path for path in paths if os.path.islink(f"{folder}/{path}")}
    if not links:
        return list(paths), 0
    first: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: path in links):
        first.setdefault(os.path.realpath(f"{folder}/{path}"), path)
    kept = set(first.values())
    return [path for path in paths if path in kept], len(paths) - len(kept)


def links_note(count: int) -> tuple[str, ...]:
    """Say how many links `once` left out; nothing without."""
    return (
        (f"Links to other photos of the folder, left out so that each photo counts once: {count:,}.",)
        if count
        else ()
    )


def is_litter(name: str) -> bool:
    """Whether a name is of what a desktop or an editor leaves: ._photo.jpg, .ipynb_checkpoints, @eaDir, LITTER."""
    return name.casefold().startswith((".", "@eadir")) or name.casefold() in LITTER


def file_state(path: str | Path) -> str:
    """The size of a file and its time in nanoseconds, as text; a link that leads nowhere has none.

    The time tells of a photo that was replaced by one of as many bytes, and of an older file put back.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # the latter of a name that no file can have
        return "absent"
    if not stat.S_ISREG(found.st_mode):
        return "absent"
    return f"{found.st_size}\t{found.st_mtime_ns}"


def file_states(folder: Path) -> Iterator[str]:
    """Path and state of each file at any depth below a folder, sorted; nothing where there is no folder."""
    yield from (f"{path}\t{file_state(f'{folder}/{path}')}" for path in paths_below(folder))


def present(folder: str | Path, path: str) -> str:
    """A path below a folder as the file there has it, whose é may be one character where here it is two, or two."""
    if path.isascii() or os.path.exists(f"{folder}/{path}"):
        return path
    others = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    return next((other for other in others if os.path.exists(f"{folder}/{other}")), path)
