import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as oracle

from oac.pretrain import augment
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.host_photos import LEVELS, HostPhoto, HostPhotos
from oac.pretrain.loader import ViewBatches, stream
from oac.pretrain.run import training_batches


def same(a, b):
    return torch.equal(a.query, b.query) and torch.equal(a.key, b.key) and (a.image == b.image).all()


@pytest.mark.parametrize("reduce", [None, 1.0])
def test_batches_are_the_same_bits_whatever_the_workers_and_the_memory(recipe, inputs, reduce):
    recipe |= {"reduce": reduce} if reduce else {}
    batches, _ = training_batches(recipe, inputs)
    direct = [batches[step] for step in range(6)]
    for workers in (1, 2):
        made = list(stream(batches, 2, 6, workers=workers, pin=False))
        assert all(same(a, b) for a, b in zip(made, direct[2:], strict=True))
    images = pd.read_parquet(inputs.images)
    assert batches.photos._resident is not None
    batches.photos = HostPhotos(inputs.photos, images[images.split == "train"], resident_gib=0, reduced=bool(reduce))
    assert batches.photos._resident is None
    assert all(same(batches[step], direct[step]) for step in range(6))


def test_an_epoch_shows_every_photo_once_and_batches_run_over_its_border(recipe, inputs):
    batches, _ = training_batches(recipe, inputs)
    count = len(batches.photos)
    assert count % 16, "the test wants a batch over the border"
    epoch, image = (
        np.concatenate(parts) for parts in zip(*(batches.samples(s) for s in range(2 * count)), strict=True)
    )
    for number in range(16):
        assert sorted(image[epoch == number]) == list(range(count))


def test_a_view_is_the_resampled_crop(recipe, inputs):
    recipe["crops"] = {"policy": "scene-scene"}
    batches, _ = training_batches(recipe, inputs)
    photos = [batches.photos[i] for i in range(3)]
    box = np.array([[3.0, 5, 43, 45], [0, 0, 72, 72], [10, 20, 12, 24]])
    cut = HostPhotos.cut(photos, np.ones(3, int), box, batches.view_size)
    for photo, (x0, y0, x1, y1), view in zip(photos, box.astype(int), cut, strict=True):
        expected = oracle.resized_crop(photo.at(1), y0, x0, y1 - y0, x1 - x0, [16, 16])
        # Pillow reads a little past a box given in place of a crop; inside, they are the same pixels.
        difference = np.abs(np.asarray(expected, int) - view.permute(1, 2, 0).numpy().astype(int))
        assert np.median(difference) <= 1
        assert difference[2:-2, 2:-2].mean() < 6


@pytest.mark.parametrize("memory", [0, 2])
def test_a_cut_is_the_same_bits_on_any_number_of_threads(recipe, inputs, memory, monkeypatch):
    images = pd.read_parquet(inputs.images)
    photos = HostPhotos(inputs.photos, images[images.split == "train"], memory, reduced=True)
    cut = {}
    for threads in (1, 2, 3, 64):  # 64 are more than there are photos
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        some = [photos[number] for number in range(7)]
        box = np.array([[0.0, 0, *photo.size] for photo in some]) + np.arange(7)[:, None]  # the last leave the photo
        cut[threads] = HostPhotos.cut(some, np.array([1, 2, 4, 8, 1, 2, 4]), box, 16)
    assert len(cut[1].flatten(1).unique(dim=0)) == 7
    assert all(torch.equal(cut[1], other) for other in cut.values())


def test_small_views_have_draws_of_their_own_and_move_no_other(recipe, inputs):
    plain, _ = training_batches(recipe, inputs)
    recipe["options"]["small_views"] = {"count": 3, "size": 8, "scale": [0.05, 0.14]}
    batches, _ = training_batches(recipe, inputs)
    assert all(same(batches[step], plain[step]) for step in range(3))
    assert plain[0].small is None
    made = [batches[step].small for step in range(3)]
    assert all(small.shape == (3 * 16, 3, 8, 8) and small.dtype == torch.uint8 for small in made)
    other = next(iter(stream(batches, 1, 2, workers=1, pin=False)))
    assert torch.equal(other.small, made[1])
    first, second, third = made[0].chunk(3)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_small_views_show_a_small_part_of_their_photo_whatever_the_policy(recipe, inputs, monkeypatch):
    """HostPhotos that ramp from 0 to 200 in both directions tell where a view of them was cut."""
    recipe["options"]["small_views"] = {"count": 4, "size": 16, "scale": [0.05, 0.14]}
    batches = with_broken(recipe, inputs, broken=set())
    ramp = np.linspace(0, 200, 100)
    plane = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], 0), axis=2).astype(np.uint8)
    monkeypatch.setattr(SomeBroken, "__getitem__", lambda self, index: HostPhoto(Image.fromarray(plane)))
    views = batches[0].small.float().numpy()
    width, height = (np.ptp(views[:, channel], axis=(1, 2)) / 200 for channel in (0, 1))
    area = width * height * (16 / 15) ** 2  # between the centres of the outer pixels lies 15/16 of a side
    assert area.min() > 0.04
    assert area.max() < 0.16
    assert views[:, 0].min() < 20
    assert views[:, 0].max() > 180


def test_small_views_are_augmented_with_draws_of_their_own():
    image = np.arange(5)
    u = augment.small_draws(0, np.zeros(5, int), image, 2)
    assert u.shape == (10, augment.DRAWS)
    assert np.array_equal(u[2], augment.small_draws(0, np.zeros(1, int), image[2:3], 2)[0])
    assert len(np.unique(u[:, 0])) == 10
    assert not np.isin(u[:5, 0], augment.view_draws(0, np.zeros(5, int), image)[0][:, 0]).any()


