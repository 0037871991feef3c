"""Data sets as their users have them go through the workflow to a table: a labelling tool's VOC, a COCO export with
subfolders, class folders from a desktop computer. Each is made of noise, and of real photos of VOC2007.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

EDITS = {
    "data.synthetic": None,
    "data.subset": {"min_classes_per_image": 1, "min_images_per_class": 1},
    "data.store": {"long_side": 64, "max_missing_share": 0.1},
    "pretrain.images_seen": 32,
    "methods": {"moco_v2": {"batch_size": 8, "queue": 16, "dim": 8, "hidden": 16, "bn_splits": 1}},
    "crops": {"object-dilate": {"policy": "object-dilate", "boxes": "ground_truth", "seeds": [0]}},
}
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
VOC = SHARED / "voc2007"
TRAIN, TEST = 20, 10
CORNERS = ["xmin", "ymin", "xmax", "ymax"]


@dataclass(frozen=True)
class Photo:
    """A photo for a layout: its pixels or its file, its size, and class and corners of its objects.

    Corners are as in VOC's files: pixels count from 1, and the last one is in the box.
    """

    split: str
    pixels: np.ndarray | Path
    width: int
    height: int
    objects: list[tuple[str, list[int]]]

    @property
    def kind(self):
        """The class of the largest object."""
        areas = [(right - left + 1) * (lower - upper + 1) for _, (left, upper, right, lower) in self.objects]
        return self.objects[int(np.argmax(areas))][0]

    def save(self, path):
        """Write it in the format of the name; a file of that format is copied."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.pixels, np.ndarray):
            Image.fromarray(self.pixels).save(path)
        elif path.suffix.lower() in (".jpg", ".jpeg"):
            shutil.copyfile(self.pixels, path)
        else:
            Image.open(self.pixels).save(path)


def made_photos():
    """Noise with a bright square in every other one, of two objects of one class."""
    photos = []
    for number in range(TRAIN + TEST):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        pixels[10:40, 20:60] = 255 * (number % 2)
        kind = "Katze é" if number % 2 else "dog"
        split = "train" if number < TRAIN else "test"
        photos.append(Photo(split, pixels, 80, 60, [(kind, [1, 11, 30, 40]), (kind, [51, 11, 80, 40])]))
    return photos


def real_photos():
    """The first of VOC2007's train and val lists whose largest object is of one of four classes, with all objects."""
    if not VOC.is_dir():
        pytest.skip(f"the VOC2007 photos are not under {SHARED}")
    photos = []
    for split, file, count in (("train", "train.txt", TRAIN), ("test", "val.txt", TEST)):
        ids = (VOC / "ImageSets" / "Main" / file).read_text().split()
        found = (read_photo(split, image_id) for image_id in ids)
        photos += islice((photo for photo in found if photo.kind in ("car", "cat", "dog", "person")), count)
    return photos


def read_photo(split, image_id):
    root = ElementTree.parse(VOC / "Annotations" / f"{image_id}.xml").getroot()
    objects = []
    for item in root.iter("object"):
        objects.append((item.findtext("name"), [int(item.findtext(f"bndbox/{key}")) for key in CORNERS]))
    width, height = (int(root.findtext(f"size/{key}")) for key in ("width", "height"))
    return Photo(split, VOC / "JPEGImages" / f"{image_id}.jpg", width, height, objects)


def shares(photo, first):
    """Class and corners of the objects, as shares of the sides, where pixels count from `first`."""
    sides = np.tile([photo.width, photo.height], 2)
    return [(kind, *(np.subtract(corners, [first, first, 0, 0]) / sides)) for kind, corners in photo.objects]


