from __future__ import annotations

import functools

import numpy as np
import pytest
from PIL import Image

from oac.pretrain.augment import Augmentation
from oac.pretrain.crops import POLICIES, CropPolicy
from oac.pretrain.host_photos import HostPhoto, HostPhotos
from oac.pretrain.loader import Boxes, ViewBatches
from oac.report.contact_sheet import COLOURS, DRAWN, contact_sheet, first_samples
from oac.report.style import save

COUNT, SIZE, SEED, LOWER = 5, 16, 3, 0.4


class Photos:
    """Photos in memory, with the interface of the loader's."""

    def __init__(self, count):
        rng = np.random.default_rng(0)
        self.image_ids = [f"photo{i}" for i in range(count)]
        self.photos = [
            HostPhoto(Image.fromarray(rng.integers(0, 256, (40 + i, 60 - i, 3), dtype=np.uint8)))
            for i in range(count)
        ]

    def __len__(self):
        return len(self.image_ids)

    def __getitem__(self, index):
        return self.photos[index]

    cut = staticmethod(HostPhotos.cut)


PHOTOS = Photos(9)
BOXES = Boxes.pack(
    [np.array([[0.1, 0.2, 0.5, 0.8], [0.4, 0.3, 0.9, 0.9]], np.float32)[: 1 + i % 2] for i in range(9)]
)


def policy(name):
    return CropPolicy(name, boxes=None if name == "scene-scene" else "bing")


def samples_of(name, **changes):
    options = {"seed": SEED, "count": COUNT, "view_size": SIZE, "augmentation": Augmentation()} | changes
    return first_samples(PHOTOS, BOXES, policy(name), LOWER, **options)


@functools.cache
def sheet(policy_name, /, name=None, **changes):
    samples = samples_of(policy_name, **changes)
    return contact_sheet(samples, policy(policy_name), LOWER, name or policy_name)


def shown(figure, view):
    return [image.get_array() for axes in figure.axes for image in axes.images if image.get_gid() == view]


def photo_axes(figure):
    return [axes for axes in figure.axes if axes.get_xlabel().startswith("photo")]


def outlines(axes, colour, style):
    found = []
    for patch in axes.patches:
        if patch.get_edgecolor()[:3] == pytest.approx(tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))):
            (x, y), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
            if (patch.get_linestyle() in ("-", "solid")) == (style == "solid"):
                found.append((x, y, x + width, y + height))
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_views_are_those_of_a_run_with_another_batch_size(name):
    figure = sheet(name)
    batches = ViewBatches(
        PHOTOS, BOXES, np.zeros((9, 0)), policy(name), LOWER, seed=SEED, batch_size=2, view_size=SIZE
    )
    first = [batches[step] for step in range(3)]
    query, key = (
        np.concatenate([getattr(batch, view).permute(0, 2, 3, 1).numpy() for batch in first])[:COUNT]
        for view in ("query", "key")
    )
    swapped = np.concatenate([batch.swapped.numpy() for batch in first])[:COUNT, None, None, None]
    assert 0 < swapped.mean() < 1, "which view is the query is drawn at random"
    np.testing.assert_array_equal(np.stack(shown(figure, "first view")), np.where(swapped, key, query))
    np.testing.assert_array_equal(np.stack(shown(figure, "second view")), np.where(swapped, query, key))
    ids = [PHOTOS.image_ids[i] for i in np.concatenate([batch.image for batch in first])[:COUNT]]
    assert [axes.get_xlabel() for axes in photo_axes(figure)] == ids


