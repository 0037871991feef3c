"""Overlap of two crops: against a slow plain reference, its properties, and the pairs that training really cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oac.crop_options import POLICIES
from oac.pretrain.crop_overlap import MEASURES, ObjectBoxes, first_and_second, measure_overlap, measure_pairs
from oac.pretrain.crop_sampler import Boxes, CropSampler
from oac.pretrain.crops import CropPolicy
from oac.pretrain.loader import ViewBatches

PHOTOS, LOWER, VIEW = 7, 0.4, 16
RNG = np.random.default_rng(3)


def random_boxes(rng, count):
    corners = np.sort(rng.random((count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1]], axis=1).astype(np.float32)


SIZE = np.stack([RNG.integers(40, 90, PHOTOS), RNG.integers(30, 80, PHOTOS)], axis=1).astype(float)
PROPOSALS = Boxes.pack([random_boxes(RNG, 1 + number % 3) for number in range(PHOTOS)])
TRUTH = [random_boxes(RNG, number % 4) for number in range(PHOTOS)]  # some photos have no object
OBJECTS = ObjectBoxes.pack(TRUTH)


def crop_policy(name, **options):
    return CropPolicy(name, boxes=None if name == "scene-scene" else "bing", **options)


def as_released():
    return crop_policy(
        "object-dilate", items="box", dilation="coordinate", smallest_box="released", scales=((0.0, 1.0), (0.2, 1.0))
    )


CASES = [*map(crop_policy, POLICIES), as_released()]


def plain_measures(first, second, size, objects):
    """The definitions for one pair, number by number."""

    def inner(a, b):
        return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))

    def whole(a):
        return (a[2] - a[0]) * (a[3] - a[1])

    both = inner(first, second)
    shown = [all(inner(crop, box) >= whole(box) / 2 for crop in (first, second)) for box in objects]
    empty = [not any(inner(crop, box) > 0 for box in objects) for crop in (first, second)]
    return {
        "iou": both / (whole(first) + whole(second) - both),
        "smaller_inside": both / min(whole(first), whole(second)),
        "disjoint": float(both == 0),
        "first_area": whole(first) / (size[0] * size[1]),
        "second_area": whole(second) / (size[0] * size[1]),
        "magnification": sum((size[0] * size[1] / whole(crop)) ** 0.5 for crop in (first, second)) / 2,
        "same_object": float(any(shown)),
        "no_object": sum(empty) / 2,
    }


@pytest.mark.parametrize("policy", CASES, ids=lambda policy: f"{policy.policy}-{policy.items}")
def test_a_variants_means_are_those_of_the_pairs_that_the_loader_cuts(policy, monkeypatch):
    """The pairs come from the loader and are measured one by one; chunks are small, so that their edges are met."""
    monkeypatch.setattr("oac.pretrain.crop_overlap.CHUNK", 3)
    labels = np.zeros((PHOTOS, 0))
    batches = ViewBatches(range(PHOTOS), PROPOSALS, labels, policy, LOWER, seed=5, batch_size=1, view_size=VIEW)
    items = len(batches.item_photo)
    assert items == (PROPOSALS.count.sum() if policy.items == "box" else PHOTOS)
    rows = []
    for step in range(2 * items):  # two epochs, in the order of training
        epoch, item = batches.samples(step)
        image = int(batches.item_photo[item][0])
        views = batches.draw_views(epoch, item, SIZE[[image]])
        pair = [views.key[0], views.query[0]] if views.swapped[0] else [views.query[0], views.key[0]]
        rows.append(plain_measures(*pair, SIZE[image], TRUTH[image] * np.tile(SIZE[image], 2)))
    result = measure_overlap(policy, LOWER, PROPOSALS, SIZE, OBJECTS, seed=5, epochs=2)
    assert result.pop("pairs") == 2 * items
    assert list(result) == list(MEASURES)
    for name, value in result.items():
        assert value == pytest.approx(np.mean([row[name] for row in rows]), abs=1e-12), name


def test_views_come_in_the_order_of_the_policy():
    """The first view of object-scene lies in the drawn box, whichever is the query."""
    sampler = CropSampler(crop_policy("object-scene"), LOWER, PROPOSALS, seed=0)
    views = sampler.draw_views(np.zeros(PHOTOS, int), np.arange(PHOTOS), SIZE)
    assert 0 < views.swapped.sum() < PHOTOS
    first, _ = first_and_second(views)
    assert (first[:, :2] >= views.box[:, :2]).all()
    assert (first[:, 2:] <= views.box[:, 2:]).all()


numbers = st.floats(0, 50, allow_subnormal=False)
sides = st.floats(0.5, 50)
boxes = st.tuples(numbers, numbers, sides, sides).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
pairs = st.lists(st.tuples(boxes, boxes, st.lists(boxes, max_size=3)), min_size=1, max_size=6)


def measured(cases):
    first, second = (np.array([case[side] for case in cases]) for side in (0, 1))
    size = np.full((len(cases), 2), 100.0)
    objects = ObjectBoxes.pack([np.array(case[2]).reshape(-1, 4) / 100 for case in cases])
    return measure_pairs(first, second, size, *objects.of(np.arange(len(cases)), size))


@given(pairs)
def test_measures_lie_in_their_range_and_know_no_first_or_second(cases):
    result = measured(cases)
    turned = measured([(second, first, objects) for first, second, objects in cases])
    for name, values in result.items():
        assert (values >= 0).all(), name
        assert (values <= (200 if name == "magnification" else 1) + 1e-9).all(), name
        other = {"first_area": "second_area", "second_area": "first_area"}.get(name, name)
        assert values == pytest.approx(turned[other]), name
    assert (result["iou"] <= result["smaller_inside"] + 1e-9).all()
    assert ((result["iou"] == 0) == (result["disjoint"] == 1)).all()


@given(pairs)
def test_equal_crops_overlap_wholly_and_distant_ones_do_not(cases):
    same = measured([(first, first, objects) for first, _, objects in cases])
    assert (same["iou"] == 1).all()
    assert (same["smaller_inside"] == 1).all()
    apart = measured([(first, [value + 200 for value in first], objects) for first, _, objects in cases])
    for name, value in {"iou": 0, "smaller_inside": 0, "disjoint": 1, "same_object": 0}.items():
        assert (apart[name] == value).all(), name


@given(pairs)
def test_pairs_are_measured_as_the_definitions_say(cases):
    result = measured(cases)
    for row, (first, second, objects) in enumerate(cases):
        # ObjectBoxes went through shares of the photo, and a half is a sharp bound.
        known = [(np.array(box) / 100 * 100).tolist() for box in objects]
        expected = plain_measures(first, second, (100, 100), known)
        for name, value in expected.items():
            assert result[name][row] == pytest.approx(value, abs=1e-9), name


def test_the_same_object_is_one_object():
    """Two crops with an object each, and none with both, do not show the same."""
    left, right = [0, 0, 50, 100], [50, 0, 100, 100]
    objects = [[10, 10, 30, 30], [60, 10, 80, 30]]
    assert measured([(left, right, objects)])["same_object"] == [0]
    assert measured([(left, [0, 0, 20, 100], objects)])["same_object"] == [1], "half of the first one"
    assert measured([(left, [0, 0, 19, 100], objects)])["same_object"] == [0]


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="0 epochs"):
        measure_overlap(crop_policy("scene-scene"), LOWER, PROPOSALS, SIZE, OBJECTS, epochs=0)
