"""Sizes of photos: their own headers decide, and what annotations say otherwise is counted and named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oac.data import folder, photo_sizes, sources
from oac.data.subset import select
from oac.data.subset_summary import notes, subset_summary
from oac.data.tables import BOX_COLUMNS, Release
from oac.data.voc import difficult_objects
from oac.proposals.comparison import without_difficult

OWN = (96, 80)
BOX = (68, 50, 85, 67)  # in pixels of the photo as stored: xmin, ymin, xmax, ymax
RIGHT = np.array(BOX) / [*OWN, *OWN]
INF = float("inf")
# What an annotation can say of a photo of 96 x 80, and whether that is another size, a swapped one, none.
SAID = {
    "right": ((96, 80), (0, 0, 0)),
    "swapped": ((80, 96), (1, 1, 0)),
    "larger": ((192, 160), (1, 0, 0)),
    "zero": ((0, 0), (0, 0, 1)),
    "one side": ((96, 0), (0, 0, 1)),
    "negative": ((-96, 80), (0, 0, 1)),
    "infinite": ((INF, INF), (0, 0, 1)),
    "not a number": ((float("nan"), 80), (0, 0, 1)),
    "absurd": ((1e300, 80), (0, 0, 1)),
    "absent": (None, (0, 0, 1)),
}


def write_coco(root: Path, size: tuple | None, photos: int) -> dict:
    own = {"train": "train.json", "test": "test.json", "train_photos": "t", "test_photos": "v"}
    sides = {} if size is None else {"width": size[0], "height": size[1]}
    for split, place in (("train", "t"), ("test", "v")):
        content = {
            "categories": [{"id": 1, "name": "dog"}],
            "images": [{"id": n, "file_name": f"{split}{n}.jpg", **sides} for n in range(photos)],
            "annotations": [
                {"image_id": n, "category_id": 1, "bbox": [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]}
                for n in range(photos)
            ],
        }
        (root / f"{split}.json").write_text(json.dumps(content))
        (root / place).mkdir()
        for n in range(photos):
            Image.new("RGB", OWN).save(root / place / f"{split}{n}.jpg")
    return {"source": "coco", "coco": own, "shards": {"train": 1, "test": 1}}


def write_voc(root: Path, size: tuple | None, photos: int) -> dict:
    for name in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / name).mkdir(parents=True)
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    corners = {"xmin": BOX[0] + 1, "ymin": BOX[1] + 1, "xmax": BOX[2], "ymax": BOX[3]}
    box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    for split in ("train", "val"):
        ids = [f"{split}{n}" for n in range(photos)]
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(ids))
        for image_id in ids:
            (root / f"Annotations/{image_id}.xml").write_text(
                f"<annotation>{sides}<object><name>dog</name><difficult>1</difficult><bndbox>{box}</bndbox></object>"
                "</annotation>"
            )
            Image.new("RGB", OWN).save(root / f"JPEGImages/{image_id}.jpg")
    return {"source": "voc", "voc": {}, "shards": {"train": 1, "test": 1}}


def read(root: Path, options: dict, photos: str | Path) -> tuple[np.ndarray, dict]:
    """The boxes of a source through the filters, one a photo, and its summary."""
    subset = select(
        sources.read(options, str(root), root, str(photos)), min_images_per_class=1, min_classes_per_image=1
    )
    summary = subset_summary("s", options | {"subset": {}}, subset)
    return subset.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float), summary


@pytest.mark.parametrize("write", [write_coco, write_voc])
@pytest.mark.parametrize("case", SAID)
def test_the_header_decides_and_a_difference_is_counted_and_named(tmp_path, write, case):
    size, (other, swapped, absent) = SAID[case]
    options = write(tmp_path, size, photos=2)
    boxes, summary = read(tmp_path, options, tmp_path)
    np.testing.assert_allclose(boxes, np.tile(RIGHT, (4, 1)), atol=1e-6)
    account = summary["photo_sizes"]
    counts = {"compared": 4, "different": 4 * other, "swapped": 4 * swapped, "absent": 4 * absent}
    assert {key: account[key] for key in counts} == counts
    assert len(account["examples"]) == (3 if other or absent else 0)
    said = " ".join(notes(json.loads(json.dumps(summary))))
    assert ("train1.jpg is 96 x 80" in said) == bool(other or absent)
    assert ("width and height swapped" in said) == bool(swapped)


def test_sizes_that_are_all_right_leave_every_bit_of_the_boxes(tmp_path):
    options = write_voc(tmp_path, OWN, photos=2)
    alone = sources.read(options, str(tmp_path), tmp_path, "https://example.org/photos")
    beside = sources.read(options, str(tmp_path), tmp_path, f"file://{tmp_path}")
    pd.testing.assert_frame_equal(alone.boxes, beside.boxes)
    np.testing.assert_array_equal(beside.boxes[["xmin", "ymin"]], [RIGHT[:2]] * 4)


@pytest.mark.parametrize("write", [write_coco, write_voc])
def test_of_photos_on_a_server_the_annotation_is_what_there_is(tmp_path, write):
    options = write(tmp_path, (192, 160), photos=2)
    boxes, summary = read(tmp_path, options, "https://example.org/photos")
    np.testing.assert_allclose(boxes, np.tile(RIGHT / 2, (4, 1)), atol=1e-6)
    assert summary["photo_sizes"]["compared"] == 0
    assert notes(summary) == []


def test_the_chosen_photos_have_the_size_that_is_known_of_them(tmp_path):
    options = write_coco(tmp_path, (80, 96), photos=2)
    for photos, known in ((tmp_path, (96, 80)), ("http://example.org", (80, 96))):
        found = sources.read(options, str(tmp_path), tmp_path, str(photos))
        images = select(found, min_images_per_class=1, min_classes_per_image=1, max_bad_boxes=1).images
        assert images[["width", "height"]].values.tolist() == [list(known)] * 4


def test_a_box_whose_photo_has_no_size_anywhere_is_left_out_and_counted(tmp_path):
    options = write_coco(tmp_path, (0, 0), photos=30)
    (tmp_path / "t/train3.jpg").unlink()
    (tmp_path / "t/train4.jpg").write_bytes(b"\xff\xd8 no photo")
    boxes, summary = read(tmp_path, options, tmp_path)
    assert len(boxes) == 58
    assert (summary["bad_boxes"]["boxes"], summary["bad_boxes"]["dropped"]) == (60, 2)
    assert "dog of photo train3, which has no corners or no size" in " ".join(notes(summary))
    with pytest.raises(ValueError, match=r"60 of 60 boxes .* which has no corners or no size"):
        read(tmp_path, options, "https://example.org/photos")


def test_difficult_objects_are_found_again_where_sizes_are_wrong(tmp_path):
    options = write_voc(tmp_path, (80, 96), photos=2)
    release = sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
    subset = select(release, min_images_per_class=1, min_classes_per_image=1)
    marked = difficult_objects(tmp_path, subset.images[subset.images["image_id"].isin(["train0", "val1"])])
    assert sorted(without_difficult(subset.boxes, marked)["image_id"]) == ["train1", "val0"]


def test_difficult_objects_are_of_the_photo_that_a_list_names(tmp_path):
    options = write_voc(tmp_path, (80, 96), photos=1)
    (tmp_path / "JPEGImages/b").mkdir()
    Image.new("RGB", (160, 192)).save(tmp_path / "JPEGImages/b/train0.jpg")
    (tmp_path / "ImageSets/Main/train.txt").write_text("b/train0.jpg")
    release = sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
    assert release.images["path"].iloc[0] == "JPEGImages/b/train0.jpg"
    marked = difficult_objects(tmp_path, release.images)
    subset = select(release, min_images_per_class=1, min_classes_per_image=1)
    assert without_difficult(subset.boxes, marked).empty


def test_a_csv_in_pixels_with_an_absent_photo_loses_only_its_boxes(tmp_path):
    Image.new("RGB", OWN).save(tmp_path / "a.jpg")
    line = ",dog,{},{},{},{},train\n".format(*BOX)
    (tmp_path / "boxes.csv").write_text("path,label,xmin,ymin,xmax,ymax,split\na.jpg" + line + "b.jpg" + line)
    found = folder.read_release(tmp_path, boxes="boxes.csv", units="pixels").boxes
    np.testing.assert_allclose(found[["xmin", "ymin", "xmax", "ymax"]], [RIGHT, [np.nan] * 4])
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"boxes\.csv: not one of its photos can be read.*a\.jpg, of line 2"):
        folder.read_release(tmp_path, boxes="boxes.csv", units="pixels")


@pytest.mark.parametrize("source", ["voc", "coco"])
@pytest.mark.parametrize("size", [OWN, None])
def test_shares_in_a_format_of_pixels_are_refused(tmp_path, source, size, monkeypatch):
    """Boxes below a pixel, which nobody would notice."""
    write = {"voc": write_voc, "coco": write_coco}[source]
    monkeypatch.setitem(globals(), "BOX", tuple(RIGHT))
    options = write(tmp_path, size, 2)
    for photos in (str(tmp_path), "https://example.org/photos"):
        with pytest.raises(ValueError, match=f"have no corner above 1, .* source {source} takes pixels: mul"):
            sources.read(options, str(tmp_path), tmp_path, photos)


def write_folder(root: Path, size: tuple | None, photos: int) -> dict:
    lines = ["path,label,xmin,ymin,xmax,ymax,split"]
    for split in ("train", "test"):
        for n in range(photos):
            Image.new("RGB", OWN).save(root / f"{split}{n}.jpg")
            lines.append(f"{split}{n}.jpg,dog,{','.join(map(str, BOX))},{split}")
    (root / "boxes.csv").write_text("\n".join(lines))
    return {
        "source": "folder",
        "folder": {"boxes": "boxes.csv", "units": "pixels"},
        "shards": {"train": 1, "test": 1},
    }


def with_shares(root: Path, source: str, split: str, number: int) -> None:
    """Write the first box of a photo in shares: a corner of each kind, and one that is rounded beyond 1."""
    shares, name = (0, 0.5, 1.0000001, 1), f"{split}{number}"
    if source == "folder":
        text = (root / "boxes.csv").read_text()
        (root / "boxes.csv").write_text(
            text.replace(f"{name}.jpg,dog,{','.join(map(str, BOX))}", f"{name}.jpg,dog,{','.join(map(str, shares))}")
        )
    elif source == "coco":
        content = json.loads((file := root / f"{split}.json").read_text())
        content["annotations"][number]["bbox"] = [0, 0.5, 1.0000001, 0.5]
        file.write_text(json.dumps(content))
    else:
        file = root / f"Annotations/{name.replace('test', 'val')}.xml"
        text = file.read_text()
        corners = (BOX[0] + 1, BOX[1] + 1, *BOX[2:])
        for key, old, new in zip(("xmin", "ymin", "xmax", "ymax"), corners, shares, strict=True):
            text = text.replace(f"<{key}>{old}<", f"<{key}>{new}<")
        file.write_text(text)


WRITE = {"voc": write_voc, "coco": write_coco, "folder": write_folder}


@pytest.mark.parametrize("source", WRITE)
@pytest.mark.parametrize("size", [OWN, None])
def test_few_boxes_in_shares_among_pixels_are_left_out_and_counted(tmp_path, source, size):
    options = WRITE[source](tmp_path, size, photos=20)
    with_shares(tmp_path, source, "test", 3)
    boxes, summary = read(tmp_path, options, tmp_path)
    np.testing.assert_allclose(boxes, np.tile(RIGHT, (39, 1)), atol=1e-6)
    said = " ".join(notes(summary))
    assert "left out: 1, the first: dog of photo " + ("val3" if source == "voc" else "test3") in said


def test_a_box_without_area_is_no_box_in_shares(tmp_path):
    """It is a bad box, which others count."""
    options = write_coco(tmp_path, OWN, 20)
    path = next(tmp_path.rglob("train.json"))
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    path.write_text(json.dumps(content))
    _, summary = read(tmp_path, options, tmp_path)
    assert summary["bad_boxes"]["dropped"] == 1
    assert summary["notes"] == []


@pytest.mark.parametrize("source", WRITE)
@pytest.mark.parametrize("split", ["train", "test"])
def test_shares_in_a_part_of_one_split_are_refused(tmp_path, source, split):
    options = WRITE[source](tmp_path, OWN, photos=20)
    with_shares(tmp_path, source, split, 3)
    with_shares(tmp_path, source, split, 5)
    with pytest.raises(ValueError, match=rf"2 of 20 boxes of {split} have no corner above 1, .* pixels: "):
        read(tmp_path, options, tmp_path)


@pytest.mark.parametrize("source", WRITE)
@pytest.mark.parametrize(("listed", "stored"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_letters_that_are_coded_otherwise_in_lists_than_in_names_of_files(tmp_path, source, listed, stored):
    options = WRITE[source](tmp_path, None, photos=2)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        if path.suffix in (".txt", ".json", ".csv"):
            text = path.read_text().replace("train0.jpg", f"{listed}.jpg").replace("train0\n", f"{listed}\n")
            path.write_text(text, encoding="utf-8")
        elif path.stem == "train0":
            path.rename(path.with_stem(stored))
    release = sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
    assert all((tmp_path / path).is_file() for path in release.images["path"])
    assert release.images["image_id"].tolist()[0] == listed
    boxes, summary = read(tmp_path, options, tmp_path)
    np.testing.assert_allclose(boxes, np.tile(RIGHT, (4, 1)), atol=1e-6)
    assert f"1, the first: {release.images['path'][0].replace(stored, listed)}." in " ".join(notes(summary))


@pytest.mark.parametrize("source", WRITE)
def test_headers_are_read_without_warnings_that_name_no_photo(tmp_path, source, monkeypatch, recwarn):
    options = WRITE[source](tmp_path, OWN, photos=2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", OWN[0] * OWN[1] - 1)
    boxes, _ = read(tmp_path, options, tmp_path)
    assert len(boxes) == 4
    assert not recwarn.list


def test_a_number_without_bounds_is_a_bad_box_and_no_warning(tmp_path, recwarn):
    options = write_coco(tmp_path, OWN, photos=20)
    content = json.loads((tmp_path / "train.json").read_text())
    content["annotations"][3]["bbox"] = [1e308] * 4
    (tmp_path / "train.json").write_text(json.dumps(content))
    boxes, summary = read(tmp_path, options, tmp_path)
    assert (len(boxes), summary["bad_boxes"]["dropped"]) == (39, 1)
    assert not recwarn.list


def test_two_photos_whose_names_look_alike_stay_two(tmp_path):
    """One of them is there: the other is not it."""
    options = write_folder(tmp_path, OWN, photos=2)
    text = (tmp_path / "boxes.csv").read_text().replace("train0", "caf\u00e9").replace("train1", "cafe\u0301")
    (tmp_path / "boxes.csv").write_text(text.replace("test0", "train0"), encoding="utf-8")
    (tmp_path / "train1.jpg").rename(tmp_path / "caf\u00e9.jpg")
    paths = sources.read(options, str(tmp_path), tmp_path, str(tmp_path)).images["path"].tolist()
    assert paths[:2] == ["caf\u00e9.jpg", "cafe\u0301.jpg"]


def test_one_pixel_of_a_small_photo_is_not_far(tmp_path, monkeypatch):
    """Boxes counted from 0 in VOC's format begin a pixel before the photo, 3 % of a side of 32 pixels."""
    monkeypatch.setitem(globals(), "OWN", (32, 32))
    monkeypatch.setitem(globals(), "BOX", (-1, -1, 16, 8))
    for source, write in WRITE.items():
        (root := tmp_path / source).mkdir()
        boxes, summary = read(root, write(root, (32, 32), photos=2), root)
        assert boxes.tolist() == [[0, 0, 0.5, 0.25]] * 4
        assert summary["bad_boxes"]["clipped"] == 4
    monkeypatch.setitem(globals(), "BOX", (-2, 0, 16, 8))
    for source, write in WRITE.items():
        (root := tmp_path / f"{source}2").mkdir()
        with pytest.raises(ValueError, match="4 of 4 boxes reach beyond"):
            read(root, write(root, (32, 32), photos=2), root)


