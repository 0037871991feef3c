"""Views cut on the device from photos that lie there, against those that workers cut with Pillow."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from oac.pretrain import device_photos, methods
from oac.pretrain.checkpoint import State
from oac.pretrain.device_photos import DevicePhotos, open_photos
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


@pytest.mark.parametrize(("share", "fits"), [(0.39, True), (0.41, False)])
def test_a_gpu_with_the_room_gets_the_photos(inputs, monkeypatch, share, fits):
    images = pd.read_parquet(inputs.images)
    images = images[images.split == "train"]
    free = int(len(images) * 3 * 72 * 72 / share)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**10))
    monkeypatch.setattr(device_photos.DevicePhotos, "__init__", lambda self, photos, device, threads: None)
    opened = open_photos(inputs.photos, images, torch.device("cuda"), threads=2)
    assert isinstance(opened, DevicePhotos if fits else HostPhotos)
    assert isinstance(open_photos(inputs.photos, images, CPU), HostPhotos)
