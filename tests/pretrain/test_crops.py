import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from oac.pretrain import crops
from oac.pretrain.crops import DRAWS, CropPolicy, dilate, draw_views, random_crop, scale_lower_bound, shift

unit = st.floats(0, 1)
side = st.integers(1, 2000)


@st.composite
def photos(draw, count=4):
    """A few photos with proposals, some of them without area or past the border, as a source might give them."""
    size = np.array(draw(st.lists(st.tuples(side, side), min_size=count, max_size=count)), float)
    corners = np.array(draw(st.lists(st.tuples(unit, unit, unit, unit), min_size=count, max_size=count)))
    box = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    box = box * draw(st.sampled_from([1.0, 1.02]))
    u = np.random.default_rng(draw(st.integers(0, 2**32))).random((count, crops.DRAWS))
    return size, box, u


def policies():
    return [CropPolicy(name, None if name == "scene-scene" else "bing") for name in crops.POLICIES]


def inside(inner, outer, tolerance=1e-6):
    return (inner[:, :2] >= outer[:, :2] - tolerance).all() and (inner[:, 2:] <= outer[:, 2:] + tolerance).all()


@settings(max_examples=60)
@given(photos(), st.floats(0.01, 1))
def test_views_are_inside_the_photo_and_their_regions_and_never_empty(photo, s_min):
    size, box, u = photo
    whole = np.concatenate([np.zeros_like(size), size], 1)
    for policy in policies():
        views = draw_views(policy, s_min, box[:, None], np.ones(len(size), int), size, u)
        for view in (views.query, views.key, views.regions[:, 0], views.regions[:, 1]):
            assert inside(view, whole, tolerance=0)
            assert (view[:, 2:] > view[:, :2]).all()
        first = np.where(views.swapped[:, None], views.key, views.query)
        second = np.where(views.swapped[:, None], views.query, views.key)
        assert inside(first, views.regions[:, 0])
        assert inside(second, views.regions[:, 1])


@given(photos(), st.floats(0, 0.5))
def test_dilation_contains_the_box_and_grows_by_a_share_of_the_photo(photo, delta):
    size, box, _ = photo
    box = np.clip(box, 0, 1) * np.tile(size, 2)
    grown = dilate(box, delta, size)
    assert inside(box, grown, tolerance=0)
    expected = np.stack(
        [
            [max(x0 - delta * w, 0), max(y0 - delta * h, 0), min(x1 + delta * w, w), min(y1 + delta * h, h)]
            for (x0, y0, x1, y1), (w, h) in zip(box, size, strict=True)
        ]
    )
    np.testing.assert_allclose(grown, expected, rtol=1e-12)


@given(photos())
def test_shift_keeps_the_size_and_the_distance_where_there_is_room(photo):
    size, box, u = photo
    box = np.clip(box, 0, 1) * np.tile(size, 2)
    moved = shift(box, (0.08, 0.10), size, u[:, : 2 * crops.TRIES])
    np.testing.assert_allclose(moved[:, 2:] - moved[:, :2], box[:, 2:] - box[:, :2], atol=1e-6)
    assert inside(moved, np.concatenate([np.zeros_like(size), size], 1))
    distance = np.hypot(*(moved - box)[:, :2].T) / size.mean(1)
    assert (distance <= 0.10 + 1e-9).all()


def test_shift_of_a_small_box_in_the_middle_is_never_shorter_than_the_range():
    size = np.full((500, 2), 100.0)
    u = np.random.default_rng(0).random((500, 2 * crops.TRIES))
    moved = shift(np.tile([45.0, 45, 55, 55], (500, 1)), (0.08, 0.10), size, u)
    distance = np.hypot(moved[:, 0] - 45, moved[:, 1] - 45)
    assert distance.min() >= 8
    assert distance.max() <= 10
    angle = np.arctan2(moved[:, 1] - 45, moved[:, 0] - 45)
    assert stats.kstest(angle / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.5, 1.0)])
