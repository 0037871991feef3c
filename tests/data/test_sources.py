"""Sources that lie in a folder: their tables, their errors, and where a study's files are looked for."""

from __future__ import annotations

import gzip
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data import coco, folder, imagenet, official, sources, voc, web
from oac.data.bad_boxes import mend
from oac.data.subset import select
from oac.data.tables import BOX_COLUMNS, IMAGE_COLUMNS, Release

COCO = {"train": "a/train.json", "test": "a/test.json", "train_photos": "t", "test_photos": "v"}


def corners(release: Release) -> list[list[float]]:
    return np.round(release.boxes[["xmin", "xmax", "ymin", "ymax"]].to_numpy(float), 4).tolist()


GOOD = {"id": 5, "image_id": 11, "category_id": 7, "bbox": [1, 1, 2, 2.5], "iscrowd": 0}
PHOTO = {"id": 11, "file_name": "a.jpg", "width": 200, "height": 100}


def write_coco(root: Path, name: str, **changes: list) -> None:
    content = {
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "images": [
            {"id": 11, "file_name": f"{name}_11.jpg", "width": 200, "height": 100},
            {"id": 12, "file_name": f"{name}_12.jpg", "width": 50, "height": 50},
        ],
        "annotations": [
            {"image_id": 11, "category_id": 7, "bbox": [20, 10, 40.0, 50], "iscrowd": 0},
            {"image_id": 11, "category_id": 3, "bbox": [190, 90, 20, 30], "iscrowd": 1},
            {"image_id": 11, "category_id": 3, "bbox": [10, 10, 0, 30], "iscrowd": 0},
        ],
    } | changes
    path = root / "a" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def test_coco_becomes_canonical_tables(tmp_path: Path) -> None:
    write_coco(tmp_path, "train")
    write_coco(tmp_path, "test")
    release = coco.read_release(tmp_path, **COCO)
    assert list(release.images.columns) == IMAGE_COLUMNS
    assert list(release.boxes.columns) == BOX_COLUMNS
    assert release.images.values.tolist() == [
        ["train_11", "train", "t/train_11.jpg", 0],
        ["train_12", "train", "t/train_12.jpg", 0],
        ["test_11", "test", "v/test_11.jpg", 0],
        ["test_12", "test", "v/test_12.jpg", 0],
    ]
    assert release.classes["label"].tolist() == ["cat", "dog"]  # by their number
    # Corners beyond the photo are cut, boxes without area left out, crowds are groups.
    release, account = mend(release, "clip", most=1)
    assert (account.boxes, account.clipped, account.dropped) == (6, 2, 2)
    assert corners(release) == [[0.1, 0.3, 0.1, 0.6], [0.95, 1.0, 0.9, 1.0]] * 2
    assert release.boxes["label"].tolist() == ["dog", "cat"] * 2
    assert release.boxes["is_group_of"].tolist() == [False, True] * 2
    assert len(select(release, min_images_per_class=1, max_bad_boxes=1).images) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"annotations": [{"image_id": 99, "category_id": 7, "bbox": [1, 1, 2, 2]}]},
            r"of image 99, which it does not",
        ),
        (
            {"annotations": [{"image_id": 11, "category_id": 5, "bbox": [1, 1, 2, 2]}]},
            r"of category 5, which it does",
        ),
        (
            {"annotations": [{"image_id": 11, "bbox": [1, 1, 2, 2]}]},
            r"not laid out like COCO's .*annotations, entry 1 has no 'category_id'",
        ),
        ({"categories": [{"id": 7, "name": "dog"}]}, r"of category 3"),
        ({"images": [], "annotations": []}, "not one box"),
        *(
            (
                {"annotations": [GOOD, GOOD | {"bbox": bbox}]},
                r"train\.json is not .*annotation 5 of image 11 has the bbox",
            )
            for bbox in ([1, 1, 2, float("nan")], [1, 1, 2], [1, 1, 2, 2, 2], [1, 1, 2, "2"], "1122", [1, 1, 2, True])
        ),
        ({"images": [PHOTO, PHOTO]}, r"train\.json is not .*the image id 11 is listed twice"),
        ({"images": [PHOTO | {"file_name": 3}]}, r"train\.json is not .*image 11 has the file 3"),
    ],
)
def test_wrong_coco_files_are_named(tmp_path: Path, changes: dict, named: str) -> None:
    write_coco(tmp_path, "train", **changes)
    write_coco(tmp_path, "test", **({"annotations": []} if "images" in changes else {}))
    with pytest.raises(ValueError, match=named):
        coco.read_release(tmp_path, **COCO)
    (tmp_path / "a/test.json").unlink()
    write_coco(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match=r"test\.json does not exist"):
        coco.read_release(tmp_path, **COCO)
    (tmp_path / "a/test.json").write_text("{")
    with pytest.raises(ValueError, match="not laid out like COCO's"):
        coco.read_release(tmp_path, **COCO)


@pytest.mark.parametrize("bbox", [{}, {"bbox": None}, {"bbox": []}])
def test_an_annotation_of_coco_without_a_box_is_a_bad_box(tmp_path: Path, bbox: dict) -> None:
    """As tools write polygons and masks."""
    polygon = {key: value for key, value in GOOD.items() if key != "bbox"} | bbox
    write_coco(tmp_path, "train", annotations=[GOOD, polygon])
    write_coco(tmp_path, "test", annotations=[])
    release = coco.read_release(tmp_path, **COCO)
    mended, account = mend(release, "clip", most=0.5)
    assert (len(mended.boxes), account.dropped) == (1, 1)
    with pytest.raises(ValueError, match=r"1 of 2 boxes .*no corners.* 1 have no corners, as objects with a polygon"):
        mend(release, "clip", most=0.05)


