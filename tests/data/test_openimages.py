from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oac.data import openimages
from oac.data.bad_boxes import mend

BOX_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
CLICKS = ",".join(f"XClick{n}{axis}" for axis in "XY" for n in range(1, 5))
LIST_HEADER = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,"
    "OriginalMD5,Thumbnail300KURL,Rotation"
)


def write_split(
    folder: Path, split: str, images: dict[str, str], boxes: list[str], *, header: str = BOX_HEADER
) -> None:
    """images: id -> text in the Rotation column; boxes: lines of the box file."""
    path = folder / openimages.image_list_file(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Titles hold commas and quotes in the official file, and a line break could stand in one.
    lines = [f'{name},{split},u,l,c,p,Jo,"say ""hi"",\nthere",1,m,t,{turn}' for name, turn in images.items()]
    path.write_text("\n".join([LIST_HEADER, *lines]) + "\n")
    (folder / openimages.box_file(split)).write_text("\n".join([header, *boxes]) + "\n")


def box(image: str, label: str, corners: str = "0.1,0.4,0.2,0.9", group: int = 0) -> str:
    return f"{image},xclick,{label},1,{corners},0,1,{group},0,0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "class-descriptions-boxable.csv").write_text('/m/a,Ant\n/m/b,"Bee, honey"\n')
    images = {"i1": "0.0", "i2": "90.0", "i3": "nan", "i4": ""}
    write_split(
        tmp_path,
        "train",
        images,
        [box("i2", "/m/b", group=1), box("i1", "/m/a"), box("i1", "/m/b", group=-1)],
    )
    write_split(tmp_path, "test", {"t1": "270.0"}, [box("t1", "/m/a")])
    return tmp_path


def test_names_are_the_official_ones() -> None:
    assert openimages.annotation_files(["train", "validation", "test"]) == [
        "class-descriptions-boxable.csv",
        "oidv6-train-annotations-bbox.csv",
        "train/train-images-boxable-with-rotation.csv",
        "validation-annotations-bbox.csv",
        "validation/validation-images-with-rotation.csv",
        "test-annotations-bbox.csv",
        "test/test-images-with-rotation.csv",
    ]


def test_a_release_is_read_into_canonical_tables(folder: Path) -> None:
    release = openimages.read_release(folder, ["train", "test"])
    assert release.classes.values.tolist() == [["/m/a", "Ant"], ["/m/b", "Bee, honey"]]
    assert release.images.values.tolist() == [
        ["i1", "train", "train/i1.jpg", 0],
        ["i2", "train", "train/i2.jpg", 90],
        ["i3", "train", "train/i3.jpg", 0],
        ["i4", "train", "train/i4.jpg", 0],
        ["t1", "test", "test/t1.jpg", 270],
    ]
    assert release.boxes["image_id"].tolist() == ["i2", "i1", "i1", "t1"]
    assert release.boxes["is_group_of"].tolist() == [True, False, False, False]
    corners = release.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy()
    assert corners.dtype == np.float32
    # Upright: x takes the place of y, and y that of x or of 1 - x.
    expected = [[0.2, 0.9, 0.6, 0.9], [0.1, 0.4, 0.2, 0.9], [0.1, 0.4, 0.2, 0.9], [0.1, 0.8, 0.1, 0.4]]
    np.testing.assert_allclose(corners, expected, atol=1e-6)


def test_boxes_of_the_upright_photo_are_left_alone(folder: Path) -> None:
    boxes = openimages.read_release(folder, ["train"], boxes_of="upright").boxes
    np.testing.assert_allclose(boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy()[0], [0.1, 0.4, 0.2, 0.9])


def test_columns_are_found_by_name(folder: Path) -> None:
    before = openimages.read_release(folder, ["train"]).boxes
    path = folder / openimages.box_file("train")
    rows = list(csv.reader(path.open()))
    wide = [[*rows[0], *CLICKS.split(",")], *([*row, *["0.5"] * 8] for row in rows[1:])]
    # V6 has eight more columns; the order is turned round to be sure.
    path.write_text("".join(",".join(reversed(row)) + "\r\n" for row in wide))
    after = openimages.read_release(folder, ["train"]).boxes
    assert before.astype({"image_id": str, "label": str}).equals(after.astype({"image_id": str, "label": str}))


@pytest.mark.parametrize("header", ["id,name\n", "LabelName,DisplayName\n", ""])
def test_classes_come_with_and_without_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(header + "/m/a,Ant\n/m/b,Bee\n")
    assert openimages.read_classes(path)["name"].tolist() == ["Ant", "Bee"]
    path.write_text(header + "ornament,Ant\nname tag,Bee\n")  # labels of one's own
    assert openimages.read_classes(path)["name"].tolist() == ["Ant", "Bee"]


def test_bad_files_are_named(folder: Path) -> None:
    path = folder / openimages.box_file("test")
    path.write_text(f"{BOX_HEADER}\n{box('t1', '/m/a')}\n{box('zz', '/m/a')}\n")
    with pytest.raises(ValueError, match=r"test-annotations-bbox\.csv, line 3: image zz is not in .*rotation\.csv"):
        openimages.read_release(folder, ["train", "test"])
    path.write_text(f"{BOX_HEADER}\n{box('t1', '/m/q')}\n")
    with pytest.raises(ValueError, match=r"test-annotations-bbox\.csv, line 2: label /m/q is not in .*boxable\.csv"):
        openimages.read_release(folder, ["train", "test"])
    path.write_text(f"{BOX_HEADER}\n{box('t1', '/m/a', '0.1,wide,0.2,0.9')}\n")
    with pytest.raises(ValueError, match=r"test-annotations-bbox\.csv.*wide"):
        openimages.read_release(folder, ["train", "test"])
    path.write_text(BOX_HEADER.replace("XMax", "X2") + "\n")
    with pytest.raises(ValueError, match=r"test-annotations-bbox\.csv: column XMax is missing"):
        openimages.read_release(folder, ["train", "test"])
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"test-annotations-bbox\.csv does not exist"):
        openimages.read_release(folder, ["train", "test"])


