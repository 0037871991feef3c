"""Views cut on the device from photos that lie there, against those that workers cut with Pillow."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from oac.pretrain import methods
from oac.pretrain.checkpoint import State
from oac.pretrain.device_cut import resize_weights
from oac.pretrain.device_photos import DevicePhotos
from oac.pretrain.host_photos import HostPhoto, HostPhotos
from oac.pretrain.loop import Trainer
from oac.pretrain.run import training_batches

CPU = torch.device("cpu")


class Pictures:
    """Rough pictures of many shapes; some cannot be read."""

    def __init__(self, sizes, broken=()):
        rng = np.random.default_rng(0)
        self.image_ids = [f"photo{number}" for number in range(len(sizes))]
        self.largest = tuple(np.max(sizes, axis=0).tolist())
        self.photos = [HostPhoto(Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8))) for w, h in sizes]
        for number in broken:
            self.photos[number] = None

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        return self.photos[index]


SIZES = [(64, 48), (40, 64), (64, 64), (7, 33), (1, 1), (64, 1), (50, 20)]


def random_boxes(sizes, rng):
    """Boxes of any place and shape inside their photos, down to a pixel and up to the whole."""
    size = np.array(sizes, float)
    ends = np.sort(rng.uniform(0, 1, (2, *size.shape)), axis=0)
    low, high = np.minimum(ends[0] * size, size - 1), np.maximum(ends[1] * size, ends[0] * size + 1)
    return np.hstack([low, np.minimum(high, size)])


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("side", [3, 16, 96])
def test_a_view_is_pillows_to_a_grey_level(side, kind):
    pictures, rng = Pictures(SIZES), np.random.default_rng(side)
    placed = DevicePhotos(pictures, CPU, threads=2)
    placed.dtype = kind
    boxes = [random_boxes(SIZES, rng) for _ in range(5)]
    boxes.append(np.array([[0.0, 0, w, h] for w, h in SIZES]))
    for box in boxes:
        ours = placed.cut([placed[i] for i in range(len(SIZES))], np.ones(len(SIZES), int), box, side)
        theirs = HostPhotos.cut(pictures.photos, np.ones(len(SIZES), int), box, side)
        assert ours.shape == theirs.shape
        assert ours.dtype == torch.uint8
        assert ours.is_contiguous(memory_format=torch.channels_last)
        assert (ours.int() - theirs.int()).abs().max() <= 1


def test_nothing_is_read_beside_a_photo():
    """White photos in the corner of black memory stay white to the border."""
    pictures = Pictures([(20, 9), (64, 48)])
    pictures.photos[0] = HostPhoto(Image.new("RGB", (20, 9), (255, 255, 255)))
    placed = DevicePhotos(pictures, CPU)
    view = placed.cut([placed[0]], np.ones(1, int), np.array([[3.0, 2, 20, 9]]), 8)
    assert (view == 255).all()


def test_photos_that_cannot_be_read_are_none_and_the_others_keep_their_places():
    placed = DevicePhotos(Pictures(SIZES, broken=[1, 3]), CPU, threads=3)
    assert [placed[i] is None for i in range(len(SIZES))] == [i in (1, 3) for i in range(len(SIZES))]
    assert placed[2].size == SIZES[2]
    assert DevicePhotos.bytes_needed(Pictures(SIZES)) == placed.pixels.numel()


def device_batches(recipe, inputs):
    batches, labels = training_batches(recipe, inputs)
    images = pd.read_parquet(inputs.images)
    batches.photos = DevicePhotos(HostPhotos(inputs.photos, images[images.split == "train"], resident_gib=0), CPU)
    return batches, labels


@pytest.mark.parametrize("recipe", ["moco_v2", "swav"], indirect=True)
def test_batches_are_those_of_the_host_to_a_grey_level(recipe, inputs):
    host, _ = training_batches(recipe, inputs)
    ours, _ = device_batches(recipe, inputs)
    for step in range(4):
        a, b = host[step], ours[step]
        assert np.array_equal(a.image, b.image)
        assert torch.equal(a.labels, b.labels)
        views = [(a.query, b.query), (a.key, b.key)] + ([(a.small, b.small)] if a.small is not None else [])
        assert all((x.int() - y.int()).abs().max() <= 1 for x, y in views)


def test_a_run_trains_from_them(recipe, inputs, tmp_path):
    batches, labels = device_batches(recipe, inputs)
    torch.manual_seed(0)
    trainer = Trainer(recipe, methods.build(recipe, labels), batches, State(tmp_path, recipe, "data"))
    trainer.run()
    assert trainer.step == trainer.steps


def test_memory_and_margins_have_sides_that_half_precision_products_like():
    placed = DevicePhotos(Pictures([(50, 20), (33, 41)]), CPU)
    assert placed.pixels.shape == (2, 3, 48, 64)
    seen = []
    placed._weights = lambda *arguments: seen.append(arguments) or resize_weights(*arguments)
    photos = [placed[0], placed[1]]
    placed.cut(photos, np.ones(2, int), np.array([[-3.0, 0, 55, 20], [0, -17, 33, 60]]), 8)
    assert [(length, margin) for *_, length, margin, _ in seen] == [(64, (16, 16)), (48, (32, 32))]


def test_a_batch_is_gathered_once_for_all_its_views():
    placed, gathered = DevicePhotos(Pictures(SIZES), CPU), []
    gather = placed.batch_pixels
    placed.batch_pixels = lambda photos: gathered.append(len(photos)) or gather(photos)
    boxes = random_boxes(SIZES, np.random.default_rng(0))
    for count in (7, 7, 3):
        photos = [placed[i] for i in range(count)]
        for side in (8, 5):
            placed.cut(photos, np.ones(count, int), boxes[:count], side)
    assert gathered == [7, 7, 3]


def test_compiled_weights_and_rounding_give_the_same_views():
    placed, rng = DevicePhotos(Pictures(SIZES), CPU), np.random.default_rng(0)
    photos, box = [placed[i] for i in range(len(SIZES))], random_boxes(SIZES, rng)
    plain = placed.cut(photos, np.ones(len(SIZES), int), box, 16)
    placed.compile()
    fused = placed.cut(photos, np.ones(len(SIZES), int), box, 16)
    assert fused.is_contiguous(memory_format=torch.channels_last)
    assert (plain.int() - fused.int()).abs().max() <= 1
