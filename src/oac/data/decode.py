"""One photo on its way into the store: turned upright, RGB, shrunk, JPEG.

Orientation. A photo is turned by the rotation of the annotations and by nothing else, because its boxes are:
they are given on the pixels as stored (Open Images and VOC both), and the reader of the annotations, which sees
no photo, turns them by that rotation. The EXIF orientation is never applied. Where the rotation is 0 or unknown
it would turn the photo away from its boxes, elsewhere it would turn it twice. So that no reader of the store
applies it either, a photo with one is encoded again, without EXIF data.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

# Pillow knows more, of which some start other programs: Ghostscript for PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Ten times the largest photo that Flickr had; a damaged header can claim sizes that would take gigabytes.
MOST_PIXELS = 100_000_000
# JPEG decodes at down to an eighth of the side, which must leave a pixel.
LEAST_SIDE = 8
_EXIF_ORIENTATION = 0x0112
_UNDO = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ROTATIONS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


class MissingPhotoError(ValueError):
    """A photo cannot be used; the message is the reason, short enough for a table."""


@dataclass(frozen=True)
class Photo:
    """A photo as it is stored: JPEG bytes, and width and height in pixels."""

    data: bytes
    width: int
    height: int


def prepare(data: bytes, *, rotation: int = 0, long_side: int = 512, quality: int = 90) -> Photo:
    """Decode a photo and give it the form the store keeps: an upright RGB JPEG of at most `long_side` pixels.

    rotation: degrees counter-clockwise, 0, 90, 180 or 270, the whole turn of the stored pixels: the EXIF
    orientation does not count (see the module's text). A photo is never enlarged. An RGB JPEG that is upright and
    small enough keeps its bytes, as encoding it again would only blur it.

    Raises MissingPhotoError with the reason where the bytes are not a photo in one of FORMATS or cannot be decoded to
    the end.
    """
    with _opened(data) as image:
        turn = _ROTATIONS[rotation] if rotation else None
        plain = image.format == "JPEG" and image.mode == "RGB" and not _turned_by_viewers(image)
        if plain and turn is None and max(image.size) <= long_side:
            _check_side(image.size)
            return Photo(data, *image.size)
        upright = _rgb(image)
        upright.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
        _check_side(upright.size)
        if turn is not None:
            upright = upright.transpose(turn)
        encoded = io.BytesIO()
        upright.save(encoded, "JPEG", quality=quality)
        return Photo(encoded.getvalue(), *upright.size)


def read_rgb(data: bytes) -> Image.Image:
    """Decode a photo as it is stored, RGB, at its own size and without its EXIF orientation (see the module's text).

    Raises MissingPhotoError as `prepare` does.
    """
    with _opened(data) as image:
        return _rgb(image)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Decode a photo to its last row, which shows a truncated or damaged file; any failure is a MissingPhotoError."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise MissingPhotoError(f"not a readable image: it claims {image.width * image.height:,} pixels")
            stored = _as_stored(image)
            image.load()
            yield image.transpose(stored) if stored is not None else image
    except MissingPhotoError:
        raise
    except UnidentifiedImageError:  # its message has a memory address
        raise MissingPhotoError(f"not a readable image: of none of the formats {', '.join(FORMATS)}") from None
    except Exception as error:
        # A damaged file can make the decoder fail in any way; the run goes on, and the reason is reported.
        raise MissingPhotoError(f"not a readable image: {type(error).__name__}: {error}") from error


def _as_stored(image: Image.Image) -> Image.Transpose | None:
    """What undoes the turn that Pillow gives a TIFF as it loads it, which no other format gets."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if image.format == "TIFF" else 1
    return _UNDO.get(orientation)


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
    try:
        return 2 <= int(image.getexif().get(_EXIF_ORIENTATION, 1)) <= 8
    except Exception:
        # EXIF data that cannot be read say nothing, and the pixels may still be good.
        return False
