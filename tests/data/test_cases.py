"""Small inputs as other people have them: what each was once wrong in, and the right value.

They are not part of the repository.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oac.data import bad_boxes, sources
from oac.data.bad_boxes import mend
from oac.data.decode import prepare
from oac.data.tables import Release

CASES = Path(__file__).resolve().parents[2] / "../shared/cases"
OPTIONS = {
    "voc": {"train": "train", "test": "val"},
    "coco": {
        "train": "annotations/instances_train2017.json",
        "test": "annotations/instances_val2017.json",
        "train_photos": "train2017",
        "test_photos": "val2017",
    },
    "imagenet": {"train": "train", "test": "val"},
    "folder": {"boxes": "boxes.csv", "units": "pixels"},
}

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the folder shared/cases with other people's files is not beside the repository"
)


def read(case: str) -> Release:
    """The release of a case, whose name begins with the source that reads it."""
    source, folder = case.partition("_")[0], CASES / case
    return sources.read(
        {"source": source, source: OPTIONS[source], "shards": {"train": 1}}, str(folder), folder, str(folder)
    )


@pytest.mark.parametrize(
    ("case", "classes", "photos", "boxes"),
    [
        ("coco_root_category", ["disc", "square", "bar", "cross"], 5, 15),
        ("coco_same_stem", ["disc", "square", "bar", "cross"], 5, 15),
        ("coco_val_lacks_class", ["disc", "square", "bar", "cross"], 5, 13),
        ("imagenet_deeper", ["a", "b"], 8, 8),
        ("imagenet_hidden_folder", ["a", "b"], 8, 8),
        ("imagenet_same_names", ["a", "b"], 10, 10),
        ("voc_class_list", ["disc"], 2, 2),
        ("voc_padded_names", ["disc"], 2, 3),
        ("voc_several_bndbox", ["car", "disc"], 2, 4),
        ("voc_zero_based", ["disc"], 2, 2),
    ],
)
def test_a_case_is_read_whole(case: str, classes: list[str], photos: int, boxes: int) -> None:
    release = read(case)
    assert release.classes["name"].tolist() == classes
    assert (len(release.images), len(release.boxes)) == (photos, boxes)
    assert release.images["image_id"].is_unique
    assert mend(release, "clip", most=0)[1].dropped == 0


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("coco_category_id_twice", r"instances_train2017\.json .*category 1 is listed as disc and as tree"),
        ("coco_xyxy", "11 of 15 boxes reach beyond their photo .* corners given as x, y, width, height"),
        ("folder_latin1", r"boxes\.csv is not UTF-8 .*save it as UTF-8"),
        # The list has one photo, whose name has blanks; the folder lacks its annotation.
        ("voc_spaces_in_names", r"Annotations/my photo 1\.xml does not exist"),
    ],
)
def test_a_case_is_refused_in_a_sentence(case: str, said: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        mend(read(case), "clip", most=0.05)


def test_boxes_are_of_the_photos_own_size_where_the_annotation_has_it_turned() -> None:
    swapped, right = (read(case).boxes for case in ("coco_size_swapped", "coco_root_category"))
    corners = ["xmin", "xmax", "ymin", "ymax"]
    np.testing.assert_allclose(swapped[corners], right[corners], atol=1e-6)


@pytest.mark.parametrize("name", ["p.tif", "p.jpg"])
def test_a_turned_photo_keeps_its_boxes(name: str) -> None:
    """A yellow object at pixels 70..95 x 5..25 of the stored 100 x 60, with an orientation of 6."""
    photo = prepare((CASES / "tiff_orientation" / name).read_bytes())
    assert (photo.width, photo.height) == (100, 60)
    pixels = np.asarray(Image.open(io.BytesIO(photo.data)).convert("RGB"))
    assert (pixels[6:24, 71:94, 0] > 200).mean() > 0.9


def test_corners_from_0_are_clipped_and_the_reason_named() -> None:
    account = mend(read("voc_zero_based"), "clip", most=0)[1]
    assert account.one_pixel_before == account.clipped > 0
    assert "counted from 0 in a format" in bad_boxes.sentence(account.as_dict())
