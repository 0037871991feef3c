"""Files that users hand in: their text, whatever program wrote it, and errors that name the file."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

GZIP = b"\x1f\x8b"
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_BEGINNING = 4096  # bytes that are looked at


class BadFileError(ValueError):
    """A file that cannot be read as what it should be: the message names it, and what to do."""


DEFECTS = (AttributeError, NameError, AssertionError, ImportError, MemoryError)  # of the code or of the machine


@contextmanager
def reading(path: str | Path, fault: str = "cannot be read", *, beside: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong in a block that reads a file into a sentence that names it.

    fault: what to say of the file before the cause. beside: another file that is read in the block. What passes: an
    OSError with a file name, a ValueError that names either, and what no content of a file causes (DEFECTS). Raises
    BadFileError.
    """
    try:
        yield
    except DEFECTS:
        raise
    except Exception as error:
        named = any(name in str(error) for name in (str(path), beside) if name)
        if (named and isinstance(error, ValueError | FileNotFoundError)) or (
            isinstance(error, OSError) and error.filename
        ):
            raise
        if isinstance(error, UnicodeDecodeError):
            raise BadFileError(
                f"{path} is not UTF-8 (byte {error.object[error.start]:#04x} stands for no character there): save it"
                " as UTF-8, which spreadsheets call `CSV UTF-8`"
            ) from error
        kind = "" if type(error) in (ValueError, BadFileError) else f"{type(error).__name__}: "
        raise BadFileError(f"{path} {fault}: {kind}{error}") from error


@contextmanager
def open_text(path: str | Path) -> Iterator[TextIO]:
    """Open a text in UTF-8, or in UTF-16 with its mark, packed by gzip or not; line ends stay as they are.

    Raises BadFileError, naming the file, where it is no such text, also while it is read.
    """
    with reading(path), open_bytes(path) as file:
        beginning = cast("io.BufferedReader", file).peek(_BEGINNING)[:_BEGINNING]
        encoding = _MARKS.get(beginning[:2], "utf-8-sig")
        if encoding != "utf-16" and b"\0" in beginning:
            raise BadFileError(f"{path} is no text in UTF-8: save it as such (a spreadsheet as `CSV UTF-8`)")
        with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            yield text


def open_bytes(path: str | Path) -> BinaryIO:
    """Open a file, unpacked where it is packed by gzip, whatever its name."""
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
    return cast("BinaryIO", gzip.open(path) if packed else open(path, "rb"))


def read_text(path: str | Path) -> str:
    """The text of a file, as `open_text` reads it."""
    with open_text(path) as file:
        return file.read()