def test_boxes_of_official_files_are_mended_as_those_of_any_source(folder: Path) -> None:
    odd = ["-1e-8,0.4,0.2,0.9", "0.1,1.000001,0.2,0.9", "0.1,1.01,0.2,0.9", "0.4,0.1,0.2,0.9", "0.1,,0.2,0.9"]
    lines = [*(box("i1", "/m/a") for _ in range(95)), *(box("i3", "/m/b", corners) for corners in odd)]
    write_split(folder, "train", {"i1": "0", "i3": "0"}, lines)
    release = openimages.read_release(folder, ["train"])
    mended, account = mend(release, "clip", most=0.02)
    assert (account.boxes, account.clipped, account.dropped) == (100, 3, 2)
    assert all("i3" in example for example in account.examples), account.examples
    corners = mended.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy()
    np.testing.assert_allclose(corners[95:], [[0, 0.4, 0.2, 0.9], [0.1, 1, 0.2, 0.9], [0.1, 1, 0.2, 0.9]], rtol=1e-6)
    with pytest.raises(ValueError, match="5 of 100 boxes"):
        mend(release, "clip", most=0.01)


def test_a_release_without_boxes_is_refused(folder: Path) -> None:
    (folder / openimages.box_file("train")).write_text(BOX_HEADER + "\n")
    with pytest.raises(ValueError, match="not one box"):
        openimages.read_release(folder, ["train"])


CORNERS = st.tuples(st.integers(0, 11), st.integers(1, 12), st.integers(0, 7), st.integers(1, 8)).filter(
    lambda c: c[0] < c[1] and c[2] < c[3]
)


@given(CORNERS, st.sampled_from([0, 90, 180, 270]))
def test_boxes_turn_with_their_photo(corners: tuple[int, int, int, int], rotation: int) -> None:
    x1, x2, y1, y2 = corners
    photo = np.zeros((8, 12), np.uint8)
    photo[y1:y2, x1:x2] = 255
    # PIL turns counter-clockwise; where the white rectangle lies then is the oracle.
    turned = np.asarray(Image.fromarray(photo).rotate(rotation, expand=True))
    rows, columns = np.nonzero(turned)
    height, width = turned.shape
    expected = [
        columns.min() / width,
        rows.min() / height,
        (columns.max() + 1) / width,
        (rows.max() + 1) / height,
    ]
    found = openimages.rotate_boxes(np.array([[x1 / 12, y1 / 8, x2 / 12, y2 / 8]]), rotation)
    np.testing.assert_allclose(found, [expected], atol=1e-12)