@pytest.mark.parametrize("name", POLICIES)
def test_the_solid_outline_holds_what_the_view_shows_and_lies_in_the_dashed_one(name):
    figure = sheet(name)
    for row, axes in enumerate(photo_axes(figure)):
        photo = PHOTOS[PHOTOS.image_ids.index(axes.get_xlabel())]
        for view, colour in COLOURS.items():
            (cut,), (region,) = outlines(axes, colour, "solid"), outlines(axes, colour, "dashed")
            again = photo.at(1).resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=cut)
            # Width + left is rounded once more than right, hence one level of grey.
            assert np.abs(np.asarray(again, int) - shown(figure, view)[row]).max() <= 1
            assert region[0] - 1e-6 <= cut[0] < cut[2] <= region[2] + 1e-6
            assert region[1] - 1e-6 <= cut[1] < cut[3] <= region[3] + 1e-6


def test_all_proposals_are_drawn_and_the_drawn_one_again():
    figure = sheet("object-dilate")
    for axes in photo_axes(figure):
        index = PHOTOS.image_ids.index(axes.get_xlabel())
        white = outlines(axes, "#ffffff", "solid")
        expected = BOXES.box[index, : BOXES.count[index]] * np.tile(PHOTOS[index].size, 2)
        np.testing.assert_allclose(white, expected, rtol=1e-5)
        (drawn,) = outlines(axes, DRAWN, "solid")
        assert np.abs(expected - drawn).max(1).min() < 1e-4
    assert not any(outlines(axes, "#ffffff", "solid") for axes in photo_axes(sheet("scene-scene")))


def test_all_policies_show_the_same_photos_and_another_seed_others():
    ids = {name: [axes.get_xlabel() for axes in photo_axes(sheet(name))] for name in POLICIES}
    assert len({tuple(value) for value in ids.values()}) == 1
    assert [axes.get_xlabel() for axes in photo_axes(sheet("scene-scene", seed=4))] != ids["scene-scene"]


def test_an_augmentation_that_does_nothing_shows_the_views_again():
    nothing = Augmentation(jitter=0, grayscale=0, blur=0, flip=0)
    for sample in samples_of("object-scene", augmentation=nothing):
        np.testing.assert_array_equal(sample.views["first view"], sample.views["first view, augmented"])
        np.testing.assert_array_equal(sample.views["second view"], sample.views["second view, augmented"])
    flipped = Augmentation(jitter=0, grayscale=0, blur=0, flip=1)
    figure = sheet("object-scene", augmentation=flipped)
    for plain, augmented in zip(shown(figure, "second view"), shown(figure, "second view, augmented"), strict=True):
        np.testing.assert_array_equal(plain[:, ::-1], augmented)


def test_the_title_says_policy_boxes_and_smallest_scale():
    title = sheet("object-dilate", name="my-crop").get_suptitle()
    assert all(part in title for part in ("my-crop: object-dilate", "BING boxes", "0.40", "δ = 0.1"))
    assert "boxes" not in sheet("scene-scene").get_suptitle()


def test_the_caption_says_the_variant_and_how_it_cuts():
    captions = {name: sheet(name).get_label() for name in POLICIES}
    assert len(set(captions.values())) == len(POLICIES), "no two are alike"
    for name, caption in captions.items():
        assert caption.startswith(name)
        assert ("BING" in caption) == (name != "scene-scene")
    assert "grown by 10 % of the photo's side" in captions["object-dilate"]
    random = contact_sheet(samples_of("object-dilate"), CropPolicy("object-dilate", boxes="random"), LOWER, "my-crop")
    assert random.get_label().startswith("my-crop (random boxes): ")
    assert "random places" in random.get_label()


def test_fewer_photos_than_asked_for_are_all_shown_and_none_is_an_error():
    assert len(photo_axes(sheet("object-scene", count=50))) == 9
    with pytest.raises(ValueError, match="at least 1"):
        sheet("object-scene", count=0)
    with pytest.raises(ValueError, match="no training photos"):
        first_samples(Photos(0), BOXES, policy("object-scene"), LOWER, view_size=SIZE, augmentation=Augmentation())


def test_a_sheet_saved_twice_has_the_same_bytes(tmp_path):
    for name in "ab":
        save(sheet.__wrapped__("object-shift", count=1), tmp_path / name)
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