@pytest.mark.parametrize("shape", [(400, 300), (300, 100)])
def test_random_crop_draws_as_torchvision_does(scale, shape):
    """Same distribution of width, height and place; torchvision rounds to pixels, so photos are large."""
    width, height = shape
    count, ratio = 4000, (3 / 4, 4 / 3)
    u = np.random.default_rng(1).random((count, crops.DRAWS_PER_CROP))
    ours = random_crop(np.tile([0.0, 0, width, height], (count, 1)), scale, ratio, u)
    import torch

    torch.manual_seed(0)  # torchvision draws from the process' own generator, which other tests have moved
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)], float)
    pairs = [(ours[:, 1], theirs[:, 0]), (ours[:, 0], theirs[:, 1])]
    pairs += [(ours[:, 3] - ours[:, 1], theirs[:, 2]), (ours[:, 2] - ours[:, 0], theirs[:, 3])]
    for mine, other in pairs:
        assert abs(mine.mean() - other.mean()) < 0.05 * max(other.mean(), 10)
        assert stats.ks_2samp(np.rint(mine), other).pvalue > 1e-4


def test_the_box_is_drawn_uniformly_from_those_of_the_photo():
    count = 6000
    boxes = np.stack([np.array([0.1 * k, 0.1, 0.1 * k + 0.1, 0.3]) for k in range(5)])
    u = np.random.default_rng(2).random((count, crops.DRAWS))
    views = draw_views(
        CropPolicy("object-object", "bing"), 0.5, np.tile(boxes, (count, 1, 1)), np.full(count, 4),
        np.full((count, 2), 100.0), u,
    )  # fmt: skip
    drawn = np.rint(views.box[:, 0] / 10).astype(int)
    assert drawn.max() == 3, "the fifth box is padding"
    assert stats.chisquare(np.bincount(drawn)).pvalue > 1e-3
    assert 0.45 < views.swapped.mean() < 0.55


def test_each_policy_cuts_where_the_paper_says():
    size, box = np.array([[200.0, 100.0]]), np.array([[[0.4, 0.4, 0.6, 0.6]]])
    u = np.random.default_rng(3).random((1, crops.DRAWS))
    region = {p.policy: draw_views(p, 0.5, box, np.array([1]), size, u).regions[0].tolist() for p in policies()}
    whole, tight = [0, 0, 200, 100], [80, 40, 120, 60]
    assert region["scene-scene"] == [whole, whole]
    assert region["object-scene"] == [tight, whole]
    assert region["object-object"] == [tight, tight]
    assert region["object-dilate"] == [tight, [60, 30, 140, 70]]
    assert region["object-shift"][0] == tight
    assert region["object-shift"][1] != tight


def test_s_min_is_the_papers_formula_with_a_cap():
    assert scale_lower_bound(np.full(10, 0.39), cap=1.0) == pytest.approx(0.51, abs=0.005)
    assert scale_lower_bound(np.array([0.01, 0.03]), cap=0.5) == 0.5
    with pytest.raises(ValueError, match="box source"):
        scale_lower_bound(np.empty(0), cap=0.5)


def test_a_policy_that_is_unknown_or_lacks_its_boxes_is_refused():
    with pytest.raises(ValueError, match="object-object"):
        CropPolicy("object-objekt", "bing")
    with pytest.raises(ValueError, match="ground_truth"):
        CropPolicy("object-dilate")


def test_a_policy_whose_regions_nobody_wrote_is_refused():
    policy = CropPolicy("object-dilate", boxes="bing")
    object.__setattr__(policy, "policy", "object-new")
    boxes = np.array([[[0.2, 0.2, 0.6, 0.6]]])
    with pytest.raises(ValueError, match="object-new"):
        draw_views(policy, 0.2, boxes, np.array([1]), np.array([[100.0, 80.0]]), np.full((1, DRAWS), 0.5))
