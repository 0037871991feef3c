"""Making a batch costs as much among 200,000 photos as among 1,000."""

import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import CropPolicy
from oac.pretrain.host_photos import HostPhoto, HostPhotos
from oac.pretrain.loader import ViewBatches

FEW, MANY = 1_000, 200_000


class OnePhoto:
    """A set of any size whose photos are all one, so that only the bookkeeping differs."""

    cut = staticmethod(HostPhotos.cut)

    def __init__(self, count):
        self.count, self.photo = count, HostPhoto(Image.new("RGB", (256, 171), (90, 120, 30)))

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.photo


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    made = {}
    for count in (FEW, MANY):
        low = rng.uniform(0, 0.5, (count, 10, 2)).astype(np.float32)
        boxes = Boxes(np.concatenate([low, low + 0.4], axis=2), np.full(count, 10))
        made[count] = ViewBatches(
            OnePhoto(count), boxes, np.zeros((count, 20), np.float32), CropPolicy("object-dilate", boxes="bing"), 0.5,
            seed=0, batch_size=256, view_size=64,
        )  # fmt: skip
        made[count][0]  # the order of the first epoch is drawn
    return made


def test_the_time_of_a_batch_does_not_grow(sets, monkeypatch):
    """Without the pixels, nearly all of a batch, which depend on no count: a sum over all labels doubles the rest.

    The best of many turns in alternation, since other work on the machine only ever adds time. Beyond the batches an
    epoch draws its order once: some milliseconds for 200,000 photos, which are 780 batches.
    """
    monkeypatch.setattr(OnePhoto, "cut", lambda *_: torch.empty(0))
    best = dict.fromkeys(sets, np.inf)
    for turn in range(300):
        for count, batches in sets.items():
            began = time.process_time()
            batches[turn % 3]
            best[count] = min(best[count], time.process_time() - began)
    assert best[MANY] / best[FEW] < 1.25, best


def test_the_order_of_an_epoch_is_a_small_share_of_its_batches(sets):
    batches = sets[MANY]
    began = time.process_time()
    batches._order(1)
    drawing = time.process_time() - began
    began = time.process_time()
    batches[0]
    batches[1]
    assert drawing / (MANY / 256) < 0.05 * (time.process_time() - began) / 2


def test_the_memory_of_a_batch_does_not_grow(sets):
    """What making a batch allocates; index, boxes and labels themselves are held once, some 100 bytes a photo."""
    peaks = {}
    for count, batches in sets.items():
        batches[0]
        tracemalloc.start()
        batches[1]
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[MANY] / peaks[FEW] < 1.05, peaks
