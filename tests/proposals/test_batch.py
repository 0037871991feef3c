"""BING in batches with PyTorch gives the boxes of BING photo by photo, on the CPU and on a GPU if there is one."""

import numpy as np
import pytest
import torch

from oac.proposals import batch, gradients
from oac.proposals.bing import Bing


def photos(seed, shapes):
    rng = np.random.default_rng(seed)
    result = []
    for height, width in shapes:
        # Smooth blobs and a rectangle on noise, so that scores are neither flat nor noise alone.
        image = rng.integers(0, 60, (height, width, 3))
        image[height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] += rng.integers(60, 190, 3)
        result.append(image.astype(np.uint8))
    return result


def test_maps_equal_those_of_numpy():
    bing = Bing.load()
    images = photos(0, [(120, 200)] * 3)
    mosaic = bing.mosaic(images[0])
    maps = batch.batched_gradients(torch.from_numpy(np.stack(images)), mosaic)
    scores = batch.batched_scores(maps, torch.from_numpy(bing.weights))
    for image, gradient, values in zip(images, maps.numpy(), scores.numpy(), strict=True):
        expected = gradients.normed_gradients(image, mosaic)
        np.testing.assert_allclose(gradient, expected, atol=1e-3)
        np.testing.assert_allclose(values, gradients.window_scores(expected, bing.weights), atol=1e-4)


@pytest.mark.parametrize("count", [10, 300])
def test_boxes_equal_those_of_one_photo_at_a_time_whatever_the_batch(count):
    bing = Bing.load()
    images = photos(1, [(150, 200), (90, 60), (150, 200), (1, 300), (8, 8), (150, 200), (90, 60)])
    expected = [bing.propose(image, count) for image in images]
    for size in (1, 2, 32):
        results = batch.propose_in_batches(bing, images, count, batch_size=size)
        for (boxes, scores), (expected_boxes, values) in zip(results, expected, strict=True):
            np.testing.assert_allclose(scores, values, atol=1e-3)
            same = np.abs(boxes - expected_boxes).max(axis=1) < 1e-3
            assert same.mean() > 0.97  # equal scores, to the last bits, may swap places


def test_photos_of_one_size_share_a_batch_and_none_is_larger_than_asked():
    images = photos(2, [(9, 9), (9, 10), (9, 9), (9, 9), (9, 10)])
    assert list(batch.batches_by_shape(images, 2)) == [[0, 2], [1, 4], [3]]
    assert batch.propose_in_batches(Bing.load(), [], 10) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_boxes_of_the_cpu():
    bing = Bing.load()
    images = photos(3, [(375, 500)] * 4)
    for (boxes, _), image in zip(batch.propose_in_batches(bing, images, 10, device="cuda"), images, strict=True):
        assert (np.abs(boxes - bing.propose(image, 10)[0]).max(axis=1) < 1e-3).mean() > 0.8
