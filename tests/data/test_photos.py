"""A folder of photos as a data set: what is found in it, and what tells that it changed."""

from __future__ import annotations

import os
import shutil
import unicodedata
from dataclasses import replace

import pytest
from PIL import Image

from oac.data import authors, photos, sources
from oac.data.subset import select
from oac.data.subset_summary import notes, page, subset_summary

NAMES = ["UPPER.JPG", "a b/it's été.png", "a b/{x}.webp", "one/same.jpg", "two/deeper/same.jpg", "1e5.gif", 'é"q.tif']


@pytest.fixture
def folder(tmp_path):
    """Photos at several depths, and three files that are none."""
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "photos/one/notes.txt").write_text("no photo")
    (tmp_path / "photos/.DS_Store").write_bytes(b"")
    for name in ("@eaDir/same.jpg", ".thumbnails/same.jpg"):  # what a desktop leaves
        (tmp_path / "photos/one" / name).parent.mkdir()
        (tmp_path / "photos/one" / name).write_bytes(b"")
    with open(os.fsencode(tmp_path / "photos") + b"/\xff.jpg", "wb"):  # a name that is no text
        pass
    return tmp_path / "photos"


def test_photos_are_found_at_any_depth_by_their_suffix_and_the_others_counted(folder):
    found, others, _ = photos.find(folder)
    assert found == sorted(NAMES)
    assert len(others) == 3
    release = photos.read_release(folder)
    assert release.images["image_id"].tolist() == release.images["path"].tolist() == sorted(NAMES)
    assert set(release.images["split"]) == {"train"}
    assert (len(release.boxes), len(release.classes), release.other_files) == (0, 0, 3)


def test_linked_folders_are_searched_and_a_circle_ends(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.jpg").touch()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere.jpg").symlink_to(tmp_path / "absent.jpg")
    (folder / "._one.jpg").touch()
    found, others, _ = photos.find(folder)
    assert found == sorted([*NAMES, "link/far.jpg", "nowhere.jpg"])
    assert "._one.jpg" in others
    assert "nowhere.jpg\tabsent" in list(photos.state(folder))


def test_a_link_to_a_photo_of_the_folder_is_left_out_and_counted(folder, tmp_path):
    (tmp_path / "elsewhere.jpg").touch()
    for name, target in {
        "0.jpg": "one.jpg",
        "again.jpg": "../elsewhere.jpg",
        "first.jpg": "../elsewhere.jpg",
    }.items():
        (folder / name).symlink_to(target)
    (folder / "one.jpg").touch()
    found, others, links = photos.find(folder)
    assert found == sorted([*NAMES, "again.jpg", "one.jpg"])
    assert (len(others), links) == (3, 2)
    summary = subset_summary("mine", {"source": "photos", "subset": {}}, select(photos.read_release(folder)))
    assert summary["splits"] == {"train": len(NAMES) + 2}
    (said,) = notes(summary)
    assert "Links to other photos of the folder, left out so that each photo counts once: 2." in said


LITTER = [
    "__MACOSX",
    "$RECYCLE.BIN",
    "$Recycle.Bin",
    "#recycle",
    "@Recycle",
    "System Volume Information",
    "lost+found",
]


@pytest.mark.parametrize("name", [*LITTER, ".Trash-0", "@EADIR", "Temporary Items", "__pycache__"])
def test_folders_that_archives_and_file_systems_make_are_passed_over(folder, name):
    before = photos.find(folder)
    (folder / "one" / name / "deeper").mkdir(parents=True)
    (folder / "one" / name / "deeper/1.jpg").touch()
    assert photos.find(folder) == before


def test_a_folder_that_cannot_be_read_is_named_and_not_passed_over(folder, monkeypatch):
    scandir = os.scandir

    def refuse(place):
        if str(place).endswith("deeper"):
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="deeper"):
        photos.find(folder)


@pytest.mark.parametrize(("name", "message"), [("absent", "is no folder"), ("empty", "holds no photo .* files: 0")])
def test_a_folder_without_photos_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises((OSError, ValueError), match=message):
        photos.read_release(tmp_path / name)