@pytest.mark.parametrize("place", ["train", "train/train"])
def test_names_of_coco_photos_may_begin_with_their_folder(tmp_path: Path, place: str) -> None:
    """As Label Studio and others write them; where the folder holds one of its own name that is meant.

    Photos may be gone or lie elsewhere (data.photos), so none is looked for.
    """
    options = COCO | {"train_photos": "./train", "test_photos": "test"}
    write_coco(tmp_path, "train", images=[PHOTO | {"file_name": "train\\1.jpg"}], annotations=[GOOD])
    write_coco(tmp_path, "test", annotations=[])
    (tmp_path / place).mkdir(parents=True)
    assert coco.read_release(tmp_path, **options).images["path"].iloc[0] == f"{place}/1.jpg"
    other = [PHOTO | {"file_name": "train/1.jpg"}, PHOTO | {"id": 2, "file_name": "2.jpg"}]
    write_coco(tmp_path, "train", images=other, annotations=[GOOD])
    assert coco.read_release(tmp_path, **options).images["path"].tolist()[:2] == ["train/train/1.jpg", "train/2.jpg"]


@pytest.mark.parametrize("name", ["/home/u/1.jpg", "C:\\u\\1.jpg", "../1.jpg"])
def test_a_coco_photo_outside_of_the_data_set_is_refused(tmp_path: Path, name: str) -> None:
    write_coco(tmp_path, "train", images=[PHOTO | {"file_name": name}], annotations=[GOOD])
    write_coco(tmp_path, "test", annotations=[])
    for place in (".", "train"):
        with pytest.raises(ValueError, match=r"1\.jpg lies outside of the data set's folder: name it by its path"):
            coco.read_release(tmp_path, **COCO | {"train_photos": place})


def test_coco_numbers_with_zeros_in_front_are_those_without(tmp_path: Path) -> None:
    zero = [{"id": "00", "name": "dog"}, {"id": "7.0", "name": "cat"}]
    boxes = [GOOD | {"category_id": "07"}, GOOD | {"category_id": 0, "image_id": "11.0"}]
    write_coco(tmp_path, "train", images=[PHOTO | {"id": "0011"}], annotations=boxes, categories=zero)
    write_coco(tmp_path, "test", annotations=[])
    assert coco.read_release(tmp_path, **COCO).boxes["label"].tolist() == ["cat", "dog"]


