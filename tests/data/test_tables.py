from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oac.data import tables
from oac.data.tables import BOX_COLUMNS, Release

ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz"), st.integers(0, 99)), max_size=30)


def box_table(rows: list[tuple[str, str, int]], categorical: bool) -> pd.DataFrame:
    """Boxes with xmin = number / 1000."""
    frame = pd.DataFrame([(i, c, n / 1000, 0.5, 0.25, 0.75, False) for i, c, n in rows], columns=BOX_COLUMNS)
    frame = frame.astype(dict.fromkeys(("xmin", "xmax", "ymin", "ymax"), np.float32))
    return frame.astype({"image_id": "category", "label": "category"}) if categorical else frame


@given(ROWS, st.permutations("abcdq"), st.booleans())
def test_boxes_by_image_is_a_plain_loop(rows: list, ids: list[str], categorical: bool) -> None:
    found = tables.boxes_by_image(box_table(rows, categorical), ids)
    expected = [[(n / 1000, 0.25, 0.5, 0.75) for i, _, n in rows if i == image_id] for image_id in ids]
    assert [len(boxes) for boxes in found] == [len(boxes) for boxes in expected]
    for boxes, plain in zip(found, expected, strict=True):
        assert boxes.shape[1] == 4
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, np.array(plain, np.float32).reshape(-1, 4))


@given(ROWS, st.permutations("abcdq"), st.permutations("xyw"), st.booleans())
def test_label_matrix_is_a_plain_loop(rows: list, ids: list[str], labels: list[str], categorical: bool) -> None:
    found = tables.label_matrix(box_table(rows, categorical), ids, labels)
    pairs = {(i, c) for i, c, _ in rows}
    np.testing.assert_array_equal(found, [[(i, c) in pairs for c in labels] for i in ids])
    assert found.dtype == np.uint8


def test_an_image_asked_for_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a is asked for more than once"):
        tables.boxes_by_image(box_table([], False), ["a", "a"])


def test_unknown_ids_are_named_by_file_and_line() -> None:
    values = pd.Series(["a", "b", "q"], dtype="category")
    with pytest.raises(ValueError, match=r"boxes\.csv, line 4: image q is not in list\.csv"):
        tables.check_known(values, pd.Index(["a", "b"]), "image", "boxes.csv", "list.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "a"}, "image_id a is listed more than once"),
        ({"split": "val"}, "image b has the split val"),
        ({"rotation": 45}, "image b has the rotation 45"),
    ],
)
def test_contradictions_in_a_release_are_named(change: dict[str, object], message: str) -> None:
    images = [{"image_id": name, "split": "train", "path": f"{name}.jpg", "rotation": 0} for name in ("a", "b")]
    images[1] |= change
    classes = pd.DataFrame({"label": ["x"], "name": ["X"]})
    release = Release(pd.DataFrame(images), box_table([("a", "x", 1)], False), classes)
    with pytest.raises(ValueError, match=f"somewhere: {message}"):
        tables.check_release(release, "somewhere")