def labelling_tool(folder, photos):
    """VOC as LabelImg and its like write it: photos of several formats, lists of paths, boxes counted from 0."""
    placed, lists = {}, {"train": [], "test": []}
    (folder / "Annotations").mkdir()
    for number, photo in enumerate(photos):
        name = f"IMG {number:03}{('.jpg', '.PNG', '.JPEG')[number % 3]}"
        lists[photo.split].append(name)
        placed[f"JPEGImages/{name}"] = photo
        photo.save(folder / "JPEGImages" / name)
        # An object of all boxes of a class, blanks around its name; boxes that begin at 0; sizes swapped.
        objects = dict.fromkeys((kind for kind, _ in photo.objects), "")
        for kind, (left, upper, right, lower) in photo.objects:
            corners = {"xmin": left - 1, "ymin": upper - 1, "xmax": right, "ymax": lower}
            inner = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
            objects[kind] += f"<bndbox>{inner}</bndbox>"
        width, height = (photo.height, photo.width) if number == 7 else (photo.width, photo.height)
        (folder / "Annotations" / name).with_suffix(".xml").write_text(
            f"\ufeff<annotation><filename>C:\\photos\\{name}</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size><segmented>0</segmented>"
            + "".join(f"<object><name> {kind} </name>{boxes}</object>" for kind, boxes in objects.items())
            + "</annotation>",
            encoding="utf-8",
        )
    place = folder / "ImageSets" / "Main"
    place.mkdir(parents=True)
    (place / "train.txt").write_text("\ufeff" + "".join(f"{name}\r\n" for name in lists["train"]), encoding="utf-8")
    (place / "val.txt").write_text("\n\n".join(f"JPEGImages/{name}" for name in lists["test"]))
    return placed, {"source": "voc", "voc": {"train": "train", "test": "val"}}


def coco_export(folder, photos):
    """COCO as web tools export it: photos of one name in subfolders, a root category, numbers that are texts."""
    placed, kinds = {}, sorted({kind for photo in photos for kind, _ in photo.objects})
    categories = [{"id": 0, "name": "pets", "supercategory": "none"}]
    categories += [{"id": row, "name": f"{kind} ", "supercategory": "pets"} for row, kind in enumerate(kinds, 1)]
    for split, part in (("train", "train"), ("test", "valid")):
        images, boxes = [], []
        for number, photo in enumerate(photos):
            if photo.split != split:
                continue
            name = f"batch {number % 2}/img{number // 2}.jpg"
            placed[f"{part}/{name}"] = photo
            photo.save(folder / part / name)
            images.append({"id": number, "file_name": name, "width": photo.width, "height": photo.height})
            for kind, (left, upper, right, lower) in photo.objects:
                boxes.append((number, kind, [left - 1, upper - 1, right - left + 1.0, lower - upper + 1]))
            if number == 0:  # one that reaches beyond its photo and one that has no area
                boxes += [(0, photo.kind, [0, 0, photo.width + 0.5, photo.height]), (0, photo.kind, [5, 5, 0, 10])]
        annotations = [
            {"id": row, "image_id": str(number), "category_id": 1 + kinds.index(kind), "bbox": box}
            for row, (number, kind, box) in enumerate(boxes)
        ]
        content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        (folder / f"{part}.json").write_text(json.dumps(content), encoding="utf-8-sig")
    keys = {"train": "train.json", "test": "valid.json", "train_photos": "train", "test_photos": "valid"}
    return placed, {"source": "coco", "coco": keys}


