from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from oac.data.decode import FORMATS, MissingPhotoError, prepare


def picture(width: int = 64, height: int = 32) -> Image.Image:
    """Four quarters of different colours, so that every turn and flip shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 250, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 250)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        return np.asarray(image).astype(int)


def with_orientation(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded(picture(), quality=95, exif=exif)


def test_a_photo_that_is_fine_keeps_its_bytes() -> None:
    data = encoded(picture(), quality=70)
    photo = prepare(data, long_side=64)
    assert (photo.data, photo.width, photo.height) == (data, 64, 32)
    # 0 is no orientation; some cameras write it.
    for number in (0, 1):
        assert prepare(with_orientation(number)).data == with_orientation(number)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((100, 50), (40, 20)), ((50, 100), (20, 40)), ((40, 9), (40, 9)), ((100, 20), (40, 8))],
)
def test_photos_shrink_to_the_long_side_and_never_grow(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = prepare(encoded(picture(*size)), long_side=40)
    assert (photo.width, photo.height) == expected
    assert decoded(photo.data).shape == (*expected[::-1], 3)


@pytest.mark.parametrize("size", [(40, 3), (400, 1), (400, 70)])
def test_a_photo_of_which_nearly_nothing_would_be_left_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(MissingPhotoError, match=r"40 x \d pixels would be left"):
        prepare(encoded(picture(*size)), long_side=40)


@pytest.mark.parametrize("number", range(2, 9))
def test_exif_orientation_is_not_applied_and_not_kept(number: int) -> None:
    photo = prepare(with_orientation(number))
    expected = np.asarray(Image.open(io.BytesIO(with_orientation(1)))).astype(int)
    assert (photo.height, photo.width) == expected.shape[:2]
    assert np.abs(decoded(photo.data) - expected).mean() < 12
    with Image.open(io.BytesIO(photo.data)) as image:
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), np.asarray(image))


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_rotation_of_the_annotations_is_the_whole_turn(rotation: int, orientation: int) -> None:
    photo = prepare(with_orientation(orientation), rotation=rotation)
    expected = np.asarray(picture().rotate(rotation, expand=True)).astype(int)
    found = decoded(photo.data)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 12


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGB", "WEBP"),
    ],
)
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    photo = prepare(encoded(picture().convert(mode), kind))
    expected = np.asarray(picture().convert(mode).convert("RGB")).astype(int)
    assert np.abs(decoded(photo.data) - expected).mean() < 12


def test_transparency_shows_white() -> None:
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert decoded(prepare(encoded(image, "PNG")).data).min() > 250


@pytest.mark.parametrize(
    "data", [b"", b"<html>gone</html>", encoded(picture(200, 200))[:-200], encoded(picture())[:30]]
)
def test_what_is_not_a_whole_image_is_refused(data: bytes) -> None:
    with pytest.raises(MissingPhotoError, match="not a readable image"):
        prepare(data)


def test_mutated_jpegs_are_read_or_refused(shared: Path) -> None:
    whole = (shared / "voc2007" / "JPEGImages" / "000012.jpg").read_bytes()
    generator = random.Random(0)
    counts = {"read": 0, "refused": 0}
    for _ in range(300):
        data = bytearray(whole)
        # Half of the damage hits the header, where the decoder takes its decisions.
        for _ in range(generator.randint(1, 8)):
            data[generator.randrange(generator.choice((len(data), 700)))] = generator.randrange(256)
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)) :]
        try:
            photo = prepare(bytes(data), long_side=64)
        except MissingPhotoError:
            counts["refused"] += 1
        else:
            counts["read"] += 1
            assert decoded(photo.data).shape == (photo.height, photo.width, 3)
    assert min(counts.values()) > 50, counts


@pytest.mark.parametrize("kind", ["EPS", "PCX", "ICNS", "TGA"])
def test_formats_that_photos_do_not_have_are_not_opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, a program that bytes from a server must not reach."""
    data = encoded(picture(), kind)
    opened: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *values, **_: opened.append(values))
    with pytest.raises(MissingPhotoError, match="not a readable image: of none of the formats JPEG"):
        prepare(data)
    assert not opened


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "MPO", "AVIF"])
def test_formats_that_photos_have_are_opened(kind: str) -> None:
    expected = np.asarray(picture()).astype(int)
    assert np.abs(decoded(prepare(encoded(picture(), kind)).data) - expected).mean() < 12


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I", "TIFF")])
def test_sixteen_bits_of_grey_keep_their_light(mode: str, kind: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64), (32, 1)).round().astype(np.uint16)
    image = Image.fromarray(ramp) if mode == "I;16" else Image.fromarray(ramp.astype(np.int32))
    assert image.mode == mode
    found = decoded(prepare(encoded(image, kind), quality=95).data)
    assert np.abs(found - (ramp / 257)[:, :, None]).max() <= 3


def test_numbers_that_are_no_levels_of_grey_are_refused() -> None:
    for values in (np.full((16, 16), 0.5, np.float32), np.full((16, 16), 70000, np.int32), np.full((16, 16), -1)):
        image = Image.fromarray(values.astype(np.float32 if values.dtype.kind == "f" else np.int32))
        with pytest.raises(MissingPhotoError, match="no levels of 8 or 16 bits"):
            prepare(encoded(image, "TIFF"))


def test_shrinking_averages_what_it_takes_together() -> None:
    """Stripes of one pixel become grey; taking single pixels would leave them black and white."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    found = decoded(prepare(encoded(Image.fromarray(stripes), "PNG"), long_side=32).data)
    assert np.abs(found - 127.5).max() < 8


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_photos_are_encoded_with_the_quality_asked_for(quality: int) -> None:
    found, wanted = prepare(encoded(picture(), "PNG"), quality=quality).data, encoded(picture(), quality=quality)
    assert Image.open(io.BytesIO(found)).quantization == Image.open(io.BytesIO(wanted)).quantization


def test_heic_without_its_package_is_missing_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oac.data.decode.HEIC_IS_READ", False)
    monkeypatch.setattr("oac.data.decode.FORMATS", tuple(kind for kind in FORMATS if kind != "HEIF"))
    for brand in (b"heic", b"heix", b"mif1"):
        with pytest.raises(MissingPhotoError, match=r"HEIC photo, which needs the package pillow-heif .*\[heic\]"):
            prepare(b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00mif1heic" + bytes(100))
    with pytest.raises(MissingPhotoError, match="of none of the formats"):
        prepare(b"\x00\x00\x00\x18ftypmp42" + bytes(100))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("exif", [False, True])
def test_heic_is_as_its_decoder_gives_it_whatever_exif_says(orientation: int, exif: bool) -> None:
    """Its standard turns photos by a property of their own, as the decoder does, and EXIF would turn them twice."""
    pytest.importorskip("pillow_heif")
    data, file = Image.Exif(), io.BytesIO()
    data[0x0112] = orientation
    picture().save(file, "HEIF", quality=95, exif=data)
    found, expected = decoded(prepare(file.getvalue(), exif=exif).data), np.asarray(picture()).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 12
