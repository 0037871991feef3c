"""Frozen features of labelled photos: the encoder's output on one view of each or on several, and their file."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from oac.atomic import writing
from oac.data.store import DamagedPhotoError, Store
from oac.pretrain.augment import normalise
from oac.pretrain.crops import DRAWS_PER_CROP, random_crop
from oac.pretrain.rng import uniform
from oac.progress import track

log = logging.getLogger(__name__)

TRAIN_VIEWS = "train_views"  # among splits: the augmented views of the photos of train
TRAIN_SCALE, TRAIN_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of RandomResizedCrop in the released main_lincls.py

_NAMED_PHOTOS = 5  # this many unreadable photos are named in the log


# Makes the views (V, size, size, 3), uint8, of a photo and its index among the photos.
MakeViews = Callable[[Image.Image, int], np.ndarray]


class Features(NamedTuple):
    """Features of the photos of one split."""

    values: Tensor
    """(N, D); (V, N, D) of TRAIN_VIEWS"""
    image_ids: list[str]


def single_view(image: Image.Image, index: int, *, size: int, squeeze: bool) -> np.ndarray:
    """The one view of a photo that the probe is tested on: (1, size, size, 3) uint8; the index is not used.

    By default the ordinary test view (Resize 256, CenterCrop 224, paper section 4), in proportion: the
    shorter side becomes size * 256 / 224 and the centre is cut out. With `squeeze` the whole photo is
    resized to a square, so that objects near the border, whose labels count all the same, stay in view;
    their aspect ratio changes.
    """
    if squeeze:
        return np.array(image.resize((size, size), Image.Resampling.BILINEAR))[None]
    from torchvision.transforms import functional  # two seconds that squeezed views do not need

    return np.array(functional.center_crop(functional.resize(image, [round(size * 256 / 224)]), [size, size]))[None]


def train_views(image: Image.Image, index: int, *, views: int, size: int, seed: int) -> np.ndarray:
    """Augmented views for training the classifier, random resized crops and flips: (views, size, size, 3) uint8.

    View v of photo `index` is a function of (seed, v, index) and of nothing else, so that a study with more views has
    those of a study with fewer among them.
    """
    u = uniform(seed, np.arange(views), np.full(views, index), DRAWS_PER_CROP + 1, "probe")
    photo = np.tile(np.array([0, 0, *image.size], float), (views, 1))
    crops = []
    for box, flip in zip(random_crop(photo, TRAIN_SCALE, TRAIN_RATIO, u[:, 1:]), u[:, 0] < 0.5, strict=True):
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=tuple(box.tolist())))
        crops.append(pixels[:, ::-1] if flip else pixels)
    return np.stack(crops)


def extract(
    encoder: nn.Module,
    store: Store,
    image_ids: Sequence[str],
    *,
    size: int,
    batch_size: int,
    device: torch.device | str,
    squeeze: bool = False,
    views: int = 0,
    seed: int = 0,
    workers: int = 0,
) -> Features:
    """Features of photos, float32 on the CPU, in the order of `image_ids`; those that cannot be decoded are left out.

    The encoder is put in evaluation mode on `device` and stays so; on CUDA it runs in bf16 autocast.

    Args:
        encoder: normalised images (B, 3, size, size) -> features (B, D).
        size: side of the view in pixels; see `single_view` for `squeeze`.
        views: augmented views of each photo, see `train_views`; 0 takes the test view. The draws of a photo depend
            on `seed` and on its index in `image_ids`.
        batch_size: views that are embedded at once, about.
        workers: processes that decode photos; 0 decodes in this one.

    Returns:
        Features (N, D), or (views, N, D) of augmented views, and the ids of their photos. How many photos cannot be
        decoded, and the first few by name, is logged as a warning.

    Raises:
        KeyError: a photo is not in the store.
        ValueError: no photo at all is readable, or the encoder's output is not finite.
    """
    if not len(image_ids):
        raise ValueError("there are no images to extract features of")
    make_views: MakeViews = functools.partial(single_view, size=size, squeeze=squeeze)
    if views:
        make_views = functools.partial(train_views, views=views, size=size, seed=seed)
    device = torch.device(device)
    encoder = encoder.to(device).to(memory_format=torch.channels_last).eval()
    photos, count = _Views(store, image_ids, make_views), max(1, batch_size // max(1, views))
    loader = DataLoader(photos, count, num_workers=workers, pin_memory=device.type == "cuda")
    rows, flags = [], []
    for pixels, decoded in track(loader, len(loader), "features, batches"):
        embedded = _embed(encoder, pixels.flatten(0, 1).to(device, non_blocking=True)).cpu()
        rows.append(embedded.view(len(pixels), -1, embedded.shape[1]))
        flags.append(decoded)
    features, good = torch.cat(rows).transpose(0, 1), torch.cat(flags)
    _check(features, good, image_ids)
    kept = [image_id for image_id, decoded in zip(image_ids, good.tolist(), strict=True) if decoded]
    return Features(features[:, good] if views else features[0, good], kept)


def save_features(path: str | Path, splits: dict[str, Features]) -> None:
    """Write features.safetensors: float16, (N, D) or (V, N, D) per split, and the image ids as JSON in the metadata.

    Raises ValueError where a split's ids and rows differ in number or float16 cannot hold a value.
    """
    tensors = {}
    for split, (values, image_ids) in splits.items():
        if values.shape[-2] != len(image_ids):
            raise ValueError(f"split {split} has {values.shape[-2]} feature rows for {len(image_ids)} images")
        tensors[split] = values.to(torch.float16).contiguous()
        if not bool(tensors[split].isfinite().all()):
            raise ValueError(
                f"features of split {split} are not finite in float16 (largest {float(values.abs().max())})"
            )
    metadata = {"image_ids": json.dumps({split: list(entry.image_ids) for split, entry in splits.items()})}
    with writing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))  # as save_file, but with the ordinary permissions


def load_features(path: str | Path) -> dict[str, Features]:
    """The splits written by `save_features`, as float32."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "image_ids" not in metadata:
            raise ValueError(f"{path} has no image ids in its metadata: it was not written by the probe; delete it")
        ids = json.loads(metadata["image_ids"])
        return {split: Features(file.get_tensor(split).float(), ids[split]) for split in ids}