def test_a_folder_of_class_folders_has_one_label_a_photo(tmp_path: Path) -> None:
    for path in ("train/n02/b.JPEG", "train/n01/a.JPEG", "train/n01/notes.txt", "val/n02/c.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "map.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\n")
    release = imagenet.read_release(tmp_path, train="train", test="val", names="map.txt")
    assert release.images.values.tolist() == [
        ["a", "train", "train/n01/a.JPEG", 0],
        ["b", "train", "train/n02/b.JPEG", 0],
        ["c", "test", "val/n02/c.jpg", 0],
    ]
    assert release.classes.values.tolist() == [["n01", "tench, Tinca tinca"], ["n02", "goldfish"]]
    assert corners(release) == [[0, 1, 0, 1]] * 3
    chosen = select(release, min_classes_per_image=1, min_images_per_class=1)
    assert chosen.classes["train_images"].tolist() == [1, 1]
    (tmp_path / "val/n03").mkdir()
    (tmp_path / "val/n03/d.jpg").touch()
    with pytest.raises(ValueError, match=r"val has the class n03, which .*train does not have"):
        imagenet.read_release(tmp_path, train="train", test="val")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        imagenet.read_release(tmp_path, train="train", test="nowhere")


def test_a_folder_around_all_class_folders_is_no_class(tmp_path: Path) -> None:
    for path in ("train/in/cat/1.jpg", "train/in/dog/2.jpg", "val/in/cat/3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(
        ValueError, match=r"train/in is the only class folder, .*folders cat, dog of it: .*train/in in"
    ):
        imagenet.read_release(tmp_path, train="train", test="val")
    release = imagenet.read_release(tmp_path, train="train/in", test="val/in")
    assert release.classes["label"].tolist() == ["cat", "dog"]
    (tmp_path / "train/bird").mkdir()
    (tmp_path / "train/bird/4.jpg").touch()  # of several class folders one may be sorted further
    (tmp_path / "val/in/dog").mkdir()
    (tmp_path / "val/in/dog/5.jpg").touch()
    assert imagenet.read_release(tmp_path, train="train", test="val").classes["label"].tolist() == ["bird", "in"]


def test_class_folders_of_both_splits_are_joined_in_either_form_of_unicode(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    for path in (f"train/{one}/1.jpg", f"val/{two}/2.jpg"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    (tmp_path / "names.txt").write_text(f"{two} summer\n", encoding="utf-8")
    release = imagenet.read_release(tmp_path, train="train", test="val", names="names.txt")
    assert release.boxes["label"].tolist() == [one, one]
    assert release.images["path"].iloc[1] == f"val/{two}/2.jpg"
    assert release.classes["name"].tolist() == ["summer"]


def test_class_folders_with_blanks_are_named(tmp_path: Path) -> None:
    for path in ("train/red fox/1.jpg", "train/red/2.jpg", "val/red/3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    for line, name in (("red fox\tVulpes vulpes", "Vulpes vulpes"), ("red fox Vulpes", "Vulpes")):
        (tmp_path / "names.txt").write_text(f"red  a colour\n{line}\n\nred fox\n")
        release = imagenet.read_release(tmp_path, train="train", test="val", names="names.txt")
        assert release.classes["name"].tolist() == ["a colour", name]


HEADER = "split,label,path,xmin,ymin,xmax,ymax,is_group_of,rotation\n"
LINE = "train,cat,b.jpg,0.1,0.1,0.4,0.2,0,0\n"


PIXELS = "path;label;xmin;xmax;ymin;ymax;split\na.jpg;dog;{};{};{};{};train\na.jpg;cat;10;90;0;500;train\n"


@pytest.mark.parametrize(
    ("numbers", "right"),
    [
        (("100", "1.000", "2", "600"), None),
        (("100", "1,000", "2", "600"), None),
        (("100", "1.000,5", "2", "600"), None),
        (("100,5", "900.5", "2", "600"), None),
        (("100,500", "900,5", "2", "600"), (100.5, 900.5, 2, 600)),
        (("0.125", "900.125", "2", "600"), (0.125, 900.125, 2, 600)),
    ],
)
def test_marks_of_thousands_in_pixels_are_not_read_as_decimals(tmp_path, numbers, right):
    Image.new("L", (2000, 1000)).save(tmp_path / "a.jpg")
    (tmp_path / "boxes.csv").write_text(PIXELS.format(*numbers))
    if right is None:
        with pytest.raises(ValueError, match=r"boxes\.csv, line 2: x(min|max) is .*thousands"):
            folder.read_release(tmp_path, boxes="boxes.csv", units="pixels")
        return
    found = folder.read_release(tmp_path, boxes="boxes.csv", units="pixels")
    assert corners(found)[0] == np.round(np.divide(right, [2000, 2000, 1000, 1000]), 4).tolist()


def test_paths_of_a_csv_of_boxes_tell_photos_of_one_name_and_join_spellings_of_one(tmp_path: Path) -> None:
    row = "{},{},dog,0.1,0.1,0.4,0.2\n"
    paths = ["x/a.jpg", "y/a.jpg", "b.jpg", "./b.jpg", "c.jpg", "c.png", "x\\a.jpg"]
    lines = [row.format(path, "test" if path == "c.png" else "train") for path in paths]
    (tmp_path / "boxes.csv").write_text("path,split,label,xmin,ymin,xmax,ymax\n" + "".join(lines))
    release = folder.read_release(tmp_path, boxes="boxes.csv")
    assert dict(zip(release.images["image_id"], release.images["path"], strict=True)) == {
        "x__a": "x/a.jpg",
        "y__a": "y/a.jpg",
        "b": "b.jpg",
        "c.jpg": "c.jpg",
        "c.png": "c.png",
    }
    counts = release.boxes["image_id"].value_counts()
    assert (counts["x__a"], counts["b"], counts["c.png"]) == (2, 2, 1)


@pytest.mark.parametrize("units", ["share", "pixels"])
def test_a_csv_of_boxes_beside_photos(tmp_path: Path, units: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.b.jpg", "c.png"):
        Image.new("RGB", (200, 100)).save(tmp_path / name)
    width, height = (200, 100) if units == "pixels" else (1, 1)
    rows = [
        f"train,cat,in/a.b.jpg,{0.1 * width},{0.2 * height},{0.3 * width},{0.6 * height},1,",
        f"train,dog,in/a.b.jpg,0,0,{width},{height},0,",
        f"test,cat,c.png,{0.1 * width},{0.2 * height},{0.3 * width},{0.6 * height},false,90",
    ]
    (tmp_path / "boxes.csv").write_text(HEADER + "\n".join(rows) + "\n")
    release = folder.read_release(tmp_path, boxes="boxes.csv", units=units)
    assert release.images.values.tolist() == [["in__a.b", "train", "in/a.b.jpg", 0], ["c", "test", "c.png", 90]]
    assert release.boxes["is_group_of"].tolist() == [True, False, False]
    # The last photo is turned, and its box with it.
    assert corners(release) == [[0.1, 0.3, 0.2, 0.6], [0, 1, 0, 1], [0.2, 0.6, 0.7, 0.9]]
    assert release.classes["label"].tolist() == ["cat", "dog"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEADER, "has no line of a box"),
        (HEADER.replace("label", "class"), "column label is missing"),
        (
            HEADER + "train,cat,../a.jpg,0.1,0.1,0.4,0.2,0,\n",
            r"photo \.\./a\.jpg lies outside of the data set's folder",
        ),
        (HEADER + "train,cat,/etc/a.jpg,0.1,0.1,0.4,0.2,0,\n", r"photo /etc/a\.jpg lies outside"),
        (HEADER + "train,cat,b/..\\..\\a.jpg,0.1,0.1,0.4,0.2,0,\n", r"photo b/\.\./\.\./a\.jpg lies outside"),
        (HEADER + "dev,cat,a.jpg,0.1,0.1,0.4,0.2,0,\n", r"line 2: split must be one of .*, not 'dev'"),
        (HEADER + "train,cat,a.jpg,0.1,0.1,0.4,0.2,0,45\n", "rotation must be one of"),
        *(
            (HEADER + LINE + line + "\n", rf"boxes\.csv, line 3: {named}")
            for line, named in (
                ("train,cat,a.jpg,0.1,abc,0.4,0.2,0,0", "ymin must be a number, not 'abc'"),
                ("train,cat,a.jpg,0.1,0.1,,0.2,0,0", "xmax must be a number, not ''"),
                ("train,cat,a.jpg,0.1,0.1,inf,0.2,0,0", "xmax must be a number, not 'inf'"),
                ("train,cat,a.jpg,0.1,0.1,0.4,0.2,0,90.7", "rotation must be one of .*, not '90.7'"),
                ("train,cat,a.jpg,0.1,0.1,0.4,0.2,0,65626", "rotation must be one of .*, not '65626'"),
                ("train,cat,a.jpg,0.1,0.1,0.4,0.2,0,left", "rotation must be one of .*, not 'left'"),
                ("train,cat,a.jpg,0.1,0.1,0.4,0.2,2,0", "is_group_of must be 1 or 0, not '2'"),
                ("train,cat,,0.1,0.1,0.4,0.2,0,0", "path must not be blank"),
                ("train, ,a.jpg,0.1,0.1,0.4,0.2,0,0", "label must not be blank"),
            )
        ),
    ],
)
def test_wrong_csv_files_are_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(ValueError, match=named):
        folder.read_release(tmp_path, boxes="boxes.csv")
    with pytest.raises(FileNotFoundError, match=r"other\.csv does not exist"):
        folder.read_release(tmp_path, boxes="other.csv")


def test_flags_and_turns_are_read_as_programs_write_them(tmp_path: Path) -> None:
    """With decimals, which a table gets from a column that has a blank, as in the official image lists."""
    flags = ["1.0", "TRUE", " 1", "0.0", "", "-1"]
    turns = ["90.0", "180", "", "0.0", "270.0", "0"]
    lines = [
        f"train,cat,{n}.jpg,0.1,0.2,0.3,0.6,{f},{t}\n" for n, (f, t) in enumerate(zip(flags, turns, strict=True))
    ]
    (tmp_path / "boxes.csv").write_text(HEADER + "".join(lines))
    release = folder.read_release(tmp_path, boxes="boxes.csv")
    assert release.boxes["is_group_of"].tolist() == [True, True, True, False, False, False]
    assert release.boxes["is_group_of"].dtype == bool
    assert release.images["rotation"].tolist() == [90, 180, 0, 0, 270, 0]
    assert release.images["rotation"].dtype == np.int16


def test_the_flag_of_groups_may_have_the_name_of_open_images(tmp_path: Path) -> None:
    line = "train,cat,a.jpg,0.1,0.2,0.3,0.6,1,0\n"
    (tmp_path / "boxes.csv").write_text(HEADER.replace("is_group_of", "IsGroupOf") + line)
    assert folder.read_release(tmp_path, boxes="boxes.csv").boxes["is_group_of"].tolist() == [True]


@pytest.mark.parametrize("module", [coco, folder, imagenet, voc])
def test_a_source_is_read_where_its_files_lie(tmp_path: Path, module: object) -> None:
    name = module.__name__.rsplit(".", 1)[-1]  # type: ignore[attr-defined]
    own = {"coco": COCO, "folder": {"boxes": "boxes.csv"}, "imagenet": {"train": "a/t", "test": "v"}, "voc": {}}[name]
    data = {"source": name, "location": str(tmp_path), name: own, "store": {"shards": {"train": 1, "test": 1}}}
    assert sources.annotation_files(data) == []
    files = sources.local_files(data)
    assert files
    assert all(Path(file).is_relative_to(tmp_path) for file in files)
    seen = []

    tables = Release(pd.DataFrame(columns=IMAGE_COLUMNS), pd.DataFrame(), pd.DataFrame(columns=["label", "name"]))

    def read_release(place: Path, **options: object) -> Release:
        seen.append((place, options))
        return tables

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_release", read_release)
        options = {"source": name, name: own, "shards": {}}
        assert sources.read(options, str(tmp_path), tmp_path / "release", str(tmp_path)) is tables
    assert seen == [(tmp_path, own)]


def test_a_file_address_is_the_folder_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    for address in (folder.as_uri(), str(folder)):
        assert sources.local_folder(address) == str(folder)
        assert web.open_source(address).folder == folder
        data = {"location": address, "voc": {}, "store": {"shards": {"train": 1}}}
        assert sources.local_files(data | {"source": "voc"})[0] == f"{folder}/ImageSets/Main/train.txt"
        assert sources.local_files(data | {"source": "dicts"})[0] == f"{folder}/images_selected_new.npy"
        assert sources.difficult_marks(data | {"source": "voc"}) == str(folder)
        assert sources.difficult_marks(data | {"source": "coco"}) is None
    assert sources.local_folder("https://a/b%20c") == "https://a/b%20c"


def test_photos_of_the_official_release_come_from_the_bucket() -> None:
    data = {"source": "openimages", "location": official.BASE, "store": {"shards": {"train": 1, "test": 1}}}
    assert sources.photos_address(data) == official.PHOTOS
    assert sources.is_verified(data)
    assert not sources.is_verified(data | {"verify": False})
    mirror = data | {"location": "file:///mirror"}
    assert (sources.photos_address(mirror), sources.is_verified(mirror)) == ("file:///mirror", False)
    assert sources.photos_address(mirror | {"photos": "/p"}) == "/p"
    dicts = {"source": "dicts", "location": "/dicts", "store": {"shards": {"train": 1, "test": 1}}}
    assert sources.photos_address(dicts) == official.PHOTOS
    assert "oidv6-train-annotations-bbox.csv" not in sources.annotation_files(dicts)
    assert len(sources.local_files(dicts)) == 3


def test_real_voc_annotations_agree_with_themselves_as_csv(shared: Path, tmp_path: Path) -> None:
    """The same photos through two sources give the same boxes."""
    release = voc.read_release(shared / "voc2007")
    some = release.images.groupby("split", group_keys=False).head(40)
    boxes = release.boxes[release.boxes["image_id"].isin(some["image_id"])].merge(some, on="image_id")
    for path in some["path"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).symlink_to((shared / "voc2007" / path).resolve())
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    found = folder.read_release(tmp_path, boxes="boxes.csv")
    assert set(found.images["path"]) == set(some["path"])
    np.testing.assert_allclose(
        found.boxes[["xmin", "xmax", "ymin", "ymax"]], boxes[["xmin", "xmax", "ymin", "ymax"]], atol=1e-6
    )
    assert found.boxes["label"].tolist() == boxes["label"].tolist()
    assert isinstance(found.classes, pd.DataFrame)


def test_a_csv_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_bytes(HEADER.encode() + LINE.replace("cat", "caf\u00e9").encode("latin-1"))
    with pytest.raises(ValueError, match=r"boxes\.csv is not UTF-8 .*save it as UTF-8"):
        folder.read_release(tmp_path, boxes="boxes.csv")


def test_coco_files_are_joined_by_the_names_of_their_categories(tmp_path: Path) -> None:
    """Other numbers, other orders, a category that one file lacks, and a root of a class's name that nothing has."""
    write_coco(
        tmp_path, "train", categories=[{"id": 7, "name": " dog"}, {"id": 3, "name": "cat"}, {"id": 0, "name": "dog"}]
    )
    write_coco(tmp_path, "test", categories=[{"id": 3, "name": "dog"}, {"id": 7, "name": "bird"}])
    release = coco.read_release(tmp_path, **COCO)
    assert release.classes["label"].tolist() == ["dog", "cat", "bird"]
    assert release.boxes["label"].tolist() == ["dog", "cat", "cat", "bird", "dog", "dog"]


@pytest.mark.parametrize(
    ("categories", "named"),
    [
        (
            [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 3, "name": "tree"}],
            "3 is listed as cat and as tree",
        ),
        ([{"id": 7, "name": "dog"}, {"id": 3, "name": None}], "category 3 has the name None"),
        ([{"id": 7, "name": "dog"}, {"id": 3, "name": "  "}], "category 3 has the name '  '"),
    ],
)
def test_a_category_has_one_name(tmp_path: Path, categories: list, named: str) -> None:
    write_coco(tmp_path, "train", categories=categories)
    write_coco(tmp_path, "test")
    with pytest.raises(ValueError, match=named):
        coco.read_release(tmp_path, **COCO)


def test_photos_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": f"{place}/1.jpg", "width": 200, "height": 100}
        for number, place in ((11, "a"), (12, "b"))
    ]
    write_coco(tmp_path, "train", images=images)
    write_coco(tmp_path, "test", images=[images[0] | {"file_name": "7.jpg"}])
    release = coco.read_release(tmp_path, **COCO)
    assert release.images["image_id"].tolist() == ["t/a/1", "t/b/1", "7"]
    assert release.boxes["image_id"].tolist() == ["t/a/1"] * 3 + ["7"] * 3


def test_class_folders_may_be_deep_and_hold_what_a_desktop_leaves(tmp_path: Path) -> None:
    cats = ["1.jpg", "images/2.JPG", ".ipynb_checkpoints/1-checkpoint.jpg", "._1.jpg"]
    others = ["train/dogs/1.jpg", "train/dogs/@eaDir/1.jpg", "train/.ipynb_checkpoints/1.jpg", "train/@eaDir/1.jpg"]
    others += ["train/lost+found/1.jpg", "val/__MACOSX/1.jpg", "train/dogs/$RECYCLE.BIN/1.jpg"]
    for path in [*(f"train/cats/{name}" for name in cats), *others, "val/dogs/3.bmp"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert release.images[["image_id", "path"]].values.tolist() == [
        ["train/cats/1", "train/cats/1.jpg"],
        ["2", "train/cats/images/2.JPG"],
        ["train/dogs/1", "train/dogs/1.jpg"],
        ["3", "val/dogs/3.bmp"],
    ]
    assert release.classes["label"].tolist() == ["cats", "dogs"]
    assert imagenet.most_photos(tmp_path, train="train", test="val") == {"train": 3, "test": 1}


def test_a_class_folder_that_is_a_link_to_another_leaves_no_file_uncounted(tmp_path: Path) -> None:
    for path in ("train/a/1.jpg", "train/a/notes.txt", "val/a/2.jpg", "val/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "train/b").symlink_to("a")
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert release.images["path"].tolist() == ["train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg"]
    assert release.other_files == 3


def test_a_csv_of_boxes_is_read_once_for_a_plan_and_again_when_it_changes(tmp_path: Path, monkeypatch) -> None:
    read, plain = [], folder.read_user_table
    monkeypatch.setattr(folder, "read_user_table", lambda path: read.append(path) or plain(path))
    for lines in (1, 2):
        (tmp_path / "boxes.csv").write_text(HEADER + "train,cat,a.jpg,0.1,0.2,0.3,0.6,0,0\n" * lines)
        assert folder.most_photos(tmp_path, boxes="boxes.csv") == {"train": lines}
        assert len(list(folder.state(tmp_path, boxes="boxes.csv"))) == 1
        assert len(read) == lines


def test_empty_class_folders_and_photos_in_none_are_named(tmp_path: Path) -> None:
    for path in ("train/cat/1.jpg", "train/2.jpg", "train/notes.txt", "train/dog/readme.md", "val/cat/3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert release.images["path"].tolist() == ["train/cat/1.jpg", "val/cat/3.jpg"]
    assert release.other_files == 2
    assert release.notes == (
        "Class folders without a photo: 1, the first: train/dog.",
        "Photos beside the class folders, which are left out: 1, the first: train/2.jpg.",
    )


def test_a_link_beside_its_photo_is_one_image_and_one_in_another_class_stays(tmp_path: Path) -> None:
    for path in ("train/cat/b.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "elsewhere/4.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for path, target in (("train/cat/a.jpg", "b.jpg"), ("val/cat/4.jpg", "../../elsewhere/4.jpg")):
        (tmp_path / path).symlink_to(target)
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert release.images["path"].tolist() == ["train/cat/b.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/cat/4.jpg"]
    assert release.notes == ("Links to other photos of the folder, left out so that each photo counts once: 1.",)
    assert release.other_files == 0
    assert imagenet.most_photos(tmp_path, train="train", test="val") == {"train": 2, "test": 2}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("".join(f"n{n:02}\tclass {n}\n" for n in range(19)), None),
        (
            "".join(f"n{n:02} class {n}\n" for n in range(18)),
            r"names 18 of 20 class folders, and not n18, n19: each line",
        ),
        ("".join(f"n{n:02},class {n}\n" for n in range(20)), "names 0 of 20 class folders, and not n00, n01, n02"),
        ("n00\nn01 \n", "names 0 of 20 class folders"),
        ("n00 cat\nn01 dog\nn00 tree\n", r"names\.txt, line 3: n00 is named tree here and cat before"),
    ],
)
def test_class_folders_without_a_name_are_counted_and_too_many_refused(tmp_path: Path, text: str, named: str) -> None:
    for number in range(20):
        (tmp_path / f"train/n{number:02}").mkdir(parents=True)
        (tmp_path / f"train/n{number:02}/{number}.jpg").touch()
    (tmp_path / "val/n00").mkdir(parents=True)
    (tmp_path / "val/n00/99.jpg").touch()
    (tmp_path / "names.txt").write_text(text)
    if named:
        with pytest.raises(ValueError, match=named):
            imagenet.read_release(tmp_path, train="train", test="val", names="names.txt")
        return
    release = imagenet.read_release(tmp_path, train="train", test="val", names="names.txt")
    assert release.classes["name"].tolist() == [*(f"class {n}" for n in range(19)), "n19"]
    assert release.notes == (
        "names.txt: 19 of 20 class folders have a name in it. The others are named like their folders, the first: "
        "n19.",
    )


def test_blanks_around_the_name_of_a_class_folder_make_no_other_class(tmp_path: Path) -> None:
    for path in ("train/ cat/1.jpg", "train/cat/2.jpg", "val/cat /3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert sorted(release.images["path"]) == ["train/ cat/1.jpg", "train/cat/2.jpg", "val/cat /3.jpg"]
    assert release.classes.values.tolist() == [["cat", "cat"]]
    assert release.boxes["label"].tolist() == ["cat"] * 3
    (tmp_path / "val/  ").mkdir()
    with pytest.raises(ValueError, match="val: the name of the folder '  ' is blank: rename it"):
        imagenet.read_release(tmp_path, train="train", test="val")


PLAIN = "path,label,xmin,xmax,ymin,ymax,split\na.jpg,cat,0.25,0.5,0,1,train\nb.jpg,dog,0,1,0.5,0.75,validation\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ";").replace(".5", ",5").replace(".25", ",25").replace(".75", ",75"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", ").replace("\n", " \r\n"),
        PLAIN.replace(PLAIN.splitlines()[0], "Path,LABEL,XMin,XMax,YMin,YMax,Split"),
        PLAIN.replace("validation", "val").replace("train", "Train"),
        PLAIN.replace("\n", ",\n"),
        "\n" + PLAIN.replace("\n", "\n\n,,\n"),
        PLAIN.replace("a.jpg", '".\\a.jpg"'),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        gzip.compress(PLAIN.encode(), mtime=0),
    ],
)
def test_tables_of_boxes_are_read_as_programs_write_them(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "boxes.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    release = folder.read_release(tmp_path, boxes="boxes.csv")
    assert release.images.values.tolist() == [["a", "train", "a.jpg", 0], ["b", "validation", "b.jpg", 0]]
    assert release.boxes["label"].tolist() == ["cat", "dog"]
    assert corners(release) == [[0.25, 0.5, 0, 1], [0, 1, 0.5, 0.75]]
    assert folder.most_photos(tmp_path, boxes="boxes.csv") == {"train": 1, "validation": 1}
    assert [line.partition("\t")[0] for line in folder.state(tmp_path, boxes="boxes.csv")] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (PLAIN.replace("cat,", "cat, black,"), r"line 2: field 8 is 'train', but the first line names 7 columns"),
        (PLAIN.replace("0.25", "0,25"), r"line 2: field 8 is 'train'.*decimal comma"),
        (PLAIN.replace("0.75", '"0,75"'), r"line 3: ymax must be a number, not '0,75'"),
        (PLAIN.replace("\n", "\n\n\n").replace("0.75", "high"), r"line 7: ymax must be a number, not 'high'"),
        (PLAIN.replace("cat", '"ca\nt"').replace("0.75", "high"), r"line 4: ymax must be a number, not 'high'"),
        (PLAIN.replace("dog", '"dog'), r"line 3: .*quotation mark"),
        (PLAIN.replace(",validation", ""), r"line 3: split must be one of .*, not ''"),
        (PLAIN.replace("ymin", "XMin"), r"names the column xmin more than once"),
        (PLAIN.encode("utf-16")[2:], r"is no text in UTF-8: save it as such"),
        (b"PK\x03\x04\0\0", r"is no text in UTF-8.*spreadsheet"),
        (b"", r"is empty: its first line must name the columns"),
        (gzip.compress(PLAIN.encode(), mtime=0)[:40], r"cannot be read: EOFError"),
        (PLAIN + "a.jpg,cat,0,1,0,1,test\n", r"line 4: split of photo a\.jpg is test here and train before"),
    ],
)
def test_a_table_of_boxes_that_is_wrong_is_named_with_its_line(
    tmp_path: Path, content: str | bytes, named: str
) -> None:
    (tmp_path / "boxes.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"boxes\.csv.*" + named):
        folder.read_release(tmp_path, boxes="boxes.csv")


def test_numbers_of_coco_files_may_be_texts(tmp_path: Path) -> None:
    """In the list of images and not in the annotations, and the other way round; ids may be names too."""
    write_coco(tmp_path, "train", images=[PHOTO | {"id": "11"}, PHOTO | {"id": 12.0, "file_name": "b.jpg"}])
    boxes = [GOOD | {"image_id": " 11", "category_id": "dog"}, GOOD | {"category_id": 3}]
    categories = [{"id": "dog", "name": "dog"}, {"id": "3", "name": "cat"}]
    write_coco(tmp_path, "test", annotations=boxes, categories=categories)
    release = coco.read_release(tmp_path, **COCO)
    assert release.boxes["label"].tolist() == ["dog", "cat", "cat", "dog", "cat"]
    assert release.boxes["image_id"].tolist() == ["a"] * 3 + ["test_11"] * 2
    marked = (tmp_path / "a/test.json").read_bytes()
    (tmp_path / "a/test.json").write_bytes(b"\xef\xbb\xbf" + marked)
    pd.testing.assert_frame_equal(coco.read_release(tmp_path, **COCO).boxes, release.boxes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"annotations": [GOOD | {"image_id": [11]}]}, r"annotations, entry 1: image_id is \[11\]"),
        ({"annotations": [GOOD, GOOD | {"image_id": "no"}]}, r"annotation entry 2 is of image no, which it does not"),
        ({"annotations": ["GOOD"]}, r"annotations, entry 1: "),
        ({"annotations": [GOOD | {"bbox": [0, 0, 10**400, 1]}]}, r"entry 1: annotation 5 of image 11 has the bbox"),
        ({"annotations": [GOOD | {"iscrowd": "some"}]}, r"iscrowd 'some'"),
        ({"images": {"id": 1}}, r"has no list 'images'"),
        ({"categories": [{"id": "--1", "name": "cat"}]}, r"train\.json: annotation entry 1 is of category"),
        ({"categories": [{"id": 3, "name": "cat\ud800"}]}, r"train\.json .*category 3 has the name"),
        ({"images": [PHOTO, PHOTO | {"id": "11", "file_name": "b.jpg"}]}, r"the image id 11 is listed twice"),
        ({"images": [PHOTO, PHOTO | {"id": 1, "file_name": "./a.jpg"}]}, r"photo t/a\.jpg is listed more than once"),
        ({"images": [PHOTO | {"file_name": "in\\..\\..\\..\\a.jpg"}]}, r"photo in/\.\./.* lies outside"),
        ({"images": [PHOTO | {"file_name": "a\0.jpg"}]}, "has a character of code 0"),
    ],
)
def test_wrong_entries_of_coco_files_are_named(tmp_path: Path, changes: dict, named: str) -> None:
    write_coco(tmp_path, "train", **changes | ({"annotations": [GOOD]} if "images" in changes else {}))
    write_coco(tmp_path, "test")
    with pytest.raises(ValueError, match=named):
        coco.read_release(tmp_path, **COCO)


