"""Reads the dict files of the paper's authors, with an Open Images release beside them, into the canonical tables.

The dicts say which images are in the subset and what is in them (oac.data.dicts); the release adds what they lack:
class names, rotations and, because the authors share no boxes of test images, the boxes of test. Of the release's
train files only the image list is needed, so the 2.2 GB of train boxes are not.

The subset is what the dicts say. Filters still apply after it, so a study that wants it whole sets
`min_classes_per_image` and `min_images_per_class` to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oac.data import dicts, openimages
from oac.data.tables import (
    BOX_COLUMNS,
    FLAGS,
    IMAGE_COLUMNS,
    Release,
    check_known,
    check_release,
)

LABELS, FEATURES, TEST = (
    "images_selected_new.npy",
    "images_selected_with_all_features.npy",
    "images_selected_test_40k.npy",
)
# Columns of a row of the features, as in the official box files.
_SOURCE, _LABEL, _XMIN, _XMAX, _YMIN, _YMAX, _GROUP = 1, 2, 4, 5, 6, 7, 10
# What features_dict writes for Source: boxes of the upright photo, where official rows are of the stored one.
_UPRIGHT = "canonical"


def files(folder: str | Path) -> list[str]:
    """The dict files."""
    return [str(Path(folder) / name) for name in (LABELS, FEATURES, TEST)]


def annotation_files() -> list[str]:
    """The files of the release that are needed beside them, by their official names."""
    lists = [openimages.image_list_file(split) for split in ("train", "test")]
    return [openimages.CLASSES_FILE, *lists, openimages.box_file("test")]


def read_release(folder: str | Path, release: str | Path) -> Release:
    """Read the three dict files in `folder` and the annotation files in `release`.

    A train image has the boxes of its rows whose label is among its labels; a label without a box is an error, since
    labels are taken from boxes everywhere. Raises UnsafePickleError for a file that is more than data,
    FileNotFoundError, and ValueError, naming the file and the image, where they contradict each other.
    """
    folder, release = Path(folder), Path(release)
    labels, features, test = (dicts.load(path) for path in files(folder))
    classes = openimages.read_classes(release / openimages.CLASSES_FILE)
    known = {split: openimages.read_images(release, split) for split in ("train", "test")}
    images = pd.concat(
        [
            _chosen(known["train"], list(labels), folder / LABELS, release, "train"),
            _chosen(known["test"], list(test), folder / TEST, release, "test"),
        ],
        ignore_index=True,
    )
    rotation = dict(zip(images["image_id"], images["rotation"], strict=True))
    boxes = pd.concat(
        [
            _train_boxes(labels, features, rotation, folder / FEATURES),
            _test_boxes(test, release, folder / TEST),
        ],
        ignore_index=True,
    )
    check_known(boxes["label"], pd.Index(classes["label"]), "label", folder, release / openimages.CLASSES_FILE)
    found = Release(images, boxes, classes)
    check_release(found, folder)
    return found


def _chosen(listed: pd.DataFrame, ids: Sequence[Any], file: Path, release: Path, split: str) -> pd.DataFrame:
    rows = pd.Index(listed["image_id"]).get_indexer(pd.Index(ids))
    if (rows < 0).any():
        missing = ids[int(np.argmax(rows < 0))]
        raise ValueError(
            f"{file} has the image {missing!r}, which {release / openimages.image_list_file(split)} lacks"
        )
    return listed.iloc[rows][IMAGE_COLUMNS]


def _train_boxes(
    labels: Mapping[Any, Any], features: Mapping[Any, Any], rotation: Mapping[str, int], file: Path
) -> pd.DataFrame:
    rows: list[tuple[str, str, float, float, float, float, bool, int]] = []
    for image_id, wanted in labels.items():
        try:
            entries = [row for row in features[image_id]["data"] if row[_LABEL] in set(wanted)]
            for row in entries:
                turn = 0 if row[_SOURCE] == _UPRIGHT else rotation[image_id]
                corners = (float(row[_XMIN]), float(row[_XMAX]), float(row[_YMIN]), float(row[_YMAX]))
                rows.append((image_id, row[_LABEL], *corners, FLAGS[str(row[_GROUP]).lower()], turn))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(
                f"{file}: image {image_id!r} has no rows of boxes ({type(error).__name__}: {error})"
            ) from None
        lacking = set(wanted) - {row[_LABEL] for row in entries}
        if lacking:
            raise ValueError(f"{file}: image {image_id!r} has the label {min(lacking)!r} and no box of it")
    table = pd.DataFrame(rows, columns=[*BOX_COLUMNS, "turn"])
    order = ["xmin", "ymin", "xmax", "ymax"]
    table[order] = openimages.rotate_boxes(table[order].to_numpy(float), table["turn"].to_numpy())
    table = table.astype({name: np.float32 for name in order})
    return table[BOX_COLUMNS]


def _test_boxes(test: Mapping[Any, Any], release: Path, file: Path) -> pd.DataFrame:
    """The official boxes of the test images, of the labels that the dict has of them."""
    boxes = openimages.read_release(release, ["test"]).boxes
    boxes = boxes[boxes["image_id"].isin(list(test))].astype({"image_id": "str", "label": "str"})
    pairs = {(image_id, label) for image_id, wanted in test.items() for label in wanted}
    keep = np.array([pair in pairs for pair in zip(boxes["image_id"], boxes["label"], strict=True)], bool)
    lacking = pairs - set(zip(boxes["image_id"], boxes["label"], strict=True))
    if lacking:
        image_id, label = min(lacking)
        raise ValueError(f"{file}: image {image_id!r} has the label {label!r}, and {release} has no box of it")
    return boxes[keep][BOX_COLUMNS].reset_index(drop=True)