class _Views(Dataset[tuple[Tensor, bool]]):
    """Item i: pixels, uint8 (V, 3, size, size), and whether the photo could be decoded (else they are 0)."""

    def __init__(self, store: Store, image_ids: Sequence[str], make_views: MakeViews) -> None:
        self.store, self.image_ids, self.make_views = store, image_ids, make_views

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        try:
            image, decoded = self.store.image(self.image_ids[index]), True
        except DamagedPhotoError:
            image, decoded = Image.new("RGB", (8, 8)), False
        return torch.from_numpy(self.make_views(image, index)).permute(0, 3, 1, 2).contiguous(), decoded


@torch.inference_mode()
def _embed(encoder: nn.Module, pixels: Tensor) -> Tensor:
    """Features of a batch of uint8 views, computed on the device where they are."""
    images = normalise(pixels.float().div_(255)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=pixels.device.type == "cuda"):
        features: Tensor = encoder(images)
    return features.float()


def _check(features: Tensor, decoded: Tensor, image_ids: Sequence[str]) -> None:
    """Say which photos could not be decoded; raise where nothing is left or the encoder gives no numbers."""
    damaged = [image_ids[row] for row in (~decoded).nonzero().flatten().tolist()]
    if len(damaged) == len(image_ids):
        raise ValueError(
            f"none of the {len(image_ids)} photos can be decoded, {damaged[0]} for one: is the store damaged?"
        )
    if damaged:
        names = ", ".join(damaged[:_NAMED_PHOTOS]) + (", ..." if len(damaged) > _NAMED_PHOTOS else "")
        log.warning("%d of %d photos cannot be decoded and have no features: %s", len(damaged), len(image_ids), names)
    wrong = (decoded & ~features.isfinite().all(2).all(0)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"the features of {len(wrong)} photos are not finite, those of {image_ids[wrong[0]]} for one: "
            "the encoder's pretraining has diverged"
        )
