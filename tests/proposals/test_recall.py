"""Detection rate against counting by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oac.proposals.comparison import detection_rate


def brute_force(proposals, truth, count, iou, average):
    shares, found_all, total = [], 0, 0
    for candidates, boxes in zip(proposals, truth, strict=True):
        found = 0
        for box in boxes:
            for other in candidates[:count]:
                low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
                common = max(0, high[0] - low[0]) * max(0, high[1] - low[1])
                areas = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
                if common / (areas - common) >= iou:
                    found += 1
                    break
        if len(boxes):
            shares.append(found / len(boxes))
        found_all, total = found_all + found, total + len(boxes)
    return sum(shares) / len(shares) if average == "image" else found_all / total


@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.5, 0.9]), st.sampled_from(["image", "object"]))
def test_equals_brute_force(seed, iou, average):
    rng = np.random.default_rng(seed)
    draw = lambda n: np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4)  # noqa: E731
    truth = [draw(n) for n in (3, 0, 1, 7)]
    proposals = [draw(n) for n in (12, 4, 0, 30)]
    rates = detection_rate(proposals, truth, (1, 5, 30, 1000), iou, average)
    assert list(rates) == [1, 5, 30, 1000]
    for count, rate in rates.items():
        assert rate == pytest.approx(brute_force(proposals, truth, count, iou, average))


def test_averages_differ_as_documented():
    whole, none = np.array([[0, 0, 1, 1.0]]), np.zeros((0, 4))
    truth = [whole, np.repeat(whole, 3, axis=0), none]
    assert detection_rate([whole, none, whole], truth, [1]) == {1: 0.5}
    assert detection_rate([whole, none, whole], truth, [1], average="object") == {1: 0.25}
    assert math.isnan(detection_rate([whole], [none], [1])[1])


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="2 photos have proposals and 1"):
        detection_rate([np.zeros((0, 4))] * 2, [np.zeros((0, 4))], [1])
    with pytest.raises(ValueError, match="'mean'"):
        detection_rate([], [], [1], average="mean")
