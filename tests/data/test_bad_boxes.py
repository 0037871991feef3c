"""Boxes that reach beyond their photo or have no area: clipped, dropped and counted, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oac.data.bad_boxes import EXACT, FAR, mend, sentence
from oac.data.tables import BOX_COLUMNS, Release

SIDES = st.one_of(
    st.floats(-2, 2), st.sampled_from([0.0, 1.0, -1e-7, 1 + 1e-7, -0.01, 1.01, float("nan"), float("inf")])
)
GOOD = (0.1, 0.2, 0.6, 0.7)


def release_of(corners):
    table = pd.DataFrame(np.reshape(corners, (-1, 4)), columns=["xmin", "ymin", "xmax", "ymax"])
    boxes = table.assign(image_id=[f"p{row}" for row in range(len(table))], label="dog", is_group_of=False)[
        BOX_COLUMNS
    ]
    images = pd.DataFrame({"image_id": boxes["image_id"], "split": "train", "path": boxes["image_id"], "rotation": 0})
    return Release(images, boxes, pd.DataFrame({"label": ["dog"], "name": ["dog"]}))


def plain(corners):
    """Each box by itself, in plain Python: what becomes of it, and the corners that it has then."""
    kept = [min(max(value, 0.0), 1.0) for value in corners]
    if any(np.isnan(corners)) or not (
        np.float32(kept[0]) < np.float32(kept[2]) and np.float32(kept[1]) < np.float32(kept[3])
    ):
        return "dropped", None
    beyond = max(max(-value, value - 1) for value in corners)
    return ("clipped" if beyond > EXACT else "good"), kept


@given(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=6))
def test_every_box_is_mended_as_it_is_alone_and_counted(boxes):
    mended, account = mend(release_of(boxes), "clip", most=1.0)
    alone = [plain(box) for box in boxes]
    assert account.boxes == len(boxes)
    assert account.clipped == sum(kind == "clipped" for kind, _ in alone)
    assert account.dropped == sum(kind == "dropped" for kind, _ in alone)
    expected = np.array([kept for _, kept in alone if kept], np.float32).reshape(-1, 4)
    found = mended.boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert (sentence(account.as_dict()) is None) == (account.clipped + account.dropped == 0)


def test_the_first_are_named_with_photo_and_corners():
    boxes = [GOOD] * 40 + [(-0.01, 0.2, 0.5, 0.7), (0.5, 0.2, 0.4, 0.7)]
    mended, account = mend(release_of(boxes), "clip", most=0.05)
    assert len(mended.boxes) == 41
    assert mended.boxes["xmin"].iloc[-1] == 0
    text = sentence(account.as_dict())
    assert "Of 42 boxes 1 reached beyond their photo and were clipped to it, and 1 were left out" in text
    assert "dog of photo p40, x -0.01 to 0.5, y 0.2 to 0.7" in text
    dropped, account = mend(release_of(boxes), "drop", most=0.05)
    assert (len(dropped.boxes), account.clipped, account.dropped) == (40, 0, 2)
    many = mend(release_of([GOOD] * 40 + 4 * [(0.5, 0.2, 0.4, 0.7)]), "clip", most=0.1)[1]
    assert [text.partition(",")[0] for text in many.examples] == [f"dog of photo p{row}" for row in (40, 41, 42)]


@pytest.mark.parametrize("rule", ["clip", "drop", "refuse"])
def test_rounding_is_counted_and_clipped_whatever_the_rule(rule):
    boxes = [GOOD, (-1e-7, 0.2, 0.5, 0.7), (0.5, 0.2, 1 + 1e-7, 0.7), (0.5, 0.2, 1 + 1e-15, 0.7)]
    mended, account = mend(release_of(boxes), rule, most=0)
    assert (len(mended.boxes), account.clipped, account.dropped) == (4, 2, 0)
    assert mended.boxes[["xmin", "xmax"]].to_numpy().tolist()[1:] == [[0, 0.5], [0.5, 1], [0.5, 1]]
    assert "dog of photo p1, x -1e-07 to 0.5" in sentence(account.as_dict())
    assert "dog of photo p2, x 0.5 to 1.0000001" in sentence(account.as_dict())


@pytest.mark.parametrize(
    ("wrong", "rule", "most"),
    [
        ([(0.5, 0.2, 0.4, 0.7)], "refuse", 1.0),
        ([(-0.01, 0.2, 0.4, 0.7)], "refuse", 1.0),
        ([(0.5, 0.2, 1 + FAR + 0.01, 0.7)] * 3, "clip", 0.05),
        ([(10, 20, 50, 60)] * 3, "clip", 0.05),
    ],
)
def test_too_many_are_refused_with_the_likely_reasons(wrong, rule, most):
    with pytest.raises(
        ValueError, match="Are corners given as x, y, width, height or the reverse, pixels for shares"
    ) as caught:
        mend(release_of([GOOD] * 40 + wrong), rule, most)
    assert "have no corners" not in str(caught.value)


def test_what_annotation_tools_are_off_by_is_never_too_much():
    """Boxes of labelImg begin at pixel 0 of files whose first pixel is 1."""
    mended, account = mend(release_of([(-1 / 96, -1 / 80, 0.5, 0.5)] * 10), "clip", most=0.0)
    assert account.clipped == len(mended.boxes) == 10


def test_pixels_are_of_the_side_that_is_theirs_once_the_photo_is_upright():
    """A photo of 10 x 1000 pixels that is turned: a pixel and a half is 15 % of its height then."""
    tall = (0.1, -0.12, 0.5, 0.5)
    for rotation, far in ((0, True), (90, False)):
        release = release_of([tall])
        release = replace(
            release, images=release.images.assign(rotation=rotation), own_sizes=np.array([[10.0, 1000.0]])
        )
        if far:
            with pytest.raises(ValueError, match="1 of 1 boxes"):
                mend(release, "clip", most=0.0)
        else:
            assert mend(release, "clip", most=0.0)[1].clipped == 1


@pytest.mark.parametrize(("beyond", "far"), [(9, False), (11, True)])
def test_a_fortieth_of_the_side_is_not_far_where_the_size_is_known(beyond, far):
    release = replace(release_of([(0.1, 0.1, 1 + beyond / 400, 0.5)]), own_sizes=np.array([[400.0, 400.0]]))
    if far:
        with pytest.raises(ValueError, match="1 of 1 boxes"):
            mend(release, "clip", most=0.0)
    else:
        assert mend(release, "clip", most=0.0)[1].clipped == 1


@pytest.mark.parametrize(("shifted", "said"), [(1, False), (2, True)])
def test_the_reason_is_named_where_most_of_the_clipped_begin_a_pixel_before(shifted, said):
    """Of three that are clipped; by the photo's own size, of which the annotation says twice as much."""
    boxes = [(-0.01, 0.1, 0.5, 0.5)] * shifted + [(0.1, 0.1, 1.01, 0.5)] * (3 - shifted)
    sizes = {"own_sizes": np.full((3, 2), 100.0), "sizes": np.full((3, 2), 200.0)}
    account = mend(replace(release_of(boxes), **sizes), "clip", most=0.0)[1]
    assert (account.clipped, account.one_pixel_before) == (3, shifted)
    assert ("add 1 to all corners" in sentence(account.as_dict())) == said