@given(st.lists(CORNERS, max_size=5), st.data())
def test_turns_add_up(corners: list, data: st.DataObject) -> None:
    boxes = np.array([(x1 / 12, y1 / 8, x2 / 12, y2 / 8) for x1, x2, y1, y2 in corners]).reshape(-1, 4)
    turns = [
        np.array(
            data.draw(st.lists(st.sampled_from([0, 90, 180, 270]), min_size=len(boxes), max_size=len(boxes))),
            int,
        )
        for _ in "ab"
    ]
    twice = openimages.rotate_boxes(openimages.rotate_boxes(boxes, turns[0]), turns[1])
    np.testing.assert_allclose(twice, openimages.rotate_boxes(boxes, (turns[0] + turns[1]) % 360), atol=1e-12)


def test_real_rows_are_read(shared: Path, tmp_path: Path) -> None:
    real = shared / "openimages"
    (tmp_path / "class-descriptions-boxable.csv").write_bytes((real / "class-descriptions-boxable.csv").read_bytes())
    for split, name in (
        ("train", "train-annotations-bbox.body-parts.csv"),
        ("validation", "photos-annotations-bbox.csv"),
    ):
        text = (real / name).read_bytes()
        ids = sorted({line.split(",")[0] for line in text.decode().splitlines()[1:]})
        write_split(tmp_path, split, dict.fromkeys(ids, "0.0"), [])
        (tmp_path / openimages.box_file(split)).write_bytes(text)
    release = openimages.read_release(tmp_path, ["train", "validation"])
    validation = release.boxes[
        release.boxes["image_id"].isin(release.images.query("split == 'validation'")["image_id"])
    ]
    assert len(release.boxes) == 13134 + 91
    assert len(release.images) == 10079 + 24
    assert validation["label"].nunique() == 19
    assert not validation["is_group_of"].any()
    # The first train row, as the file prints it.
    first = release.boxes.iloc[0]
    assert (first["image_id"], first["label"]) == ("00007902a7b96e8c", "/m/031n1")
    np.testing.assert_allclose(
        first[["xmin", "xmax", "ymin", "ymax"]].astype(float),
        [0.243542, 0.434502, 0.805204, 0.90225],
        atol=1e-6,
    )


def test_a_flag_that_one_file_lacks_is_unknown_for_all(folder: Path) -> None:
    """A column of noes would say that there are no drawings."""
    assert "is_depiction" in openimages.read_release(folder, ["train", "test"]).boxes
    header = BOX_HEADER.replace(",IsDepiction", "")
    write_split(folder, "test", {"t1": "0"}, ["t1,xclick,/m/a,1,0.1,0.4,0.2,0.9,0,1,0,0"], header=header)
    assert "is_depiction" not in openimages.read_release(folder, ["train", "test"]).boxes
    assert "is_depiction" in openimages.read_release(folder, ["train"]).boxes


def test_a_header_that_is_not_utf_8_is_named(folder: Path) -> None:
    path = folder / openimages.box_file("train")
    path.write_bytes("Bild-Nummer f\u00fcr\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"bbox\.csv is not UTF-8"):
        openimages.read_release(folder, ["train"])


def test_flags_with_decimals_and_packed_files_are_read(folder: Path) -> None:
    plain = openimages.read_release(folder, ["train", "test"])
    for path in [folder / name for name in openimages.annotation_files(["train", "test"])]:
        text = path.read_text().replace(",0,1,1,0,0\n", ",0,1,1.0,0.0,0\n").replace(",0,1,0,0,0\n", ",0,1,,0,0\n")
        path.unlink()
        # As the workflow downloads it, and as it lies on a mirror.
        name = path.name if path.name.startswith("test") else f"{path.name}.gz"
        path.with_name(name).write_bytes(gzip.compress(text.encode()))
    packed = openimages.read_release(folder, ["train", "test"])
    for name in ("images", "boxes", "classes"):
        pd.testing.assert_frame_equal(getattr(packed, name), getattr(plain, name))


def test_files_of_a_spreadsheet_in_utf_16_are_read_and_blanks_around_names_go(folder: Path) -> None:
    plain = openimages.read_release(folder, ["train", "test"])
    for path in [folder / name for name in openimages.annotation_files(["train", "test"])]:
        path.write_text(path.read_text().replace("/m/a,Ant", " /m/a , Ant "), encoding="utf-16")
    again = openimages.read_release(folder, ["train", "test"])
    for name in ("images", "boxes", "classes"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(plain, name))


def test_a_class_without_a_name_is_refused(folder: Path) -> None:
    path = folder / openimages.CLASSES_FILE
    path.write_text(path.read_text().replace("Ant", " "))
    with pytest.raises(ValueError, match="row 1 is not a label and a name"):
        openimages.read_release(folder, ["train"])
