"""One photo on its way into the store: turned upright, RGB, shrunk, JPEG.

Orientation. A photo is turned by the rotation of the annotations and by nothing else, because its boxes are:
they are given on the pixels as stored (Open Images and VOC both), and the reader of the annotations, which sees
no photo, turns them by that rotation. The EXIF orientation is not applied. Where the rotation is 0 or unknown
it would turn the photo away from its boxes, elsewhere it would turn it twice. So that no reader of the store
applies it either, a photo with one is encoded again, without EXIF data. Photos without boxes have nothing
to be turned away from, and are turned by it (`exif`). HEIC is turned by its decoder, as its standard has it, boxes
or not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, UnidentifiedImageError

# Pillow knows more, of which some start other programs: Ghostscript for PostScript.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "AVIF")
HEIC_SUFFIXES = (".heic", ".heif")
try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIC_IS_READ = False
else:
    HEIC_IS_READ = True
    register_heif_opener()
    FORMATS += ("HEIF",)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # AVIF is tried first
# Ten times the largest photo that Flickr had; a damaged header can claim sizes that would take gigabytes.
MOST_PIXELS = 100_000_000
# JPEG decodes at down to an eighth of the side, which must leave a pixel.
LEAST_SIDE = 8
_EXIF_ORIENTATION = 0x0112
_TURN = {  # what makes a photo of an EXIF orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNDO = _TURN | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_ROTATIONS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


class MissingPhotoError(ValueError):
    """A photo cannot be used; the message is the reason, short enough for a table."""


@dataclass(frozen=True)
class Photo:
    """A photo as the store keeps it: JPEG bytes, width and height in pixels, and the size of the source's file."""

    data: bytes
    width: int
    height: int
    source_size: tuple[int, int]


@cache
def suffixes() -> tuple[str, ...]:
    """The suffixes of files that are photos by their names, in lower case; HEIC's whether it can be read or not."""
    known = (suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
    return tuple(dict.fromkeys((*known, *HEIC_SUFFIXES)))


def prepare(data: bytes, *, rotation: int = 0, long_side: int = 512, quality: int = 90, exif: bool = False) -> Photo:
    """Decode a photo and give it the form the store keeps: an upright RGB JPEG of at most `long_side` pixels.

    rotation: degrees counter-clockwise, 0, 90, 180 or 270, the whole turn of the stored pixels: the EXIF
    orientation does not count (see the module's text), unless exif asks for it. A photo is never enlarged. An RGB
    JPEG that is upright and small enough keeps its bytes, as encoding it again would only blur it.

    Raises MissingPhotoError with the reason where the bytes are not a photo in one of FORMATS or cannot be decoded to
    the end.
    """
    with _opened(data, exif=exif) as image:
        turn = _ROTATIONS[rotation] if rotation else None
        plain = image.format == "JPEG" and image.mode == "RGB" and not _turned_by_viewers(image)
        if plain and turn is None and max(image.size) <= long_side:
            _check_side(image.size)
            return Photo(data, *image.size, image.size)
        upright = _rgb(image)
        upright.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
        _check_side(upright.size)
        if turn is not None:
            upright = upright.transpose(turn)
        encoded = io.BytesIO()
        upright.save(encoded, "JPEG", quality=quality)
        return Photo(encoded.getvalue(), *upright.size, image.size)


def read_rgb(data: bytes) -> Image.Image:
    """Decode a photo as it is stored, RGB, at its own size and without its EXIF orientation (see the module's text).

    Raises MissingPhotoError as `prepare` does.
    """
    with _opened(data) as image:
        return _rgb(image)


@contextmanager
def _opened(data: bytes, *, exif: bool = False) -> Iterator[Image.Image]:
    """Decode a photo to its last row, which shows a truncated or damaged file; any failure is a MissingPhotoError.

    exif: turn it by its EXIF orientation.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise MissingPhotoError(f"not a readable image: it claims {image.width * image.height:,} pixels")
            turn = _transpose(image, exif)
            image.load()
            yield image.transpose(turn) if turn is not None else image
    except MissingPhotoError:
        raise
    except UnidentifiedImageError:  # its message has a memory address
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not HEIC_IS_READ:
            raise MissingPhotoError(
                'a HEIC photo, which needs the package pillow-heif (pip install -e ".[heic]")'
            ) from None
        raise MissingPhotoError(f"not a readable image: of none of the formats {', '.join(FORMATS)}") from None
    except Exception as error:
        # A damaged file can make the decoder fail in any way; the run goes on, and the reason is reported.
        raise MissingPhotoError(f"not a readable image: {type(error).__name__}: {error}") from error


def _transpose(image: Image.Image, exif: bool) -> Image.Transpose | None:
    """What to do to a photo that is loaded; asked before that, as Pillow turns a TIFF, and no other, by itself."""
    if exif == (image.format == "TIFF"):
        return None
    return (_TURN if exif else _UNDO).get(_orientation(image))


def _check_side(size: tuple[int, int]) -> None:
    if min(size) < LEAST_SIDE:
        raise MissingPhotoError(f"not a readable image: {size[0]} x {size[1]} pixels would be left of it")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        # Transparent pixels may have any colour below; white is what a viewer shows.
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8, which Pillow would cut off at 255: a white photo."""
    levels = np.asarray(image).astype(np.int64)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        raise MissingPhotoError("not a readable image: its pixels are no levels of 8 or 16 bits")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _turned_by_viewers(image: Image.Image) -> bool:
    """Whether programs that obey EXIF data show the photo turned or mirrored."""
    return _orientation(image) in _TURN


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        # EXIF data that cannot be read say nothing, and the pixels may still be good.
        return 1
