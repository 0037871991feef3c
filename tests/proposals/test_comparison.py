"""The figures of the comparison of proposals against counting by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oac.proposals.box_sources import proposal_table
from oac.proposals.comparison import (
    COUNTS,
    GroundTruth,
    best_overlaps,
    detection_rate,
    first_photos,
    proposals_by_source,
    score_proposals,
    without_difficult,
)

BOX = ["xmin", "ymin", "xmax", "ymax"]


def slow_overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def draw(rng, n):
    return np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_every_figure_equals_counting_by_hand(seed):
    rng = np.random.default_rng(seed)
    truth, labels = [draw(rng, n) for n in (3, 0, 1, 6)], [list("aab"), [], ["c"], list("bbbaca")]
    proposals = [draw(rng, n) for n in (12, 4, 0, 40)]
    table = score_proposals(
        proposals, GroundTruth(truth, [np.array(part, dtype=object) for part in labels]), (1, 5, 30, 1000)
    )
    assert table["count"].tolist() == [1, 5, 30, 1000]
    for row in table.itertuples():
        first = [boxes[: row.count] for boxes in proposals]
        best = [
            [max([slow_overlap(b, p) for p in f], default=0.0) for b in t] for f, t in zip(first, truth, strict=True)
        ]
        every = [value for part in best for value in part]
        by_label = {name: [] for name in "abc"}
        for part, names in zip(best, labels, strict=True):
            for value, name in zip(part, names, strict=True):
                by_label[name].append(value)
        assert row.best_overlap_object == pytest.approx(np.mean(every))
        assert row.best_overlap_image == pytest.approx(np.mean([np.mean(part) for part in best if part]))
        assert row.mabo == pytest.approx(np.mean([np.mean(values) for values in by_label.values()]))
        grid = np.linspace(0.5, 1, 2001)
        recall = np.mean([[value >= iou for value in every] for iou in grid])
        assert row.average_recall_object == pytest.approx(recall, abs=2e-3)
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for f in first for b in f]
        assert row.mean_area == pytest.approx(np.mean(areas))
        assert row.s_min == pytest.approx(0.2 / np.mean(areas))
        assert row.boxes == pytest.approx(np.mean([len(f) for f in first]))
    for average in ("image", "object"):
        for iou in (0.5, 0.7):
            rates = detection_rate(proposals, truth, (1, 5, 30, 1000), iou, average)
            assert table[f"detection_rate_{iou:g}_{average}"].tolist() == pytest.approx(list(rates.values()))


def test_nothing_to_find_and_nothing_proposed():
    none = np.zeros((0, 4))
    assert best_overlaps(none, np.array([[0, 0, 1, 1.0]]), [1, 5]).tolist() == [[0, 0]]
    row = score_proposals([none], GroundTruth([none], [np.zeros(0, dtype=object)]), [10]).iloc[0]
    assert math.isnan(row["detection_rate_0.5_image"])
    assert math.isnan(row["mean_area"])
    assert math.isnan(row["s_min"])
    with pytest.raises(ValueError, match="2 photos have proposals and 1 have"):
        score_proposals([none, none], GroundTruth([none], [np.zeros(0, dtype=object)]), COUNTS)


def test_difficult_objects_are_left_out_and_no_other():
    rows = [("a", "dog", 0.1, 0.2, 0.3, 0.4), ("a", "cat", 0.1, 0.2, 0.3, 0.4), ("b", "dog", 0.1, 0.2, 0.3, 0.4)]
    objects = pd.DataFrame(rows, columns=["image_id", "label", "xmin", "xmax", "ymin", "ymax"])
    objects = objects.astype({name: np.float32 for name in BOX})
    assert without_difficult(objects, objects.iloc[[1]]).index.tolist() == [0, 2]
    assert without_difficult(objects, objects.iloc[:0]).index.tolist() == [0, 1, 2]


def test_random_boxes_have_the_sizes_of_bings_rank_by_rank():
    box = np.array([[0.1, 0.1, 0.7, 0.9], [0.1, 0.1, 0.4, 0.9], [0.0, 0.0, 0.2, 0.3]])
    tables = {"bing": proposal_table(["a", "b", "c"], [box, box, box[:2]], [np.ones(3), np.ones(3), np.ones(2)])}
    tables_of = dict(proposals_by_source(["random", "bing"], tables, ["a", "b"], 7, 0))
    assert tables_of["bing"] is tables["bing"]
    random = tables_of["random"]
    assert random["image_id"].tolist() == ["a"] * 7 + ["b"] * 7
    assert random["rank"].tolist() == [*range(7)] * 2
    width = (random["xmax"] - random["xmin"]).to_numpy().reshape(2, 7)
    np.testing.assert_allclose(width[:, :5], [[0.6, 0.3, 0.2, 0.2, 0.2]] * 2, rtol=1e-5)
    assert np.abs(width[:, 5:, None] - [0.6, 0.3, 0.2]).min(axis=2).max() < 1e-5  # BING has no more: any of its sizes


def test_the_first_photos_of_a_split_are_those_of_the_smallest_ids():
    images = pd.DataFrame({"image_id": list("dbca"), "split": ["test", "test", "train", "test"]})
    assert first_photos(images, "test", 2)["image_id"].tolist() == ["a", "b"]
    assert first_photos(images, "test", None)["image_id"].tolist() == ["a", "b", "d"]