def class_folders(folder, photos):
    """Class folders that were looked at on a desktop computer, zipped and unpacked there."""
    placed = {}
    for number, photo in enumerate(photos):
        path = f"{photo.split}/{photo.kind}/{'old/' * (number % 4 == 0)}photo ({number}).png"
        placed[path] = photo
        photo.save(folder / path)
    kind = photos[2].kind
    for litter in (".DS_Store", "{}/Thumbs.db", "{}/._photo (0).png", "__MACOSX/{}/._photo.png", ".Trash/a.png"):
        path = folder / "train" / litter.format(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    place = folder / "train" / kind
    (place / "notes.txt").write_text("no photo")
    (folder / "train/loose.png").write_bytes((place / "photo (2).png").read_bytes())
    (place / "link.png").symlink_to("photo (2).png")
    (place / "cut.png").write_bytes((place / "photo (2).png").read_bytes()[:500])
    placed[f"train/{kind}/cut.png"] = photos[2]
    return placed, {"source": "imagenet", "imagenet": {"train": "train", "test": "test"}}


# What the reader makes of a photo's boxes before it clips them; how many boxes and files it leaves out; what it says.
CASES = [
    (
        labelling_tool,
        lambda path, photo: shares(photo, 2),  # a corner that counts from 0 is the pixel before
        {"dropped": 0, "other_files": 0},
        ["of 30 photos 1 have another size", "{clipped} of the clipped begin exactly one pixel before"],
    ),
    (
        coco_export,
        lambda path, photo: shares(photo, 1) + [(photo.kind, 0, 0, 1 + 0.5 / photo.width, 1)] * ("0/img0" in path),
        {"dropped": 1, "other_files": 0},
        ["Of {boxes} boxes 1 reached beyond their photo and were clipped", "1 were left out (no area"],
    ),
    (
        class_folders,
        lambda path, photo: [(photo.kind, 0, 0, 1, 1)],
        {"dropped": 0, "other_files": 4},
        ["{missing}", "left out: 1, the first: train/loose.png", "left out so that each photo counts once: 1"],
    ),
]


@pytest.mark.parametrize("take", [made_photos, real_photos])
@pytest.mark.parametrize(("write", "rows", "left", "said"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_data_set_in_its_own_layout_becomes_a_row_of_a_table(fresh, tmp_path, take, write, rows, left, said):
    location, name = tmp_path / "my data", write.__name__
    location.mkdir()
    placed, data = write(location, take())
    edits = {"name": name, "data.location": str(location)} | {f"data.{key}": data[key] for key in data}
    config = fresh.changed(EDITS | edits, tmp_path)
    result = fresh.run(f"results/{name}/report/tables/crops.md", config=config)
    assert result.code == 0, result.text
    results = fresh.folder / "results" / name

    # Every photo is chosen, and stored or counted as missing.
    tables = ("selection", "images", "boxes")
    selection, images, boxes = (pd.read_parquet(results / f"data/{table}.parquet") for table in tables)
    chosen = sorted(zip(selection["path"], selection["split"], strict=True))
    assert chosen == sorted((path, photo.split) for path, photo in placed.items())
    paths = selection.set_index("image_id")["path"]
    stored = pd.concat(map(pd.read_parquet, results.glob("data/photos/*/*.index.parquet"))).set_index("image_id")
    assert sorted(images["image_id"]) == sorted(stored.index)
    missing = [path for path in placed if path.endswith("cut.png")]
    assert pd.read_csv(results / "data/missing.csv")["path"].tolist() == missing
    assert stored["source_sha256"].rename(paths).to_dict() == {
        path: hashlib.sha256((location / path).read_bytes()).hexdigest() for path in placed if path not in missing
    }

    # Every box is kept, clipped, left out, or of a class that train lacks.
    columns = ["path", "label", *CORNERS]
    wanted = pd.DataFrame([(p, *row) for p, photo in placed.items() for row in rows(p, photo)], columns=columns)
    clipped = int(((wanted[CORNERS] < 0) | (wanted[CORNERS] > 1)).any(axis=1).sum())
    trained = wanted["path"].map(lambda path: placed[path].split) == "train"
    known = wanted["label"].isin(wanted["label"][trained])
    summary = json.loads((results / "data/summary.json").read_text())
    counts = left | {"boxes": len(wanted) + left["dropped"], "clipped": clipped}
    assert {key: (summary | summary["bad_boxes"])[key] for key in counts} == counts
    assert summary["not_in_train"].get("test", {}) == Counter(wanted["label"][~known])
    wanted[CORNERS] = wanted[CORNERS].clip(0, 1).astype(np.float32)
    found = boxes.assign(path=boxes["image_id"].map(paths))[columns]
    found, wanted = (table.sort_values(columns, ignore_index=True) for table in (found, wanted[known]))
    pd.testing.assert_frame_equal(found, wanted, rtol=0, atol=1e-6, check_dtype=False)
    assert set(pd.read_csv(results / "data/classes.csv")["name"]) == set(wanted["label"])

    account = (results / "data/summary.md").read_text() + (results / "data/missing.csv").read_text()
    if not known.all():
        said = [*said, f"left out because train has none of their classes: {(~known).sum()},"]
    log = (fresh.folder / f"logs/{name}/select_subset.log").read_text()
    for words in said:
        assert (words := words.format(missing=",".join(missing), **counts)) in account
        assert words in log or words in missing
    assert json.loads((results / "probe/moco_v2/object-dilate/seed0/metrics.json").read_text())["test_images"] == TEST
    row = pd.read_csv(results / "report/tables/crops.csv").set_index("crops").loc["object-dilate"]
    assert 0 < row["map_percent"] <= 100
