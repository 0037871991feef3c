"""The three sources of pixels: which one a run gets, and that all give the same views."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from oac.pretrain import jpeg_photos, methods, photo_sources
from oac.pretrain.checkpoint import State
from oac.pretrain.device_photos import DevicePhotos
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.jpeg_photos import JpegPhotos
from oac.pretrain.loop import Trainer
from oac.pretrain.photo_sources import open_photos
from oac.pretrain.run import training_batches

CPU = torch.device("cpu")
# A photo's decoder and its cutting may each round otherwise.
GREY_LEVELS = 2
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


@pytest.fixture
def images(inputs):
    table = pd.read_parquet(inputs.images)
    return table[table.split == "train"]


def batches_of(photos, recipe, inputs):
    batches, _ = training_batches(recipe, inputs)
    batches.photos = photos
    return batches


@pytest.mark.parametrize("recipe", ["moco_v2", "swav"], indirect=True)
@pytest.mark.parametrize(
    "device",
    [
        CPU,
        pytest.param(
            torch.device("cuda"),
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
            ],
        ),
    ],
    ids=str,
)
def test_all_sources_give_the_same_views(recipe, inputs, images, device):
    workers = HostPhotos(inputs.photos, images, resident_gib=0)
    ours = [
        batches_of(photos, recipe, inputs)
        for photos in (workers, DevicePhotos(workers, device), JpegPhotos(inputs.photos, images, device))
    ]
    for step in range(4):
        host, *others = (batches[step] for batches in ours)
        for source, other in zip(ours[1:], others, strict=True):
            assert np.array_equal(host.image, other.image)
            for name in ("query", "key", "small"):
                if getattr(host, name) is None:
                    continue
                views = getattr(other, name)
                assert views.device.type == device.type
                difference = getattr(host, name).float() - views.cpu().float()
                if device.type == "cuda" and isinstance(source.photos, JpegPhotos):
                    # nvJPEG upsamples the colours otherwise, which moves the luma little.
                    assert (difference * LUMA).sum(1).abs().mean().item() < GREY_LEVELS
                else:
                    assert difference.abs().max().item() <= GREY_LEVELS


def test_a_photo_that_the_device_refuses_is_decoded_on_the_host_and_counted(
    recipe, inputs, images, monkeypatch, capsys
):
    decode, asked = jpeg_photos.decode_jpeg, []
    bad = HostPhotos(inputs.photos, images, resident_gib=0).store.read(images["image_id"].iloc[5])

    def refusing(files, mode, device):
        asked.append(len(files))
        if any(file.numpy().tobytes() == bad for file in files):
            raise RuntimeError("Error while decoding JPEG image:\n 5")
        return decode(files, mode, device)

    whole, refused = (JpegPhotos(inputs.photos, images, CPU) for _ in range(2))
    everyone = [[photos[row] for row in range(8)] for photos in (whole, refused)]
    expected = whole.batch_pixels(everyone[0])
    monkeypatch.setattr(jpeg_photos, "decode_jpeg", refusing)
    for _ in range(2):
        found = refused.batch_pixels(everyone[1])
        for photo, ours, theirs in zip(everyone[0], found, expected, strict=True):
            inside = np.s_[:, : photo.size[1], : photo.size[0]]
            assert (ours[inside].int() - theirs[inside].int()).abs().max() <= 1
    assert asked == [8, *[1] * 8, 7], "all at once, one by one, and then all but the one that is known"
    assert refused.refused == {5}
    assert f"{images['image_id'].iloc[5]} is decoded on the host" in capsys.readouterr().err


def test_a_damaged_file_is_none_and_is_replaced(recipe, inputs, images, monkeypatch):
    photos = JpegPhotos(inputs.photos, images, CPU)
    photos.verified._sha256 = photos.verified._sha256.copy()
    photos.verified._sha256[photos.verified._find(photos.image_ids[3])] ^= 1
    assert photos[3] is None
    assert photos[4].size == tuple(images[["width", "height"]].iloc[4])
    batches = batches_of(photos, recipe, inputs)
    assert sum(batches[step].damaged for step in range(4)) > 0


def test_a_run_trains_from_jpeg_files(recipe, inputs, images, tmp_path):
    batches, labels = training_batches(recipe, inputs)
    batches.photos = JpegPhotos(inputs.photos, images, CPU)
    torch.manual_seed(0)
    trainer = Trainer(recipe, methods.build(recipe, labels), batches, State(tmp_path, recipe, "data"))
    trainer.run()
    assert trainer.step == trainer.steps


@pytest.mark.parametrize(
    ("free", "host", "nvjpeg", "source", "said"),
    [
        (2.51, 10**12, True, DevicePhotos, "decoded in the GPU's memory"),
        (2.49, 10**12, True, JpegPhotos, "decoded on the GPU a batch at a time"),
        (2.49, 10**12, False, HostPhotos, "no nvJPEG"),
        (2.49, 10**3, True, HostPhotos, "decoded by 2 worker processes"),
    ],
)
def test_the_source_goes_by_the_size_of_the_photos(
    inputs, images, monkeypatch, capsys, free, host, nvjpeg, source, said
):
    needed = len(images) * 3 * 80 * 80  # 72 px, rounded up
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * needed), 10**12))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": host, "SC_PAGE_SIZE": 1}[name])
    monkeypatch.setattr(photo_sources, "decodes_jpeg", lambda device: nvjpeg)
    for kind in (DevicePhotos, JpegPhotos):
        monkeypatch.setattr(kind, "__init__", lambda self, *arguments: None)
    assert isinstance(open_photos(inputs.photos, images, torch.device("cuda"), threads=2), source)
    assert said in capsys.readouterr().err
    assert isinstance(open_photos(inputs.photos, images, CPU), HostPhotos)


def test_a_device_is_asked_whether_it_decodes():
    assert photo_sources.decodes_jpeg(CPU)
    if not torch.cuda.is_available():
        assert not photo_sources.decodes_jpeg(torch.device("cuda"))