def test_a_view_is_cut_from_the_smallest_level_that_has_the_pixels_for_it(recipe, inputs, monkeypatch):
    recipe |= {"reduce": 1.5, "view_size": 8, "crops": {"policy": "scene-scene", "scene_scale": [0.01, 1.0]}}
    batches, _ = training_batches(recipe, inputs)
    asked, cut = [], HostPhotos.cut

    def watched(photos, factor, box, side):
        asked.append((factor, box))
        return cut(photos, factor, box, side)

    monkeypatch.setattr(batches.photos, "cut", watched)
    for step in range(4):
        batches[step]
    factors = set()
    for (factor, query), (again, key) in zip(asked[::2], asked[1::2], strict=True):
        assert np.array_equal(factor, again)
        shortest = np.minimum(*(np.minimum(b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]) for b in (query, key)))
        for level, side in zip(factor, shortest, strict=True):
            allowed = [k for k in LEVELS if side / k >= 1.5 * 8]
            assert level == max(allowed, default=1)
            factors.add(int(level))
    assert {1, 2, 4} <= factors, "the crops tried too few levels"


@pytest.mark.parametrize("least", [1.0, 2.0])
def test_a_reduced_view_is_close_to_the_exact_one(least):
    """A photo-like picture: smooth, with edges and texture. Mean errors seen: 8.7 of 255 and 1.6."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (43, 64, 3), np.uint8)).resize((1024, 683), Image.Resampling.BICUBIC)
    pixels = np.asarray(rough).astype(int) + rng.normal(0, 6, (683, 1024, 3))
    pixels[200:400, 300:600] = (20, 200, 90)
    data = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=90)
    photo = HostPhoto(data=data.getvalue())
    assert photo.size == (1024, 683)
    for level in (2, 4):
        side = 64 * least * level  # the fewest pixels that this level is used for
        box = np.array([[100.3, 50.7, 100.3 + side, 50.7 + side]])
        exact, reduced = (HostPhotos.cut([photo], np.array([k]), box, 64).int() for k in (1, level))
        error = (exact - reduced).abs().float().mean()
        assert error < {1.0: 10.0, 2.0: 2.0}[least], (level, error)


def test_a_level_is_what_jpeg_decodes_and_all_are_kept_where_photos_are_resident():
    data = io.BytesIO()
    Image.new("RGB", (101, 67), (200, 30, 60)).save(data, "JPEG")
    photo = HostPhoto(data=data.getvalue())
    photo.decode()
    assert [photo.at(level).size for level in LEVELS] == [(101, 67), (51, 34), (26, 17), (13, 9)]
    assert photo._data == b""


class SomeBroken:
    """HostPhotos of which some cannot be read."""

    cut = staticmethod(HostPhotos.cut)

    def __init__(self, count, broken):
        self.broken, self.image_ids = broken, [f"photo{i}" for i in range(count)]

    def __len__(self):
        return len(self.image_ids)

    def __getitem__(self, index):
        return None if index in self.broken else HostPhoto(Image.new("RGB", (20, 20), (index, 0, 0)))


def with_broken(recipe, inputs, broken, count=40):
    batches, _ = training_batches(recipe, inputs)
    batches.photos, batches.labels = SomeBroken(count, broken), np.arange(count)[:, None]
    batches.boxes = Boxes.pack([np.array([[0.0, 0, 1, 1]])] * count)
    batches.item_photo, batches.item_box = batches.boxes.items("image")
    return batches


def test_an_unreadable_photo_is_counted_and_replaced_with_its_label(recipe, inputs):
    batches = with_broken(recipe, inputs, {3, 4, 39})
    made = [batches[step] for step in range(5)]  # two epochs
    assert sum(batch.damaged for batch in made) == 6
    for batch in made:
        assert not {3, 4, 39} & set(batch.image)
        assert (batch.query[:, 0].float().mean((1, 2)).round().numpy() == batch.image).all()
        assert (batch.labels[:, 0].numpy() == batch.image).all()


def test_a_store_that_is_broken_as_a_whole_stops_the_run(recipe, inputs):
    with pytest.raises(OSError, match="unreadable: fetch them again"):
        with_broken(recipe, inputs, set(range(40)))[0]


def test_a_photo_without_proposals_is_cut_as_a_whole():
    packed = Boxes.pack([np.empty((0, 4)), np.array([[0.1, 0.1, 0.2, 0.2], [0, 0, 0.5, 0.5]])])
    assert packed.count.tolist() == [1, 2]
    assert packed.box[0].tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]


def test_an_empty_split_is_refused(recipe, inputs):
    batches, _ = training_batches(recipe, inputs)
    with pytest.raises(ValueError, match="no training photos"):
        ViewBatches(
            SomeBroken(0, set()), Boxes(np.empty((0, 1, 4)), np.empty(0)), np.empty((0, 2)), batches.policy, 0.5,
            seed=0, batch_size=4, view_size=8,
        )  # fmt: skip


def test_labels_that_look_like_numbers_are_text(recipe, inputs, tmp_path):
    """A folder of photos may name its classes 01 or NA; read as numbers they would be labels that no photo has."""
    labels = pd.read_csv(inputs.classes)["label"]
    other = dict(zip(labels, ["NA", *(f"{number:02}" for number in range(1, len(labels)))], strict=True))
    files = replace(inputs, classes=tmp_path / "classes.csv", boxes=tmp_path / "boxes.parquet")
    for table, path in ((pd.read_csv(inputs.classes), files.classes), (pd.read_parquet(inputs.boxes), files.boxes)):
        table = table.assign(label=table["label"].map(other))
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    labels_read, expected = training_batches(recipe, files)[1], training_batches(recipe, inputs)[1]
    np.testing.assert_array_equal(labels_read, expected)
    assert labels_read.any(axis=0).all()
