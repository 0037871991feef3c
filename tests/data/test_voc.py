from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data import bad_boxes, voc
from oac.data.bad_boxes import mend
from oac.data.subset import select
from oac.proposals.comparison import without_difficult


def annotation(*objects: str, size: str = "<width>200</width><height>100</height>") -> str:
    return f"<annotation><size>{size}</size>{''.join(objects)}</annotation>"


def thing(name: str, corners: tuple[int, int, int, int], difficult: int = 0) -> str:
    tags = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "xmax", "ymin", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{tags}</bndbox></object>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, ids in (("train", "000001\n000002\n"), ("val", "000007\n")):
        path = tmp_path / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ids)
    (tmp_path / "Annotations").mkdir()
    for image_id, text in {
        "000001": annotation(thing("dog", (1, 200, 1, 100)), thing("cat", (51, 100, 26, 50), difficult=1)),
        "000002": annotation(),
        "000007": annotation(thing("dog", (200, 200, 1, 1))),
    }.items():
        (tmp_path / "Annotations" / f"{image_id}.xml").write_text(text)
    return tmp_path


def test_pixels_become_shares_of_the_photo(folder: Path) -> None:
    release = voc.read_release(folder)
    assert release.images.values.tolist() == [
        ["000001", "train", "JPEGImages/000001.jpg", 0],
        ["000002", "train", "JPEGImages/000002.jpg", 0],
        ["000007", "test", "JPEGImages/000007.jpg", 0],
    ]
    assert release.classes["label"].tolist() == ["cat", "dog"]
    # Pixels 1..200 are the whole width, pixels 51..100 its second quarter, pixel 200 the last of 200.
    corners = release.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy()
    np.testing.assert_allclose(corners, [[0, 1, 0, 1], [0.25, 0.5, 0.25, 0.5], [0.995, 1, 0, 0.01]], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", r"000002\.xml is not valid XML"),
        ("<annotations><image/></annotations>", r"000002\.xml holds <annotations>, not VOC's <annotation>"),
        (annotation(thing("", (1, 5, 1, 5))), r"000002\.xml, object 1 has no name"),
    ],
)
def test_bad_annotations_are_named(folder: Path, text: str, message: str) -> None:
    (folder / "Annotations" / "000002.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        voc.read_release(folder)


@pytest.mark.parametrize(
    "write", [str.upper, lambda text: text.replace("<annotation>", '<annotation xmlns="http://x">')]
)
def test_tags_may_be_in_a_namespace_or_in_capitals(folder: Path, write) -> None:
    plain = voc.read_release(folder)
    for path in (folder / "Annotations").iterdir():
        path.write_text(re.sub("<[^>]+>", lambda tag: write(tag[0]), path.read_text()))
    pd.testing.assert_frame_equal(voc.read_release(folder).boxes, plain.boxes)


def test_an_object_without_a_box_is_a_bad_box(folder: Path) -> None:
    """As tools write polygons. One of five is more than the default share."""
    objects = annotation("<object><name>dog</name><polygon/></object>", thing("dog", (1, 5, 1, 5)))
    (folder / "Annotations" / "000002.xml").write_text(objects)
    release = voc.read_release(folder)
    with pytest.raises(ValueError, match=r"1 of 5 boxes .* dog of photo 000002, which has no corners"):
        mend(release, "clip", most=0.05)
    mended, account = mend(release, "clip", most=0.2)
    assert (len(mended.boxes), account.dropped) == (4, 1)
    assert len(voc.difficult_objects(folder, listed(["000001", "000002"]))) == 1


@pytest.mark.parametrize(
    ("name", "path"), [("000001.png", "000001.png"), ("C:\\x\\000001.jpg", "000001.jpg"), ("", "000001.jpg")]
)
def test_of_two_photos_of_one_name_the_annotation_names_one(folder: Path, name: str, path: str) -> None:
    (folder / "JPEGImages").mkdir()
    for suffix in ("jpg", "png"):
        (folder / "JPEGImages" / f"000001.{suffix}").touch()
    text = annotation(f"<filename>{name}</filename>", thing("dog", (1, 20, 1, 10)))
    (folder / "Annotations" / "000001.xml").write_text(text)
    assert voc.read_release(folder).images["path"][0] == f"JPEGImages/{path}"


def test_annotations_may_be_named_with_the_photos_suffix(folder: Path) -> None:
    (folder / "JPEGImages").mkdir()
    (folder / "JPEGImages" / "000001.jpg").touch()
    (folder / "Annotations" / "000001.xml").rename(folder / "Annotations" / "000001.jpg.xml")
    (folder / "ImageSets/Main/train.txt").write_text("000001.jpg\n000002\n")
    assert voc.read_release(folder).images["path"][0] == "JPEGImages/000001.jpg"


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.txt does not exist; expected a folder laid out like"):
        voc.read_release(folder, test="missing")
    (folder / "Annotations" / "000007.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"000007\.xml does not exist, but its photo is on a list"):
        voc.read_release(folder)


def test_an_id_that_begins_with_a_slash_does_not_leave_the_folder(folder: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "000009"
    outside.with_suffix(".xml").write_text(annotation())
    (folder / "ImageSets/Main/train.txt").write_text(f"000001\n{outside}\n")
    with pytest.raises(FileNotFoundError, match=str(folder)):
        voc.read_release(folder)


def test_an_id_that_leads_upwards_is_refused_before_its_file_is_read(folder: Path) -> None:
    (folder / "outside").mkdir()
    (folder / "outside/000009.xml").write_text("no XML")
    (folder / "ImageSets/Main/train.txt").write_text("../outside/000009\n")
    with pytest.raises(ValueError, match=r"photo \.\./outside/000009 lies outside of the data set's folder"):
        voc.read_release(folder)


def test_a_photo_on_both_lists_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="image_id 000001 is listed more than once"):
        voc.read_release(folder, train="train", test="train")


def test_the_real_photos_are_read(shared: Path) -> None:
    release = voc.read_release(shared / "voc2007")
    assert release.images["split"].value_counts().to_dict() == {"train": 2500, "test": 1500}
    split = release.boxes["image_id"].map(release.images.set_index("image_id")["split"])
    assert split.value_counts().to_dict() == {"train": 7843, "test": 4752}
    assert len(release.classes) == 20
    # 000005, first object: 263..324 of 500 and 211..339 of 375 pixels.
    first = release.boxes[release.boxes["image_id"] == "000005"].iloc[0]
    expected = [262 / 500, 324 / 500, 210 / 375, 339 / 375]
    np.testing.assert_allclose(first[["xmin", "xmax", "ymin", "ymax"]].astype(float), expected, atol=1e-6)


def listed(names: list[str]) -> pd.DataFrame:
    """Photos as a subset lists them; a name without a suffix is of a JPEG."""
    paths = [f"JPEGImages/{name}" if "." in name else f"JPEGImages/{name}.jpg" for name in names]
    return pd.DataFrame({"image_id": [name.split(".")[0] for name in names], "path": paths})


def test_difficult_objects_are_those_that_are_marked(folder: Path) -> None:
    text = annotation(
        thing("dog", (1, 20, 1, 10)), thing("cat", (21, 40, 11, 30), difficult=1), thing("dog", (101, 200, 51, 100))
    ).replace("<difficult>0</difficult>", "", 1)
    text = text.replace("<difficult>1</difficult>", "<difficult>\n True </difficult>")
    (folder / "Annotations" / "000002.xml").write_text(text)
    found = voc.difficult_objects(folder, listed(["000007", "000002", "000001"]))
    assert list(found.columns) == voc.BOX_COLUMNS
    assert found[["image_id", "label"]].values.tolist() == [["000002", "cat"], ["000001", "cat"]]
    corners = found[["xmin", "xmax", "ymin", "ymax"]]
    np.testing.assert_allclose(corners, [[0.1, 0.2, 0.1, 0.3], [0.25, 0.5, 0.25, 0.5]], rtol=1e-6)
    # The same numbers as in the box table, from which they are taken out by comparing.
    boxes = mend(voc.read_release(folder), "clip", most=1)[0].boxes
    assert len(without_difficult(boxes, found)) == len(boxes) - 2
    nothing = voc.difficult_objects(folder, listed(["000007"]))
    assert nothing.empty
    assert len(without_difficult(boxes, nothing)) == len(boxes)


def test_a_list_that_is_not_utf_8_is_named(folder: Path) -> None:
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"train\.txt is not UTF-8"):
        voc.read_release(folder)


def test_an_object_with_several_boxes_has_them_all(folder: Path) -> None:
    parts = thing("dog", (1, 20, 1, 10)).replace("</object>", "")
    parts += thing("dog", (101, 120, 51, 60)).partition("0</difficult>")[2]
    (folder / "Annotations/000002.xml").write_text(annotation(parts))
    found = voc.read_release(folder).boxes
    assert found["xmin"][found["image_id"] == "000002"].tolist() == [0, 0.5]


def test_blanks_around_a_name_make_no_class(folder: Path) -> None:
    names = [thing(name, (1, 20, 1, 10)) for name in ("dog", " dog ", "\n  dog\n")]
    (folder / "Annotations/000002.xml").write_text(annotation(*names))
    assert voc.read_release(folder).classes["label"].tolist() == ["cat", "dog"]


def test_boxes_that_begin_at_pixel_0_are_clipped_and_counted(folder: Path) -> None:
    (folder / "Annotations/000002.xml").write_text(annotation(thing("dog", (0, 20, 0, 10))))
    release = voc.read_release(folder)
    subset = select(release, min_images_per_class=1, min_classes_per_image=1)
    assert (subset.bad_boxes.clipped, subset.bad_boxes.dropped) == (1, 0)
    assert (subset.boxes[["xmin", "ymin"]] >= 0).all(axis=None)
    assert "1 of the clipped begin exactly one pixel before" in bad_boxes.sentence(subset.bad_boxes.as_dict())


@pytest.mark.parametrize(
    ("corners", "shifted"),
    [
        ((0, 20, -1, 10), 0),
        ((0, 20, 1, 10), 1),
        ((0, 20, 0, 10), 1),
        ((0, 201, 1, 10), 0),
        ((1, 201, 1, 10), 0),
        ((-1, 20, 1, 10), 0),
    ],
)
def test_one_pixel_before_the_photo_is_told_from_other_clipped_boxes(folder: Path, corners, shifted: int) -> None:
    (folder / "Annotations/000002.xml").write_text(annotation(thing("dog", corners)))
    account = mend(voc.read_release(folder), "clip", most=1)[1]
    assert (account.clipped, account.one_pixel_before) == (1, shifted)
    assert ("counted from 0 in a format" in bad_boxes.sentence(account.as_dict())) == bool(shifted)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("000001\n\n000002", ["000001", "000002"]),
        ("\ufeff000001\r\n000002  \r\n", ["000001", "000002"]),
        ("000001  1\n000002 -1\n", ["000001"]),
        ("000001 -1\n000002  0\n", ["000002"]),
        ("my photo 1\n", ["my photo 1"]),
        ("my photo 1  +1\nphoto 1  -1\n", ["my photo 1"]),
        ("000001  +1\n000002 -1\n", ["000001"]),
        ("photo 1\nphoto 0\n", ["photo 1", "photo 0"]),
    ],
)
def test_lists_hold_an_id_a_line_and_perhaps_a_flag(folder: Path, text: str, ids: list[str]) -> None:
    for name in ("my photo 1", "photo 1", "photo 0"):
        (folder / f"Annotations/{name}.xml").write_text(annotation(thing("dog", (1, 20, 1, 10))))
    (folder / "ImageSets/Main/train.txt").write_text(text, encoding="utf-8")
    images = voc.read_release(folder).images
    assert images["image_id"][images["split"] == "train"].tolist() == ids