SIZES = st.sampled_from([(0, 0), (10, 20), (20, 10), (30, 60)])


@given(st.lists(st.tuples(SIZES, SIZES, st.integers(0, 2)), min_size=1, max_size=6), st.booleans())
def test_every_box_is_scaled_as_it_is_alone(tmp_path_factory, photos, local):
    place = tmp_path_factory.mktemp("photos")
    images, rows, expected = [], [], []
    for n, (said, own, boxes) in enumerate(photos):
        images.append((f"i{n}", "train", f"i{n}.png", 0))
        if own != (0, 0):
            Image.new("L", own).save(place / f"i{n}.png")
        known = own if local and own != (0, 0) else said
        for k in range(boxes):
            pixels = (1 + k, 6, 3, 9)  # xmin, xmax, ymin, ymax
            width, height = said if said != (0, 0) else (1, 1)
            rows.append(
                (f"i{n}", "a", pixels[0] / width, pixels[1] / width, pixels[2] / height, pixels[3] / height, 0)
            )
            expected.append(
                [p / side if side else np.nan for p, side in zip(pixels, np.repeat(known, 2), strict=True)]
            )
    release = Release(
        pd.DataFrame(images, columns=["image_id", "split", "path", "rotation"]),
        pd.DataFrame(rows, columns=BOX_COLUMNS),
        pd.DataFrame({"label": ["a"], "name": ["a"]}),
        sizes=np.array([said for said, _, _ in photos], float),
    )
    before = release.boxes.copy()
    found = photo_sizes.scaled(release, place if local else None)
    np.testing.assert_allclose(
        found.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy(float), np.reshape(expected, (-1, 4)), atol=1e-12
    )
    pd.testing.assert_frame_equal(release.boxes, before)
