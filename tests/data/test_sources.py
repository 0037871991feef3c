"""Sources that lie in a folder: their tables, their errors, and where a study's files are looked for."""

from __future__ import annotations

import json
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
        ({"annotations": [{"image_id": 11, "category_id": 7}]}, r"not laid out like COCO's .*KeyError: 'bbox'"),
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
        ({"images": [PHOTO | {"width": 0}]}, r"train\.json is not .*image 11 has .*width 0"),
        ({"images": [PHOTO | {"height": "100"}]}, r"train\.json is not .*image 11 has .*height '100'"),
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


HEADER = "split,label,path,xmin,ymin,xmax,ymax,is_group_of,rotation\n"
LINE = "train,cat,b.jpg,0.1,0.1,0.4,0.2,0,0\n"


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
        (HEADER + "dev,cat,a.jpg,0.1,0.1,0.4,0.2,0,\n", "the split dev"),
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

    def read_release(place: Path, **options: object) -> str:
        seen.append((place, options))
        return "tables"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_release", read_release)
        assert (
            sources.read({"source": name, name: own, "shards": {}}, str(tmp_path), tmp_path / "release") == "tables"
        )
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
    with pytest.raises(ValueError, match=r"boxes\.csv is not a csv table in UTF-8"):
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
