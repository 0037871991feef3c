"""The released code's options, against plain transcriptions one box at a time."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oac.pretrain import crops
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import CropPolicy, draw_views, random_crop
from oac.pretrain.device_photos import DevicePhotos
from oac.pretrain.host_photos import HostPhoto, HostPhotos
from oac.pretrain.released import dilate_coordinate, grow_small
from oac.pretrain.run import training_batches


def grown_slowly(low, high, extent, delta=0.0, side=224):
    """The rule for one axis of one box, in the order in which the released code changes its two numbers."""
    low, high = int(low), int(high)
    if delta > 0:
        low, high = low - int(low * delta), high + int(high * delta)
    if high - low < side:
        if low - side / 2 > 0:
            low = low - side / 2
        else:
            low, high = 0, side
        if high + side / 2 < extent:
            high = high + side / 2
        else:
            low = high - side
    return low, high


@pytest.mark.parametrize(
    ("low", "high", "extent", "expected"),
    [
        (400, 500, 1024, (288, 612)),  # grows by 224, not to it
        (100, 200, 1024, (0, 336)),  # near the origin the place of the box is forgotten
        (80, 240, 1024, (0, 336)),  # so that the dilated box is the same
        (900, 1000, 1024, (776, 1000)),
        (113, 150, 200, (-74, 150)),  # a low edge that leaves the photo
        (112, 212, 1024, (0, 336)),  # at the very place where the low edge would be 0
        (700, 912, 1024, (688, 912)),  # and where the high edge would be the photo's end
        (10, 60, 100, (0, 224)),  # a photo that is shorter than the rule's side
        (100, 324, 1024, (100, 324)),  # not short
    ],
)
def test_small_boxes_grow_as_the_released_code_has_it(low, high, extent, expected):
    assert grown_slowly(low, high, extent) == expected
    # Along the other axis the photo has 1,024 px.
    for part in (0.0, 0.75):  # of a pixel, which is not counted
        box = grow_small(np.array([[low + part, 0, high + part, 1024]], float), np.array([[extent, 1024]], float))
        assert box[0].tolist() == [expected[0], 0, expected[1], 1024]


@pytest.mark.parametrize("stored", [144, 256, 512, 1024])
def test_the_rule_is_the_same_however_large_a_photo_is_stored(stored):
    size = np.array([[1024.0, 768.0]])
    for box in ([400, 300, 500, 600], [10, 20, 60, 700], [960, 700, 1000, 760], [7.5, 100.25, 33.9, 500]):
        for rule in (grow_small, lambda box, size: dilate_coordinate(box, 0.2, size)):
            there = rule(np.array([box], float), size) / 1024
            here = rule(np.array([box], float) * stored / 1024, size * stored / 1024) / stored
            np.testing.assert_allclose(here, there, atol=1e-12)


# One corner in four lies on a whole pixel, and places of a coarse grid meet the rule's bounds exactly, often.
PLACE = st.one_of(st.integers(0, 4096).map(lambda quarters: quarters / 4), st.integers(0, 64).map(lambda n: n * 16.0))


@given(
    st.lists(st.tuples(PLACE, PLACE, PLACE, PLACE), min_size=1, max_size=20),
    st.sampled_from([(1024, 640), (288, 1024), (1024, 131)]),
    st.sampled_from([0.0, 0.1, 0.2]),
)
def test_both_rules_are_their_transcription_on_every_axis(rows, size, delta):
    values, size = np.array(rows), np.tile(np.array(size, float), (len(rows), 1))
    ends = np.sort(np.stack([values[:, :2], values[:, 2:]]) % (size + 0.25), axis=0)
    ends[1] = np.minimum(np.maximum(ends[1], ends[0] + 1), size)  # of a pixel at least, but at the photo's end
    box = np.concatenate([*ends], axis=1)
    ours = grow_small(dilate_coordinate(box, delta, size) if delta else box, size)
    for row in range(len(values)):
        for axis in (0, 1):
            expected = grown_slowly(ends[0, row, axis], ends[1, row, axis], size[row, axis], delta)
            assert ours[row, [axis, axis + 2]].tolist() == list(expected)


def test_dilation_of_the_coordinate_leaves_the_origin_and_passes_the_border():
    box, size = np.array([[0.0, 100, 900, 200]]), np.array([[1024.0, 768]])
    assert dilate_coordinate(box, 0.2, size).tolist() == [[0, 80, 1080, 240]]
    # 103 px move by a tenth, 10 px and not 10.3; 57.9 are 57 and move by 5.
    assert dilate_coordinate(np.array([[57.9, 103, 900, 200]]), 0.1, size).tolist() == [[52, 93, 990, 220]]


def test_a_box_within_a_pixel_is_one():
    box = dilate_coordinate(np.array([[2.1, 3.2, 2.9, 3.9]]), 0.1, np.array([[1024.0, 768]]))
    assert box.tolist() == [[2, 3, 3, 4]]


def test_each_option_changes_the_regions_it_speaks_of_and_no_other():
    size, box = np.array([[1024.0, 1024.0]]), np.array([[[0.390625, 0.390625, 0.48828125, 0.48828125]]])
    u = np.random.default_rng(0).random((1, crops.DRAWS))
    half = 224 / 2

    def regions(**options):
        policy = CropPolicy("object-dilate", "ground_truth", **options)
        return draw_views(policy, 0.5, box, np.array([1]), size, u).regions[0].tolist()

    tight = [400, 400, 500, 500]
    plain = [tight, [400 - 102.4, 400 - 102.4, 500 + 102.4, 500 + 102.4]]
    assert regions() == plain
    assert regions(dilation="coordinate") == [tight, [360, 360, 550, 550]]
    # Long enough already, the dilated box stays.
    grown = [400 - half, 400 - half, 500 + half, 500 + half]
    assert regions(smallest_box="released") == [grown, [297, 297, 602, 602]]
    dilated = [360 - half, 360 - half, 550 + half, 550 + half]
    assert regions(dilation="coordinate", smallest_box="released") == [grown, dilated]


def test_scales_are_those_of_the_first_and_the_second_region():
    count = 3000
    size, box = np.full((count, 2), 1000.0), np.tile([[0.2, 0.2, 0.8, 0.8]], (count, 1, 1))
    u = np.random.default_rng(0).random((count, crops.DRAWS))
    policy = CropPolicy("object-dilate", "ground_truth", scales=((0.0, 1.0), (0.2, 1.0)))
    views = draw_views(policy, 0.5, box, np.ones(count, int), size, u)
    first = np.where(views.swapped[:, None], views.key, views.query)
    second = np.where(views.swapped[:, None], views.query, views.key)
    shares = [
        np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(region[:, 2:] - region[:, :2], axis=1)
        for cut, region in ((first, views.regions[:, 0]), (second, views.regions[:, 1]))
    ]
    assert shares[0].min() < 0.02
    assert 0.2 - 1e-9 < shares[1].min() < 0.25


def test_a_crop_of_nothing_is_drawn_again_and_other_ranges_draw_as_before():
    region = np.tile([10.0, 10.0, 12.0, 12.0], (2000, 1))
    u = np.random.default_rng(0).random((2000, crops.DRAWS_PER_CROP))
    sides = random_crop(region, (0.0, 1.0), (0.75, 4 / 3), u)
    assert (sides[:, 2:] - sides[:, :2]).min() > 0.5
    small = random_crop(region, (1e-4, 1.0), (0.75, 4 / 3), u)
    assert (small[:, 2:] - small[:, :2]).min() < 0.2


def test_an_epoch_of_boxes_shows_every_box_once_and_augments_each_by_its_own_draws(recipe, inputs):
    recipe["crops"] |= {"items": "box", "policy": "object-object"}
    batches, _ = training_batches(recipe, inputs)
    count = int(batches.boxes.count.sum())
    assert count > 2 * len(batches.photos)
    epoch, item = (
        np.concatenate(parts) for parts in zip(*(batches.samples(s) for s in range(2 * count // 16)), strict=True)
    )
    assert sorted(item[epoch == 0]) == list(range(count))
    batch = batches[0]
    assert np.array_equal(batch.image, batches.item_photo[batch.item])
    assert not np.array_equal(batch.image, batch.item)
    size = np.array([batches.photos[i].size for i in batch.image], float)
    views = batches.draw_views(batch.epoch, batch.item, size)
    truth = batches.boxes.box[batch.image, batches.item_box[batch.item]] * np.tile(size, 2)
    np.testing.assert_allclose(views.box, truth, atol=1e-3)
    assert torch.equal(batch.labels, torch.from_numpy(batches.labels[batch.image].astype(np.float32)))


def test_items_list_the_boxes_of_each_photo_in_order():
    boxes = Boxes.pack([np.zeros((2, 4)), np.zeros((0, 4)), np.zeros((3, 4))])
    photo, box = boxes.items("box")
    assert photo.tolist() == [0, 0, 1, 2, 2, 2]
    assert box.tolist() == [0, 1, 0, 0, 1, 2]
    photo, box = boxes.items("image")
    assert photo.tolist() == [0, 1, 2]
    assert box is None


def test_a_broken_photo_is_replaced_by_an_item_of_the_next(recipe, inputs):
    recipe["crops"] |= {"items": "box"}
    batches, _ = training_batches(recipe, inputs)
    whole, last = batches.photos, len(batches.photos) - 1

    class Broken:
        cut, image_ids = staticmethod(HostPhotos.cut), whole.image_ids

        def __len__(self):
            return len(whole)

        def __getitem__(self, index):
            return None if index in (3, 4, last) else whole[index]

    batches.photos = Broken()
    made = [batches[step] for step in range(len(batches.item_photo) // 16)]
    assert sum(batch.damaged for batch in made) > 0
    for batch in made:
        assert not {3, 4, last} & set(batch.image)
        assert np.array_equal(batch.image, batches.item_photo[batch.item])


def test_count_takes_the_best_boxes(recipe, inputs):
    every, _ = training_batches(recipe, inputs)
    recipe["crops"]["count"] = 2
    few, _ = training_batches(recipe, inputs)
    assert few.boxes.count.max() == 2
    assert np.array_equal(few.boxes.count, np.minimum(every.boxes.count, 2))
    assert np.array_equal(
        few.boxes.box, every.boxes.box[:, :2] * (np.arange(2) < few.boxes.count[:, None])[..., None]
    )


@pytest.mark.parametrize("side", [5, 16])
def test_what_a_box_shows_beside_its_photo_is_black_on_the_host_and_on_the_device(side):
    """Pillow of the photo on a black plane is the oracle, which reads the margin that the box has, and no more."""
    rng, sizes = np.random.default_rng(side), [(40, 30), (24, 64), (9, 9)]
    pictures = [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]

    class Pictures(list):
        image_ids, largest = ["a", "b", "c"], (40, 64)

    photos = Pictures(map(HostPhoto, pictures))
    placed = DevicePhotos(photos, torch.device("cpu"))
    outside = [[-7.5, -3.25, 20.5, 18.0], [5.0, 40.5, 30.75, 90.0], [-20.0, -4.5, -2.5, 30.25]]
    mixed = [[2.5, 3.0, 30.0, 20.0], [-1.0, 0.0, 24.0, 64.0], [1.0, 1.0, 8.0, 8.0]]
    for box in map(np.array, (outside, mixed)):
        host = HostPhotos.cut(photos, np.ones(3, int), box, side)
        device = placed.cut([placed[i] for i in range(3)], np.ones(3, int), box, side)
        assert (host.int() - device.int()).abs().max() <= 1
        for picture, edges, view in zip(pictures, box, host, strict=True):
            low = np.minimum(np.floor(edges[:2]), 0).astype(int)
            high = np.maximum(np.ceil(edges[2:]), picture.size).astype(int)
            plane = Image.new("RGB", tuple((high - low).tolist()))
            plane.paste(picture, tuple((-low).tolist()))
            expected = plane.resize(
                (side, side), Image.Resampling.BILINEAR, box=tuple((edges - np.tile(low, 2)).tolist())
            )
            assert np.array_equal(view.permute(1, 2, 0).numpy(), np.asarray(expected))
    far = HostPhotos.cut(photos, np.ones(3, int), np.tile([100.0, 100, 120, 120], (3, 1)), side)
    assert not far.any()


@pytest.mark.parametrize("reduce", [None, 1.0])
def test_a_run_as_released_makes_batches_and_is_known_by_its_variant(recipe, inputs, reduce):
    recipe |= {"reduce": reduce} if reduce else {}
    recipe["crops"] |= {
        "dilation": "coordinate", "delta": 0.2, "items": "box", "scales": [[0.0, 1.0], [0.2, 1.0]],
        "smallest_box": "released",
    }  # fmt: skip
    assert CropPolicy.of(recipe["crops"]).scales == ((0.0, 1.0), (0.2, 1.0))
    batches, _ = training_batches(recipe, inputs)
    batch = batches[0]
    assert batch.query.shape == batch.key.shape == (16, 3, 16, 16)
    images = pd.read_parquet(inputs.images)
    photos = HostPhotos(inputs.photos, images[images.split == "train"], resident_gib=0, reduced=bool(reduce))
    on_host = batches.photos
    batches.photos = DevicePhotos(photos, torch.device("cpu"))
    again = batches[0]
    batches.photos = on_host
    if not reduce:
        assert (batch.query.int() - again.query.int()).abs().max() <= 1
        assert (batch.key.int() - again.key.int()).abs().max() <= 1


def test_a_runs_boxes_grow_by_their_share_of_its_photos(recipe, inputs):
    """On photos of 64 px the side is 14, whatever the side of the run's views."""
    recipe["crops"] |= {"delta": 0.0, "smallest_box": "released"}
    batches, _ = training_batches(recipe, inputs)
    epoch, item = batches.samples(0)
    views = batches.draw_views(epoch, item, np.full((len(item), 2), 64.0))
    short = 0
    for box, region in zip(views.box, views.regions[:, 0], strict=True):
        for axis in (0, 1):
            low, high = box[axis::2]
            # A sum of two proposals' shares may lie a rounding error below a whole pixel.
            grown = [edge / 16 for edge in grown_slowly(low * 16 + 1e-6, high * 16 + 1e-6, 1024)]
            assert region[axis::2].tolist() == pytest.approx(grown)
            short += high - low < 14
    assert recipe["view_size"] == 16
    assert 0 < short < 2 * len(item), "some sides must grow and some not for the test to mean something"


def test_options_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="photo, coordinate"):
        CropPolicy("object-dilate", "bing", dilation="corner")
    with pytest.raises(ValueError, match="none, released"):
        CropPolicy("object-dilate", "bing", smallest_box="224")
    with pytest.raises(ValueError, match="image, box"):
        CropPolicy("object-dilate", "bing", items="boxes")