def test_difficult_marks_are_of_each_box_of_an_object_and_of_clipped_ones(folder: Path) -> None:
    several = (
        thing("dog", (1, 20, 1, 10)).replace("</object>", "")
        + thing("dog", (101, 120, 51, 60)).partition("0</difficult>")[2]
    )
    hard = thing("cat", (1, 300, 1, 10), difficult=1)
    (folder / "Annotations/000002.xml").write_text(annotation(several, hard))
    boxes = mend(voc.read_release(folder), "clip", most=1)[0].boxes
    left = without_difficult(boxes, voc.difficult_objects(folder, listed(["000002"])))
    assert left["label"][left["image_id"] == "000002"].tolist() == ["dog", "dog"]


@pytest.mark.parametrize("name", ["000001.jpg", "000001.JPG", "000001.png", "000001.Jpeg"])
def test_photos_of_other_formats_are_found(folder: Path, name: str) -> None:
    (folder / "JPEGImages").mkdir()
    for file in (name, "000001.xml", "000002.png", "000002.jpg", "._000007.png"):
        (folder / "JPEGImages" / file).touch()
    paths = [f"JPEGImages/{file}" for file in (name, "000002.jpg", "000007.jpg")]
    assert voc.read_release(folder).images["path"].tolist() == paths


@pytest.mark.parametrize(
    "line",
    [
        "000001.jpg",
        "000001.JPG",
        "JPEGImages/000001.jpg",
        "./JPEGImages/000001.png",
        "C:\\data\\VOC2007\\JPEGImages\\000001.jpg",
        "/data/VOC2007/JPEGImages/000001.jpg",
        "../data/000001.jpg",
        "000001.xml",
    ],
)
@pytest.mark.parametrize("flag", ["", " 1"])
def test_lists_may_hold_paths_of_photos(folder: Path, line: str, flag: str) -> None:
    (folder / "ImageSets/Main/train.txt").write_bytes(b"\xef\xbb\xbf" + (line + flag).encode())
    images = voc.read_release(folder).images
    assert images["image_id"].tolist() == ["000001", "000007"]


