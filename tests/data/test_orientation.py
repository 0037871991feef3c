"""Photos and their boxes, from two sources through the store: one is never turned without the other."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from oac.data import openimages, sources, voc
from oac.data.decode import prepare
from oac.data.store import Store, write_shard
from oac.data.tables import Release
from oac.workflow import StudyFiles

WIDTH, HEIGHT = 120, 80
BOX = (12, 8, 48, 24)  # of the pixels as stored: xmin, ymin, xmax, ymax; no turn or mirror image of it is like it
ORIENTATIONS = range(1, 9)


def write_photo(path: Path, orientation: int) -> None:
    """A dark photo with a light box, and an EXIF orientation."""
    pixels = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95, exif=exif)


def assert_boxes_fit(release: Release, raw: Path, store: Path, long_side: int) -> None:
    """Every photo is light inside its box and dark outside, for readers that obey EXIF data as for others."""
    write_shard(
        release.images,
        raw,
        *(store / f"train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")),
        long_side=long_side,
    )
    photos = Store(store)
    assert len(photos) == len(release.boxes) > 1
    for row in release.boxes.itertuples():
        for image in (photos.image(row.image_id), ImageOps.exif_transpose(photos.image(row.image_id))):
            width, height = image.size
            inside = np.zeros((height, width), bool)
            x, y = (np.rint([row.xmin * width, row.xmax * width]), np.rint([row.ymin * height, row.ymax * height]))
            inside[int(y[0]) : int(y[1]), int(x[0]) : int(x[1])] = True
            light = np.asarray(image.convert("L")) > 125
            overlap = (light & inside).sum() / (light | inside).sum()
            assert overlap > 0.9, row.image_id


@pytest.mark.parametrize("long_side", [512, 60])
@pytest.mark.parametrize("rotation", ["", "nan", "0.0", "90.0", "180.0", "270.0"])
def test_open_images_photos_keep_their_boxes(tmp_path: Path, rotation: str, long_side: int) -> None:
    raw = tmp_path / "release"
    ids = [f"photo{orientation}" for orientation in ORIENTATIONS]
    for image_id, orientation in zip(ids, ORIENTATIONS, strict=True):
        write_photo(raw / "train" / f"{image_id}.jpg", orientation)
    shares = dict(zip(("XMin", "YMin", "XMax", "YMax"), np.divide(BOX, [WIDTH, HEIGHT] * 2), strict=True))
    tables = {
        openimages.image_list_file("train"): [{"ImageID": name, "Rotation": rotation} for name in ids],
        openimages.box_file("train"): [
            {"ImageID": name, "LabelName": "/m/a", "IsGroupOf": 0, **shares} for name in ids
        ],
    }
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(raw / name, index=False)
    (raw / openimages.CLASSES_FILE).write_text("/m/a,Ant\n")
    assert_boxes_fit(openimages.read_release(raw, ["train"]), raw, tmp_path / "store", long_side)


@pytest.mark.parametrize("long_side", [512, 60])
def test_voc_photos_keep_their_boxes(tmp_path: Path, long_side: int) -> None:
    raw = tmp_path / "VOC2007"
    ids = [f"{orientation:06}" for orientation in ORIENTATIONS]
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), (BOX[0] + 1, BOX[1] + 1, *BOX[2:]), strict=True))
    tags = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    for image_id, orientation in zip(ids, ORIENTATIONS, strict=True):
        write_photo(raw / "JPEGImages" / f"{image_id}.jpg", orientation)
        (raw / "Annotations").mkdir(exist_ok=True)
        (raw / "Annotations" / f"{image_id}.xml").write_text(
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
            f"<object><name>ant</name><bndbox>{tags}</bndbox></object></annotation>"
        )
    lists = raw / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(ids[:-1]))
    (lists / "val.txt").write_text(ids[-1])
    assert_boxes_fit(voc.read_release(raw), raw, tmp_path / "store", long_side)


def write_coco(raw: Path, names: list[str]) -> dict:
    corner = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
    for split, part in (("train", names[:-1]), ("test", names[-1:])):
        content = {
            "categories": [{"id": 1, "name": "ant"}],
            "images": [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(part)],
            "annotations": [{"image_id": n, "category_id": 1, "bbox": corner} for n in range(len(part))],
        }
        (raw / f"{split}.json").write_text(json.dumps(content))
    return {"train": "train.json", "test": "test.json", "train_photos": ".", "test_photos": "."}


def write_csv(raw: Path, names: list[str]) -> dict:
    splits = ["train"] * (len(names) - 1) + ["test"]
    lines = [f"{name},ant,{','.join(map(str, BOX))},{split}" for name, split in zip(names, splits, strict=True)]
    (raw / "boxes.csv").write_text("\n".join(["path,label,xmin,ymin,xmax,ymax,split", *lines]))
    return {"boxes": "boxes.csv", "units": "pixels"}


@pytest.mark.parametrize(("source", "write"), [("coco", write_coco), ("folder", write_csv)])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_boxes_in_pixels_fit_photos_of_every_format_and_orientation(tmp_path, source, write, suffix):
    raw = tmp_path / "raw"
    names = [f"photo{orientation}.{suffix}" for orientation in ORIENTATIONS]
    for name, orientation in zip(names, ORIENTATIONS, strict=True):
        write_photo(raw / name, orientation)
    options = {"source": source, source: write(raw, names), "shards": {"train": 1, "test": 1}}
    assert_boxes_fit(sources.read(options, str(raw), tmp_path, str(raw)), raw, tmp_path / "store", 512)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_no_format_is_turned_by_its_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    """Pillow turns a TIFF as it loads it, and nothing else."""
    write_photo(tmp_path / f"a.{suffix}", orientation)
    photo = prepare((tmp_path / f"a.{suffix}").read_bytes())
    assert (photo.width, photo.height) == (WIDTH, HEIGHT)
    pixels = np.asarray(Image.open(io.BytesIO(photo.data)).convert("L")).astype(int)
    xmin, ymin, xmax, ymax = BOX
    assert (pixels[ymin + 4 : ymax - 4, xmin + 4 : xmax - 4] > 150).all()
    assert (pixels > 150).sum() < 1.5 * (xmax - xmin) * (ymax - ymin)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_photos_without_boxes_are_turned_by_it_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    write_photo(tmp_path / f"a.{suffix}", orientation)
    data = (tmp_path / f"a.{suffix}").read_bytes()
    photo = prepare(data, exif=True)
    light = np.zeros((HEIGHT, WIDTH), bool)
    light[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    # What the orientations mean, in plain numpy: row 0 and column 0 are at this side of the upright photo.
    upright = {
        1: light,
        2: light[:, ::-1],
        3: light[::-1, ::-1],
        4: light[::-1],
        5: light.T,
        6: light.T[:, ::-1],
        7: light[::-1, ::-1].T,
        8: light.T[::-1],
    }[orientation]
    assert (photo.height, photo.width) == upright.shape
    for image in (Image.open(io.BytesIO(photo.data)), ImageOps.exif_transpose(Image.open(io.BytesIO(photo.data)))):
        found = np.asarray(image.convert("L")) > 125
        assert (found & upright).sum() / (found | upright).sum() > 0.9
    if suffix == "jpg":  # one that is upright keeps its bytes
        assert (photo.data == data) == (orientation == 1)


def test_a_store_turns_photos_only_where_it_is_asked_to(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 6)
    photos = pd.DataFrame({"image_id": ["a"], "path": ["a.jpg"], "rotation": 0})
    for exif, size in ((False, (WIDTH, HEIGHT)), (True, (HEIGHT, WIDTH))):
        folder = tmp_path / str(exif)
        write_shard(
            photos, tmp_path, *(folder / f"s{end}" for end in (".tar", ".index.parquet", ".missing.csv")), exif=exif
        )
        assert Store(folder).image("a").size == size


@pytest.mark.parametrize(
    ("source", "proposals", "turned"),
    [
        ("photos", {}, "exif"),
        ("imagenet", {}, "exif"),
        ("photos", {"csv": {"file": "boxes.csv"}}, "stored"),
        ("voc", {}, "stored"),
        ("coco", {}, "stored"),
        ("folder", {}, "stored"),
        ("openimages", {}, "stored"),
    ],
)
def test_studies_whose_boxes_are_of_photos_as_stored_do_not_turn_them(source, proposals, turned):
    study = {"name": "s", "data": {"source": source}, "proposals": proposals}
    assert StudyFiles(study).orientation() == turned
