"""Tables of proposals: ground-truth boxes and random boxes of the same sizes."""

import numpy as np
import pandas as pd
import pytest

from oac.data.tables import BOX_COLUMNS, PROPOSAL_COLUMNS
from oac.proposals.box_sources import ground_truth, proposal_table, random_boxes

BOXES = pd.DataFrame(
    [
        ("b", "/m/x", 0.1, 0.3, 0.2, 0.9, False),
        ("a", "/m/y", 0.0, 1.0, 0.0, 1.0, True),
        ("b", "/m/x", 0.5, 0.6, 0.5, 0.7, False),
        ("z", "/m/x", 0.5, 0.6, 0.5, 0.7, False),
    ],
    columns=BOX_COLUMNS,
)


def test_ground_truth_keeps_the_boxes_and_their_order():
    table = ground_truth(BOXES, ["b", "c", "a"])
    assert list(table.columns) == PROPOSAL_COLUMNS
    assert table["image_id"].tolist() == ["a", "b", "b"]
    assert table["rank"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(
        table[["xmin", "xmax", "ymin", "ymax"]],
        [[0, 1, 0, 1], [0.1, 0.3, 0.2, 0.9], [0.5, 0.6, 0.5, 0.7]],
        rtol=1e-6,
    )
    assert table["score"].tolist() == [1, 1, 1]
    assert ground_truth(BOXES, ["c"]).dtypes.to_dict() == table.dtypes.to_dict()


def test_random_boxes_have_the_sizes_of_the_reference_and_any_position():
    reference = ground_truth(BOXES, ["a", "b"])
    ids = [f"{i:04d}" for i in range(2000)]
    table = random_boxes(reference, ids[::-1], count=4, seed=0)
    assert table["image_id"].tolist() == list(np.repeat(ids, 4))
    assert table["rank"].tolist() == [0, 1, 2, 3] * len(ids)
    for low, high in (("xmin", "xmax"), ("ymin", "ymax")):
        assert (table[low] >= 0).all()
        assert (table[high] <= 1).all()
    sides = np.stack([table["xmax"] - table["xmin"], table["ymax"] - table["ymin"]], axis=1)
    pairs = np.array([[1, 1], [0.2, 0.7], [0.1, 0.2]])
    nearest = np.abs(sides[:, None] - pairs).max(axis=2)
    assert (nearest.min(axis=1) < 1e-6).all()  # widths and heights come in pairs
    np.testing.assert_allclose(np.bincount(nearest.argmin(axis=1)) / len(table), 1 / 3, atol=0.03)
    small = nearest.argmin(axis=1) == 2
    place = table["xmin"][small] / 0.9  # uniform over the positions inside the image
    np.testing.assert_allclose(np.quantile(place, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.04)


def test_random_boxes_depend_on_the_seed_alone():
    reference = ground_truth(BOXES, ["a", "b"])
    first = random_boxes(reference, ["p", "q"], count=3, seed=1)
    pd.testing.assert_frame_equal(first, random_boxes(reference, ["q", "p"], count=3, seed=1))
    assert not first.equals(random_boxes(reference, ["p", "q"], count=3, seed=2))


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="empty"):
        random_boxes(ground_truth(BOXES, ["c"]), ["a"], count=3, seed=0)
    with pytest.raises(ValueError, match="count is 0"):
        random_boxes(ground_truth(BOXES, ["a"]), ["a"], count=0, seed=0)
    with pytest.raises(ValueError, match="2 image ids, 1 arrays"):
        proposal_table(["a", "b"], [np.zeros((0, 4))], [])