@pytest.mark.parametrize(
    "line",
    [
        *("b/000001.jpg", "b/000001.JPG", "b/000001.xml", "./images/b/000001.jpg", "JPEGImages/b/000001"),
        *("/data/VOC2007/JPEGImages/b/000001.jpg", "C:\\VOC2007\\JPEGImages\\b\\000001.jpg"),
    ],
)
def test_the_photo_that_a_list_names_is_taken_where_another_has_its_name(folder: Path, line: str) -> None:
    (folder / "JPEGImages/b").mkdir(parents=True)
    for name in ("000001.jpg", "b/000001.jpg", "000007.jpg"):
        (folder / "JPEGImages" / name).touch()
    (folder / "ImageSets/Main/train.txt").write_text(line)
    images = voc.read_release(folder).images
    assert images["image_id"].tolist() == ["000001", "000007"]
    assert images["path"].tolist() == ["JPEGImages/b/000001.jpg", "JPEGImages/000007.jpg"]


def test_a_listed_photo_that_is_gone_is_not_another_of_its_name(folder: Path) -> None:
    (folder / "Annotations/a").mkdir()
    for name in ("a/1", "b"):
        (folder / f"Annotations/{name}.xml").write_text(annotation(thing("dog", (1, 20, 1, 10))))
    (folder / "JPEGImages").mkdir()
    (folder / "JPEGImages/1.jpg").touch()
    (folder / "ImageSets/Main/train.txt").write_text("a/1.jpg")
    assert voc.read_release(folder).images["path"].tolist() == ["JPEGImages/a/1.jpg", "JPEGImages/000007.jpg"]


