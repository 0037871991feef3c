from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from oac.data.store import Store, write_shard
from oac.probe.features import Features, extract, load_features, save_features, single_view

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def jpeg(seed: int, width: int, height: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Store:
    """A real store of five photos, p0 to p4."""
    for n in range(5):
        (tmp_path / f"p{n}.jpg").write_bytes(jpeg(n, 60 + 13 * n, 90 - 7 * n))
    rows = [(f"p{n}", f"p{n}.jpg", 0) for n in range(5)]
    table = pd.DataFrame(rows, columns=["image_id", "path", "rotation"])
    shard = tmp_path / "store" / "test" / "test-000"
    write_shard(table, tmp_path, *(f"{shard}.{suffix}" for suffix in ("tar", "index.parquet", "missing.csv")))
    return Store(tmp_path / "store")


def damage(store: Store, *image_ids: str) -> None:
    """Overwrite a few bytes in the middle of photos of the store."""
    (tar,) = store.folder.rglob("*.tar")
    content = bytearray(tar.read_bytes())
    for image_id in image_ids:
        data = store.read(image_id)
        start = bytes(content).index(data) + len(data) // 2
        content[start : start + 4] = b"\0\1\2\3"
    tar.write_bytes(bytes(content))


def encoder() -> nn.Module:
    """A network that depends on positions and batch statistics: batch norm must be in evaluation mode."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(3))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 6))


def test_features_are_those_of_torchvisions_test_transform(photos):
    net = encoder()
    ids = ["p3", "p0", "p4"]
    features, kept = extract(net, photos, ids, size=28, batch_size=2, device="cpu")
    transform = transforms.Compose(
        [
            transforms.Resize(32),
            transforms.CenterCrop(28),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    with torch.no_grad():
        expected = net.eval()(torch.stack([transform(photos.image(name)) for name in ids]))
    assert features.dtype == torch.float32
    assert kept == ids
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_batches_and_workers_do_not_change_features(photos):
    net, ids = encoder(), photos.image_ids
    one = extract(net, photos, ids, size=20, batch_size=1, device="cpu").values
    assert not one.requires_grad
    four = extract(net, photos, ids, size=20, batch_size=4, device="cpu").values
    torch.testing.assert_close(four, one, rtol=1e-4, atol=1e-5)
    workers = extract(net, photos, ids, size=20, batch_size=1, device="cpu", workers=2).values
    assert torch.equal(workers, one)


def test_a_squeezed_view_keeps_the_border():
    image = Image.new("RGB", (200, 100))
    image.paste((255, 255, 255), (0, 0, 20, 100))  # a bar at the left edge
    squeezed, centre = (single_view(image, 0, size=64, squeeze=squeeze) for squeeze in (True, False))
    assert squeezed.shape == centre.shape == (1, 64, 64, 3)
    assert squeezed[0, :, 0].min() == 255
    assert centre.max() == 0


@pytest.mark.parametrize("views", [0, 2])
def test_damaged_photos_are_counted_named_and_left_out(photos, caplog, views):
    net, ids = encoder(), photos.image_ids
    options = {"size": 20, "batch_size": 1, "device": "cpu", "views": views}
    whole = extract(net, photos, ids, **options).values
    damage(photos, "p1", "p3")
    with caplog.at_level(logging.WARNING):
        features, kept = extract(net, photos, ids, **options)
    assert kept == ["p0", "p2", "p4"]
    assert torch.equal(features, whole[..., [0, 2, 4], :])
    assert "2 of 5 photos cannot be decoded" in caplog.text
    assert "p1, p3" in caplog.text


def test_what_is_no_damaged_photo_is_an_error(photos):
    with pytest.raises(KeyError):
        extract(encoder(), photos, ["absent"], size=20, batch_size=2, device="cpu")
    with pytest.raises(ValueError, match="no images"):
        extract(encoder(), photos, [], size=20, batch_size=2, device="cpu")
    damage(photos, "p4")
    with pytest.raises(ValueError, match="none of the 1 photos can be decoded, p4 for one"):
        extract(encoder(), photos, ["p4"], size=20, batch_size=2, device="cpu")
    net = encoder()
    extract(net, photos, ["p0"], size=20, batch_size=1, device="cpu")
    net[1].running_mean[0] = torch.nan
    with pytest.raises(ValueError, match="features of 1 photos are not finite, those of p0"):
        extract(net, photos, ["p0"], size=20, batch_size=1, device="cpu")


def test_file_keeps_features_and_ids(tmp_path):
    values = torch.randn(3, 7)
    splits = {"train": Features(values, ["a", 'odd "id"', "ü"]), "test": Features(values[:1], ["b"])}
    save_features(tmp_path / "features.safetensors", splits)
    loaded = load_features(tmp_path / "features.safetensors")
    assert list(loaded) == ["train", "test"]
    for split in splits:
        assert loaded[split].image_ids == splits[split].image_ids
        assert torch.equal(loaded[split].values, splits[split].values.half().float())


def test_features_that_do_not_fit_the_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 feature rows for 1 images"):
        save_features(tmp_path / "f.safetensors", {"train": Features(torch.zeros(2, 3), ["a"])})
    with pytest.raises(ValueError, match=r"split test .* float16"):
        save_features(tmp_path / "f.safetensors", {"test": Features(torch.full((1, 3), 1e6), ["a"])})
    assert not list(tmp_path.iterdir())


def test_the_file_has_the_ordinary_permissions(tmp_path):
    """Others of a group may read it where the umask lets them; safetensors' own writer makes it the owner's alone."""
    (tmp_path / "plain").touch()
    save_features(tmp_path / "f.safetensors", {"train": Features(torch.zeros(1, 3), ["a"])})
    assert (tmp_path / "f.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
