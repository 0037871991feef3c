"""Data sets as their users have them go through the workflow to a table: a labelling tool's VOC, a COCO export with
subfolders, class folders from a desktop computer.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

EDITS = {
    "data.synthetic": None,
    "data.subset": {"min_classes_per_image": 1, "min_images_per_class": 1},
    "data.store": {"long_side": 64, "max_missing_share": 0.1},
    "pretrain.images_seen": 32,
    "methods": {
        "moco_v2": {"batch_size": 8, "queue": 16, "dim": 8, "hidden": 16, "bn_splits": 1},
    },
    "crops": {"object-dilate": {"policy": "object-dilate", "boxes": "ground_truth", "seeds": [0]}},
}
WIDTH, HEIGHT = 80, 60


def save(path, number):
    """A photo of noise with a bright square, in the format of its name."""
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[10:40, 20:60] = 255 * (number % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def labelling_tool(folder):
    """VOC as LabelImg and its like write it: photos of several formats, lists of paths, boxes counted from 0."""
    names = {"train": [], "val": []}
    for number in range(30):
        name = f"IMG {number:03}{('.jpg', '.PNG', '.JPEG')[number % 3]}"
        names["train" if number < 20 else "val"].append(name)
        save(folder / "JPEGImages" / name, number)
        # An object of two boxes, blanks around its name; boxes that begin at 0 and end at the side; sizes swapped.
        boxes = "".join(
            f"<bndbox><xmin>{left}</xmin><ymin>10</ymin><xmax>{right}</xmax><ymax>40</ymax></bndbox>"
            for left, right in ((0, 30), (50, WIDTH))
        )
        width, height = (HEIGHT, WIDTH) if number == 7 else (WIDTH, HEIGHT)
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / name).with_suffix(".xml").write_text(
            f"\ufeff<annotation><filename>C:\\photos\\{name}</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size><segmented>0</segmented>"
            f"<object><name> {'cat' if number % 2 else 'dog'} </name>{boxes}</object></annotation>"
        )
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\ufeff" + "".join(f"{name}\r\n" for name in names["train"]), encoding="utf-8")
    (lists / "val.txt").write_text("\n\n".join(f"JPEGImages/{name}" for name in names["val"]))
    return {"source": "voc", "voc": {"train": "train", "test": "val"}}


def coco_export(folder):
    """COCO as web tools export it: photos of one name in subfolders, a root category, numbers that are texts."""
    for split, first, last in (("train", 0, 20), ("valid", 20, 30)):
        images, annotations = [], []
        for number in range(first, last):
            name = f"batch {number % 2}/img{number // 2}.jpg"
            save(folder / split / name, number)
            images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            annotations.append(
                {"id": number, "image_id": str(number), "category_id": 1 + number % 2, "bbox": [20, 10, 40.0, 30]}
            )
        # One that has no area and one that reaches beyond its photo.
        if split == "train":
            annotations.append({"id": 90, "image_id": 0, "category_id": 1, "bbox": [5, 5, 0, 10]})
            annotations[3]["bbox"] = [60, 10, 20.5, 30]
        categories = [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
            {"id": 2, "name": "dog ", "supercategory": "pets"},
        ]
        content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8-sig")
    keys = {"train": "train.json", "test": "valid.json", "train_photos": "train", "test_photos": "valid"}
    return {"source": "coco", "coco": keys, "subset": {**EDITS["data.subset"], "max_bad_boxes": 0.1}}


def class_folders(folder):
    """Class folders that were looked at on a desktop computer, zipped and unpacked there."""
    for number in range(30):
        split = "train" if number < 20 else "test"
        kind = "Katze é" if number % 2 else "dog"
        save(folder / split / kind / ("old/" * (number % 4 == 0)) / f"photo ({number}).png", number)
    for litter in (".DS_Store", "dog/Thumbs.db", "dog/._photo (0).png", "__MACOSX/dog/._photo.png", ".Trash/a.png"):
        path = folder / "train" / litter
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    (folder / "train/dog/notes.txt").write_text("no photo")
    (folder / "train/loose.png").write_bytes((folder / "train/dog/photo (2).png").read_bytes())
    (folder / "train/dog/link.png").symlink_to("photo (2).png")
    (folder / "train/dog/cut.png").write_bytes((folder / "train/dog/photo (2).png").read_bytes()[:500])
    return {"source": "imagenet", "imagenet": {"train": "train", "test": "test"}}


CASES = [
    (
        labelling_tool,
        {"cat", "dog"},
        2,
        ["of 30 photos 1 have another size", "30 of the clipped begin exactly one pixel before"],
    ),
    (coco_export, {"cat", "dog"}, 1, ["1 reached beyond their photo and were clipped", "1 were left out (no area"]),
    (
        class_folders,
        {"Katze é", "dog"},
        1,
        [
            "train/dog/cut.png",
            "left out: 1, the first: train/loose.png",
            "left out so that each photo counts once: 1",
        ],
    ),
]


@pytest.mark.parametrize(("write", "classes", "boxes_per_photo", "said"), CASES)
def test_a_data_set_in_its_own_layout_becomes_a_row_of_a_table(
    fresh, tmp_path, write, classes, boxes_per_photo, said
):
    location = tmp_path / "my data"
    location.mkdir()
    data = {f"data.{key}": value for key, value in write(location).items()}
    name = write.__name__
    config = fresh.changed(EDITS | {"name": name, "data.location": str(location)} | data, tmp_path)
    result = fresh.run(f"results/{name}/report/tables/crops.md", config=config)
    assert result.code == 0, result.text
    results = fresh.folder / "results" / name
    images, boxes = (pd.read_parquet(results / f"data/{table}.parquet") for table in ("images", "boxes"))
    assert images["split"].value_counts().to_dict() == {"train": 20, "test": 10}
    assert set(pd.read_csv(results / "data/classes.csv")["name"]) == classes
    assert boxes.groupby("image_id").size().eq(boxes_per_photo).all()
    account = (results / "data/summary.md").read_text() + (results / "data/missing.csv").read_text()
    for words in said:
        assert words in account
    metrics = json.loads((results / "probe/moco_v2/object-dilate/seed0/metrics.json").read_text())
    assert metrics["test_images"] == 10
