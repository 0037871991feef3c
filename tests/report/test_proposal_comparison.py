"""The comparison of proposals, as a page and as figures."""

import numpy as np
import pandas as pd
import pytest

from oac.proposals.comparison import GroundTruth, score_proposals
from oac.report.proposal_comparison import HIT_COLOUR, MISS_COLOUR, comparison_curves, page, recall_curve, top_boxes

TRUTH = [np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]]), np.array([[0.0, 0.0, 1.0, 1.0]])]
NEAR = [np.array([[0.1, 0.1, 0.5, 0.5], [0.0, 0.0, 0.2, 0.2]]), np.array([[0.0, 0.0, 0.9, 0.9]])]


@pytest.fixture
def table():
    labels = [np.array(["cat", "dog"], dtype=object), np.array(["cat"], dtype=object)]
    parts = {"bing": NEAR, "random": [np.array([[0.0, 0.0, 0.1, 0.1]])] * 2}
    objects = GroundTruth(TRUTH, labels)
    return pd.concat(
        [score_proposals(boxes, objects, (1, 10, 100)).assign(source=name) for name, boxes in parts.items()]
    )


def test_the_page_has_both_averages_and_says_what_was_left_out(table):
    text = page(table, "voc", "test", 2, 3, 4)
    assert all(part in text for part in ("2 photos of the test split", "3 objects", "4 more are marked difficult"))
    assert "| BING | 0.750 / 0.750 / 0.750 | 0.750 / 0.750 / 0.750 |" in text  # photos: one half, one whole
    assert "| BING | 0.667 / 0.667 / 0.667 | 0.667 / 0.667 / 0.667 |" in text  # objects: two of three
    assert "| random | 0.000 / 0.000 / 0.000 |" in text
    assert "difficult" not in page(table, "voc", "test", 2, 3, 0)
    area = (0.16 + 0.04 + 0.81) / 3
    assert f"| {100 * area:.1f} | {0.2 / area:.2f} |" in text


def test_curves_show_every_source_with_both_averages(table, check_texts):
    figure = comparison_curves(table)
    check_texts(figure)
    assert figure.get_suptitle() == "The first 10 boxes find, of a photo's objects: BING 75 %, random 0 %"
    for axes in figure.axes:
        lines = {line.get_gid(): line.get_ydata() for line in axes.get_lines()}
        assert set(lines) == {"bing image", "bing object", "random image", "random object"}
    first = {line.get_gid(): line.get_ydata().tolist() for line in figure.axes[0].get_lines()}
    assert first["bing image"] == pytest.approx([75, 75, 75])
    assert first["bing object"] == pytest.approx([200 / 3] * 3)
    with pytest.raises(ValueError, match="no rates"):
        comparison_curves(table.iloc[:0])


def test_the_contact_sheet_tells_boxes_that_find_an_object_from_others():
    photos = {"a": np.zeros((30, 40, 3), np.uint8), "b": np.zeros((40, 30, 3), np.uint8)}
    many = [np.tile(NEAR[0], (9, 1)), np.zeros((0, 4))]
    figure = top_boxes(photos, {"bing": NEAR, "csv": many}, TRUTH)
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["BING", "CSV"]
    colours = [[patch.get_edgecolor() for patch in axes.patches] for axes in figure.axes]
    assert [len(part) for part in colours] == [4, 12, 2, 1]  # boxes (ten at most) and ground truth
    first = figure.axes[0].patches
    found = [patch for patch in first if patch.get_linestyle() == "-"]
    assert {(patch.get_x(), patch.get_linewidth()) for patch in found} == {(4.0, 1.6), (0.0, 0.8)}
    assert HIT_COLOUR != MISS_COLOUR
    with pytest.raises(ValueError, match="no photos"):
        top_boxes({}, {"bing": []}, [])


def test_recall_is_in_percent_over_the_count_whatever_the_order_of_the_keys():
    axes = recall_curve({"bing": {"10": 0.5, "1": 0.1, "2": 0.2}, "random": {"1": 0.05}}).axes[0]
    bing, random = (line for line in axes.lines if line.get_gid() == "mean")
    assert list(bing.get_xdata()) == [1, 2, 10]
    np.testing.assert_allclose(bing.get_ydata(), [10, 20, 50])
    np.testing.assert_allclose(random.get_ydata(), [5])
    assert axes.get_ylabel() == "objects found (%) at IoU ≥ 0.5,\nmean over photos"
    assert {text.get_text() for text in axes.texts} == {"BING boxes", "random boxes"}
    named = recall_curve({"edge_boxes": {1: 0.1}, "ground_truth": {1: 0.9}}).axes[0].texts
    assert {text.get_text() for text in named} == {"Edge Boxes", "ground-truth boxes"}
    with pytest.raises(ValueError, match="no detection rates"):
        recall_curve({"bing": {}})


def test_sources_that_end_close_together_keep_readable_names(check_texts):
    check_texts(recall_curve({"bing": {1: 0.1, 10: 0.11}, "ground_truth": {1: 0.1, 10: 0.12}}))