def fingerprint(data):
    sources._fingerprint.cache_clear()  # a call of Snakemake asks once
    return sources.fingerprint(data)


def check_changes(data, *happen):
    """Each of some events gives another fingerprint, and none gives the one before again."""
    seen = [fingerprint(data)]
    assert fingerprint(data) == seen[0] is not None
    for event in happen:
        event()
        seen.append(fingerprint(data))
        assert len(set(seen)) == len(seen)


def test_whatever_happens_to_a_photo_is_noticed(folder):
    deep = folder / "two/deeper/same.jpg"
    data = {"source": "photos", "location": str(folder)}
    check_changes(
        data,
        lambda: deep.write_bytes(b"other"),
        lambda: os.utime(deep, (1, 1)),
        lambda: deep.rename(folder / "two/deeper/other.jpg"),
        lambda: (folder / "two/deeper/new.jpg").write_bytes(b""),
        lambda: (folder / "1e5.gif").unlink(),
    )
    labels = write_labels(folder.parent, "image_id,label\n")
    check_changes(data | {"labels": labels}, lambda: os.utime(labels, (1, 1)))
    before = fingerprint(data)
    (folder / "more notes.txt").write_text("which nobody reads")
    assert fingerprint(data) == before


def test_what_happens_to_the_files_of_other_sources_is_noticed(tmp_path):
    """Edited annotations, photos that are replaced, come or are put back; a data set that is moved stays the same."""
    for name in ("Annotations/1.xml", "JPEGImages/1.jpg", "train/cat/1.jpg", "val/cat/2.jpg", "t/1.jpg", "v/2.jpg"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text("<one>")
    boxes = "path,split\nt/1.jpg,train\nt/1.jpg,train\nt/9.jpg,train\n"
    root = tmp_path / "a"
    (root / "boxes.csv").write_text(boxes)
    for name in ("names.txt", "t.json", "ImageSets/Main/train.txt", "Annotations/deeper/1.xml", authors.LABELS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")

    def write(name, text="other"):
        return lambda: (root / name).write_text(text)

    def older(name):
        return lambda: os.utime(root / name, (1, 1))

    for source, options, events in [
        (
            "voc",
            {},
            [
                write("Annotations/1.xml", "<two>"),
                write("JPEGImages/1.jpg", "longer"),
                write("Annotations/2.xml"),
                write("Annotations/deeper/2.xml"),
                older("JPEGImages/1.jpg"),
                older("ImageSets/Main/train.txt"),
            ],
        ),
        (
            "imagenet",
            {"train": "train", "test": "val", "names": "names.txt"},
            [
                write("train/cat/3.jpg"),
                write("val/cat/3.jpg"),
                write("val/cat/3.jpg", "longer"),
                older("train/cat/3.jpg"),
                older("names.txt"),
            ],
        ),
        (
            "coco",
            {"train": "t.json", "test": "v.json", "train_photos": "t", "test_photos": "v"},
            [write("t/1.jpg", "longer"), write("v/3.jpg"), older("v/3.jpg"), older("t.json")],
        ),
        (
            "folder",
            {"boxes": "boxes.csv"},
            [write("t/1.jpg", "longer still"), write("t/9.jpg"), older("t/9.jpg"), older("boxes.csv")],
        ),
        ("dicts", {}, [older(authors.LABELS)]),
    ]:
        data = {"source": source, source: options, "location": str(root)}
        check_changes(data, *events)
        before = fingerprint(data)
        shutil.copytree(root, tmp_path / f"moved {source}")
        assert fingerprint(data | {"location": str(tmp_path / f"moved {source}")}) == before
    (root / "Annotations/dead.xml").symlink_to("nowhere")
    (root / "Annotations/folder.xml").mkdir()
    assert fingerprint({"source": "voc", "voc": {}, "location": str(root)})
    absent = {"source": "voc", "voc": {}, "location": str(tmp_path / "absent")}
    assert fingerprint(absent) is None
    assert fingerprint({"source": "synthetic", "synthetic": {}}) is None


@pytest.mark.parametrize(("most", "left"), [(None, 7), (3, 3), (50, 7)])
def test_all_photos_are_chosen_or_a_sample_that_does_not_depend_on_their_order(folder, most, left):
    release = photos.read_release(folder)
    subset = select(release, max_images=most)
    assert len(subset.images) == left
    assert subset.boxes.empty
    turned = replace(release, images=release.images.iloc[::-1].reset_index(drop=True))
    assert select(turned, max_images=most).images["image_id"].tolist() == subset.images["image_id"].tolist()
    text = page(subset_summary("mine", {"source": "photos", "subset": {"max_images": most, "seed": 0}}, subset))
    assert "| train | files | 10 |" in text
    assert "Paper" not in text


def write_images(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (9, 9)).save(folder / f"{number}.jpg")


def test_shards_are_worked_out_where_a_study_does_not_say_them(tmp_path):
    """One for 1,000 photos or fewer; a source may name more photos than it has."""
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    for name, count in (("train", 2001), ("val", 1000)):
        (tmp_path / f"ImageSets/Main/{name}.txt").write_text("\n".join(map(str, range(count))))
    for split in ("train", "val"):
        write_images(tmp_path / split / "cat", 2)
    (tmp_path / "boxes.csv").write_text("path,split\n" + "a.jpg,train\n" * 1001 + "b.jpg,validation\n")
    named = {"store": {}, "location": str(tmp_path)}
    for source, options, expected in [
        ("voc", {}, {"train": 3, "test": 1}),
        ("imagenet", {"train": "train", "test": "val"}, {"train": 1, "test": 1}),
        ("coco", {"train_photos": "train/cat", "test_photos": "val/cat"}, {"train": 1, "test": 1}),
        ("folder", {"boxes": "boxes.csv"}, {"train": 2, "validation": 1}),
        ("synthetic", {"train": 1500, "validation": 1, "test": 9}, {"train": 2, "validation": 1, "test": 1}),
    ]:
        assert sources.shards(named | {"source": source, source: options}) == expected
    assert sources.shards(named | {"source": "photos"}) == {"train": 1}
    assert sources.shards(named | {"source": "voc", "store": {"shards": {"train": 7, "test": 2}}})["train"] == 7


def write_labels(folder, text):
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return str(folder / "labels.csv")


def test_labels_choose_the_photos_and_each_has_a_whole_box(folder, tmp_path):
    labels = write_labels(
        tmp_path,
        "split,label,image_id\ntrain, 01 ,UPPER.JPG\ntest,NA,two\\deeper\\same.jpg\n" + 2 * "train,NA,UPPER.JPG\n",
    )
    release = photos.read_release(folder, labels=labels)
    assert dict(zip(release.images["image_id"], release.images["split"], strict=True)) == {
        "UPPER.JPG": "train",
        "two/deeper/same.jpg": "test",
    }
    assert release.classes["label"].tolist() == ["01", "NA"]
    assert release.boxes[["image_id", "label"]].to_numpy().tolist() == [
        ["UPPER.JPG", "01"],
        ["two/deeper/same.jpg", "NA"],
        ["UPPER.JPG", "NA"],
    ]
    assert (release.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy() == [0, 0, 1, 1]).all()
    subset = select(release, min_images_per_class=1, min_classes_per_image=1)
    assert set(subset.images["split"]) == {"train", "test"}


def test_labels_of_few_absent_photos_are_left_out_and_counted_as_are_photos_without_a_label(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(20):
        (tmp_path / f"in/{number:02}.jpg").touch()
    lines = [f"{number:02}.jpg,a\n" for number in range(19)]
    labels = write_labels(tmp_path, "image_id,label\n" + "".join([*lines, "gone.jpg,b\ngone.jpg,c\n"]))
    release = photos.read_release(tmp_path / "in", labels=labels)
    assert len(release.images) == len(release.boxes) == 19
    assert release.classes["label"].tolist() == ["a"]
    assert release.notes == (
        "labels.csv: 19 of 20 photos that it labels are in the folder. The others are left out, the first: gone.jpg.",
        "labels.csv: 19 of 20 photos of the folder have a label in it. Those without are left out, the first: "
        "19.jpg.",
    )
    write_labels(tmp_path, "image_id,label\n" + "".join([*lines[:18], "gone.jpg,b\n"]))
    with pytest.raises(ValueError, match=r"labels\.csv, line 20: photo gone\.jpg is not in .*in \(1 such rows\)"):
        photos.read_release(tmp_path / "in", labels=labels)


def test_labels_are_joined_whichever_form_of_unicode_they_have(tmp_path):
    """A file from a Mac names é by two characters; the photos came by another way."""
    one, two = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    (tmp_path / one).touch()
    labels = write_labels(tmp_path, f"image_id,label\n{two},cat\n{one},cat\n")
    release = photos.read_release(tmp_path, labels=labels)
    assert release.boxes[["image_id", "label"]].to_numpy().tolist() == [[one, "cat"]]


def test_a_mistake_in_the_labels_is_not_said_of_the_photos(folder, tmp_path, monkeypatch):
    labels = write_labels(tmp_path, "image_id,label\nUPPER.JPG, \n")
    options = {"source": "photos", "labels": labels, "shards": {"train": 1, "test": 1}}
    with pytest.raises(ValueError, match=r"^\S*labels\.csv, line 2: label must not be blank"):
        sources.read(options, str(folder), tmp_path, str(folder))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^labels\.csv, line 2"):
        sources.read(options | {"labels": "./labels.csv"}, str(folder), tmp_path, str(folder))


def test_without_splits_a_fifth_is_test_whatever_else_is_labelled(tmp_path):
    names = [f"{number}.jpg" for number in range(2000)]
    for name in names:
        (tmp_path / name).touch()
    whole = photos.read_release(
        tmp_path, labels=write_labels(tmp_path, "image_id,label\n" + ",a\n".join(names) + ",a\n")
    )
    splits = whole.images.set_index("image_id")["split"]
    assert 0.17 < (splits == "test").mean() < 0.23
    few = photos.read_release(tmp_path, labels=write_labels(tmp_path, "image_id,label\n5.jpg,a\n77.jpg,b\n"))
    assert few.images.set_index("image_id")["split"].equals(splits[["5.jpg", "77.jpg"]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,label\nUPPER.JPG,a\nabsent.jpg,a\n",
            r"labels\.csv, line 3: photo absent\.jpg is not in .*photos .*path below it",
        ),
        ("image_id,label\nUPPER.JPG, \n", r"labels\.csv, line 2: label must not be blank"),
        ("image_id,label\n", r"labels\.csv has no line of a label"),
        ("image_id,class\nUPPER.JPG,a\n", r"labels\.csv: column label is missing"),
        ("image_id,label,split\nUPPER.JPG,a,val\n", r"line 2: split must be train or test, not 'val'"),
        (
            "image_id,label,split\nUPPER.JPG,a,test\nUPPER.JPG,b,train\n",
            r"line 3: split of photo UPPER\.JPG is train here and test before",
        ),
    ],
)
def test_a_mistake_in_the_labels_is_named(folder, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        photos.read_release(folder, labels=write_labels(tmp_path, text))


def test_heic_is_a_photo_by_its_name_and_reading_it_makes_the_next_call_store_again(folder, monkeypatch):
    before = list(photos.state(folder))
    (folder / "phone.HEIC").touch()
    (folder / "new.avif").touch()
    assert {"phone.HEIC", "new.avif"} <= set(photos.find(folder)[0])
    states = []
    for known in (False, True):
        monkeypatch.setattr("oac.data.photos.HEIC_IS_READ", known)
        states.append(list(photos.state(folder)))
    assert states[0] != states[1]
    assert set(before) <= set(states[0]) & set(states[1])