def test_a_key_that_a_coco_file_has_twice_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path, "train")
    write_coco(tmp_path, "test")
    file = tmp_path / "a/train.json"
    file.write_text(file.read_text()[:-1] + ', "annotations": []}')
    with pytest.raises(ValueError, match=r"train\.json .*the key 'annotations' is given twice"):
        coco.read_release(tmp_path, **COCO)


def test_a_line_break_that_no_csv_keeps_is_refused_in_every_source(tmp_path: Path) -> None:
    """Classes None, null and the like are kept in the tables of the project; a carriage return would end a line."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    labels = tmp_path / "labels.csv"
    labels.write_bytes(b'image_id,label,split\na.jpg,"hot\rdog",train\nb.jpg,"hot\rdog",test\n')
    (tmp_path / "boxes.csv").write_bytes(HEADER.encode() + b'train,"hot\rdog",a.jpg,0,1,0,1,0,0\n')
    shards = {"shards": {"train": 1}}
    for options in (
        {"source": "photos", "labels": str(labels)},
        {"source": "folder", "folder": {"boxes": "boxes.csv", "units": "share"}},
    ):
        place = tmp_path / "photos" if options["source"] == "photos" else tmp_path
        with pytest.raises(ValueError, match=r"the label 'hot\\rdog' has a line break"):
            sources.read(options | shards, str(place), tmp_path, str(place))
    (tmp_path / "photos/c\rd.jpg").write_bytes((tmp_path / "photos/a.jpg").read_bytes())
    with pytest.raises(ValueError, match=r"the path 'c\\rd.jpg' has a line break"):
        sources.read({"source": "photos"} | shards, str(tmp_path / "photos"), tmp_path, str(tmp_path / "photos"))


def test_photos_without_a_box_may_stand_in_a_csv(tmp_path: Path) -> None:
    lines = "train,cat,a.jpg,0.1,0.2,0.3,0.6,0,0\ntrain,,b.jpg,,,,,,\ntest,dog,c.jpg,0,1,0,1,0,0\n"
    (tmp_path / "boxes.csv").write_text(HEADER + lines)
    release = folder.read_release(tmp_path, boxes="boxes.csv")
    assert release.images["path"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert release.boxes[["image_id", "label"]].values.tolist() == [["a", "cat"], ["c", "dog"]]
    assert release.classes["label"].tolist() == ["cat", "dog"]
    for name in "abc":
        Image.new("RGB", (400, 200)).save(tmp_path / f"{name}.jpg")
    lines = "train,cat,a.jpg,100.250,200.250,30.500,60.500,0,0\ntrain,,b.jpg,,,,,,\n"
    lines += "test,dog,c.jpg,1.125,9.125,2.125,8.125,0,0\n"
    (tmp_path / "boxes.csv").write_text(HEADER + lines)
    release = folder.read_release(tmp_path, boxes="boxes.csv", units="pixels")
    assert release.boxes["image_id"].tolist() == ["a", "c"]
    assert len(release.own_sizes) == 3
    (tmp_path / "boxes.csv").write_text(HEADER + "train,,b.jpg,0.1,,,,,\n")
    with pytest.raises(ValueError, match="line 2: label must not be blank"):
        folder.read_release(tmp_path, boxes="boxes.csv")


def test_a_photo_may_have_a_colon_as_its_second_character(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(HEADER + "train,cat,a:b.jpg,0.1,0.2,0.3,0.6,0,0\n")
    assert folder.read_release(tmp_path, boxes="boxes.csv").images["path"].tolist() == ["a:b.jpg"]
    (tmp_path / "boxes.csv").write_text(HEADER + "train,cat,C:\\b.jpg,0.1,0.2,0.3,0.6,0,0\n")
    with pytest.raises(ValueError, match="outside of the data set's folder"):
        folder.read_release(tmp_path, boxes="boxes.csv")


def test_a_link_to_a_folder_above_brings_no_photo_of_another_class(tmp_path: Path) -> None:
    for path in ("train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "train/dog/loop").symlink_to("..")
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert release.images["path"].tolist() == ["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg"]


@pytest.mark.parametrize(
    ("train", "test"), [(".", "test"), ("train", "train/in"), ("train", "./train"), ("t/..", "t")]
)
def test_a_split_of_class_folders_does_not_lie_in_the_other(tmp_path: Path, train: str, test: str) -> None:
    for path in ("train/in/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "t/cat/4.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for call in (imagenet.most_photos, imagenet.read_release):
        with pytest.raises(ValueError, match="one holds the other"):
            call(tmp_path, train=train, test=test)


def test_validation_photos_without_class_folders_are_refused_before_anything(tmp_path: Path) -> None:
    for path in ("train/a/1.jpg", "val/ILSVRC2012_val_00000001.JPEG", "val/.DS_Store"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for call in (imagenet.most_photos, imagenet.read_release):
        with pytest.raises(ValueError, match="val has no class folders, and 1 photos lie in it"):
            call(tmp_path, train="train", test="val")


def test_names_of_class_folders_that_are_no_text(tmp_path: Path) -> None:
    """Photos are counted as other files, and a class is refused, as all of it would go."""
    for path in (b"train/a/1.jpg", b"train/a/\xff.jpg", b"train/a/notes.txt", b"train/2.jpg", b"val/a/3.jpg"):
        place = bytes(tmp_path) + b"/" + path
        os.makedirs(os.path.dirname(place), exist_ok=True)
        open(place, "wb").close()
    release = imagenet.read_release(tmp_path, train="train", test="val")
    assert (len(release.images), release.other_files) == (2, 2)
    assert "Photos beside the class folders, which are left out: 1" in release.notes[0]
    os.mkdir(bytes(tmp_path) + b"/train/caf\xe9")
    with pytest.raises(ValueError, match=r"train: the name of the folder 'caf\\udce9' is not UTF-8"):
        imagenet.read_release(tmp_path, train="train", test="val")


def test_a_split_without_photos_is_refused_where_the_subset_is_chosen(tmp_path: Path) -> None:
    write_coco(tmp_path, "train")
    write_coco(tmp_path, "test", images=[], annotations=[])
    options = {"source": "coco", "coco": COCO, "shards": {"train": 1, "test": 1}}
    with pytest.raises(ValueError, match="no photos of the split test, only of train"):
        sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
    (tmp_path / "boxes.csv").write_text(HEADER + LINE)
    options = {"source": "folder", "folder": {"boxes": "boxes.csv"}, "shards": {"train": 1, "test": 1}}
    with pytest.raises(ValueError, match="no photos of the split test, only of train"):
        sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
    assert len(sources.read(options | {"shards": {"train": 1}}, str(tmp_path), tmp_path, str(tmp_path)).images) == 1


def test_an_absent_file_stays_one_through_the_one_reader_of_sources(tmp_path: Path) -> None:
    options = {"source": "folder", "folder": {"boxes": "boxes.csv"}, "shards": {"train": 1}}
    with pytest.raises(FileNotFoundError, match=r"boxes\.csv does not exist; a CSV file with"):
        sources.read(options, str(tmp_path), tmp_path, str(tmp_path))