def test_ids_with_points_are_whole(folder: Path) -> None:
    for name in ("v1.2", "v1.jpg"):
        (folder / f"Annotations/{name}.xml").write_text(annotation(thing("dog", (1, 20, 1, 10))))
    (folder / "ImageSets/Main/train.txt").write_text("v1.2\nv1.jpg\n")
    (folder / "JPEGImages/").mkdir()
    (folder / "JPEGImages/v1.2.png").touch()
    images = voc.read_release(folder).images
    assert images["image_id"].tolist() == ["v1.2", "v1.jpg", "000007"]
    assert images["path"].tolist()[:2] == ["JPEGImages/v1.2.png", "JPEGImages/v1.jpg.jpg"]


@pytest.mark.parametrize("text", ['<?xml version="1.0" encoding="nonesuch"?><annotation/>', "", "\0", "caf\udce9"])
def test_annotations_that_are_no_xml_are_named(folder: Path, text: str) -> None:
    (folder / "Annotations/000002.xml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"000002\.xml is not valid XML"):
        voc.read_release(folder)
    with pytest.raises(ValueError, match=r"000002\.xml is not valid XML"):
        voc.difficult_objects(folder, listed(["000002"]))


@pytest.mark.parametrize("corner", ["nan", "inf", "", "one"])
def test_a_corner_that_is_no_number_is_named(folder: Path, corner: str) -> None:
    text = annotation(thing("dog", (1, 20, 1, 10))).replace("<xmax>20<", f"<xmax>{corner}<")
    (folder / "Annotations/000002.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"000002\.xml, object 1: xmax is '{corner}', a number is needed"):
        voc.read_release(folder)


@pytest.mark.parametrize("name", ["000002.png", "000002.jpg"])
def test_difficult_objects_take_the_size_of_a_photo_of_any_format(folder: Path, name: str) -> None:
    (folder / "JPEGImages").mkdir()
    Image.new("RGB", (400, 400)).save(folder / "JPEGImages" / name)  # its annotation has 200 x 100
    (folder / "Annotations/000002.xml").write_text(annotation(thing("cat", (21, 40, 11, 30), difficult=1)))
    corners = voc.difficult_objects(folder, listed([name]))[["xmin", "xmax", "ymin", "ymax"]]
    np.testing.assert_allclose(corners, [[0.05, 0.1, 0.025, 0.075]], rtol=1e-6)
