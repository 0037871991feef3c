from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from oac.data.store import Store, write_shard
from oac.probe.features import TRAIN_RATIO, TRAIN_SCALE, extract, train_views
from oac.probe.jackknife import interval, pseudo_values
from oac.probe.linear import fit
from oac.probe.metrics import mean_average_precision

COLOURS = {"red": (220, 40, 30), "green": (40, 190, 60), "blue": (40, 60, 220)}


def picture(rng: np.random.Generator) -> tuple[Image.Image, list[bool]]:
    """A cluttered photo with blobs of the colours that are its labels."""
    image = Image.fromarray(rng.integers(60, 180, (6, 8, 3), dtype=np.uint8)).resize((64, 48))
    shown = rng.random(3) < 0.5
    for colour in np.array(list(COLOURS.values()))[shown]:
        left, top = rng.integers(0, 44), rng.integers(0, 30)
        side = int(rng.integers(7, 14))
        image.paste(tuple(colour.tolist()), (left, top, left + side, top + side))
    return image, shown.tolist()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Store, torch.Tensor]:
    """A store of 420 synthetic images, and their labels (420, 3)."""
    folder: Path = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows, targets = [], []
    for n in range(420):
        image, shown = picture(rng)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95)
        (folder / f"p{n:03d}.jpg").write_bytes(file.getvalue())
        rows.append((f"p{n:03d}", f"p{n:03d}.jpg", 0))
        targets.append(shown)
    shard = folder / "store" / "train" / "train-000"
    table = pd.DataFrame(rows, columns=["image_id", "path", "rotation"])
    write_shard(table, folder, *(f"{shard}.{suffix}" for suffix in ("tar", "index.parquet", "missing.csv")))
    return Store(folder / "store"), torch.tensor(targets)


def encoder() -> nn.Module:
    """A small network of random weights; its features depend on colours."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 32, 5, stride=2), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2), nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())


def test_a_view_is_a_function_of_seed_view_and_index_alone():
    image, _ = picture(np.random.default_rng(1))
    three = train_views(image, 7, views=3, size=32, seed=5)
    assert three.shape == (3, 32, 32, 3)
    assert np.array_equal(train_views(image, 7, views=8, size=32, seed=5)[:3], three)
    others = [train_views(image, index, views=3, size=32, seed=seed) for seed, index in ((6, 7), (5, 8))]
    assert not any(np.array_equal(other, three) for other in others)
    assert len({part.tobytes() for part in three}) == 3


def test_views_are_crops_of_the_published_areas_and_half_of_them_flipped():
    """Each pixel's colour says where it was in the photo, so a view says what was cut."""
    x, y = np.meshgrid(np.arange(250), np.arange(200))
    image = Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8))
    views = train_views(image, 0, views=4000, size=8, seed=0).astype(float)
    # 8 pixels across a crop: the outermost centres are 7/8 of its side apart.
    wide = (views[:, 4, 7, 0] - views[:, 4, 0, 0]) * 8 / 7
    high = (views[:, 7, 4, 1] - views[:, 0, 4, 1]) * 8 / 7
    share = np.abs(wide) * high / (250 * 200)
    assert 0.48 < (wide < 0).mean() < 0.52
    assert TRAIN_SCALE[0] - 0.02 < share.min() < 0.1
    assert 0.85 < share.max() < TRAIN_SCALE[1] + 0.03
    shape = np.abs(wide) / high
    assert TRAIN_RATIO[0] - 0.06 < shape.min() < 0.8
    assert 1.25 < shape.max() < TRAIN_RATIO[1] + 0.1


def test_extracted_views_are_those_of_the_photos_whatever_the_batches(photos):
    store, _ = photos
    net, ids = encoder(), store.image_ids[:7]
    features, kept = extract(net, store, ids, views=3, seed=2, size=24, batch_size=4, device="cpu")
    assert kept == ids
    assert features.shape == (3, 7, 32)
    again = extract(net, store, ids, views=2, seed=2, size=24, batch_size=100, device="cpu", workers=1)
    torch.testing.assert_close(again.values, features[:2], rtol=1e-4, atol=1e-5)
    crops = train_views(store.image(ids[4]), 4, views=3, size=24, seed=2).astype(np.float32) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy((crops - mean) / std).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        torch.testing.assert_close(features[:, 4], net(pixels), rtol=1e-4, atol=1e-5)


def test_the_number_of_views_does_not_change_the_map_beyond_its_interval(photos):
    """From ten views on the mAP lies inside the 95 % interval, over test photos, of the exact protocol's.

    That is a view for each of 60 epochs. One view is too little, which shows that the test is sensitive. `pytest -s`
    prints the numbers that docs/probe.md gives.
    """
    store, targets = photos
    ids, net = store.image_ids, encoder()
    size, train, test = 32, slice(0, 220), slice(220, 420)
    views = extract(net, store, ids[train], views=60, seed=0, size=size, batch_size=240, device="cpu").values
    shown = extract(net, store, ids[test], size=size, batch_size=64, device="cpu", squeeze=True).values
    recipe = {"lr": 1.0, "epochs": 60, "milestones": (36, 48), "batch_size": 32, "standardize": True}
    scores = {n: fit(views[:n], targets[train], **recipe).scores(shown) for n in (1, 2, 5, 10, 20, 30, 60)}
    found = {n: mean_average_precision(part, targets[test]) for n, part in scores.items()}
    exact = pseudo_values(scores[60], targets[test])
    low, high = interval(exact)
    for n, part in scores.items():
        change = interval(pseudo_values(part, targets[test]) - exact)
        print(f"{n} views: mAP {found[n]:.3f}, difference to the exact protocol {change[0]:+.3f} to {change[1]:+.3f}")
    print(f"interval of the exact protocol's: {low:.3f} to {high:.3f}")
    assert high - low < 0.05
    assert found[1] < low
    for n in (10, 20, 30):
        assert low <= found[n] <= high, found
