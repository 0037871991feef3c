"""The transform cuts what the project's loader cuts, and behaves as torchvision's transforms do."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from oac.crop_options import POLICIES
from oac.pretrain.crop_sampler import Boxes, CropSampler
from oac.pretrain.crops import CropPolicy
from oac.transforms import ObjectAwareCrop

BOXES = np.array([[0.1, 0.2, 0.5, 0.6], [0.5, 0.3, 0.95, 0.9]])


def gradient(width=120, height=80):
    """A photo whose red is its x and whose green its y, so that a view tells where it was cut."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return Image.fromarray(np.rint(255 * np.stack([x, y, 0 * x], axis=-1)).astype(np.uint8))


def extent(view):
    """Where a view of `gradient` was cut: left, top, right, bottom as shares of the photo, to about a pixel."""
    pixels = np.asarray(view, float) / 255 if isinstance(view, Image.Image) else view.permute(1, 2, 0).numpy() / 255
    x, y = pixels[..., 0].mean(0), pixels[..., 1].mean(1)
    half = [(line[-1] - line[0]) / (len(line) - 1) / 2 for line in (x, y)]
    return np.array([x[0] - half[0], y[0] - half[1], x[-1] + half[0], y[-1] + half[1]])


@pytest.mark.parametrize("policy", POLICIES)
def test_crops_have_the_distribution_of_the_projects_loader(policy):
    image, count = gradient(), 400
    crop = ObjectAwareCrop(policy, size=24, scale_lower=0.3, generator=torch.Generator().manual_seed(0))
    ours = np.array([[extent(view) for view in crop(image, BOXES)] for _ in range(count)])
    own = CropPolicy(policy, boxes=None if policy == "scene-scene" else "bing", scale_lower=0.3)
    sampler = CropSampler(own, 0.3, Boxes.pack([BOXES]), seed=1)
    views = sampler.draw_views(np.arange(count), np.zeros(count, int), np.full((count, 2), [120.0, 80.0]))
    theirs = np.stack([views.query, views.key], axis=1) / [120, 80, 120, 80]
    for view in range(2):
        for edge in range(4):
            found = stats.ks_2samp(ours[:, view, edge], theirs[:, view, edge])
            assert found.pvalue > 1e-4, (view, edge)
    # And together: how much of one view lies in the other.
    assert np.mean(inside(ours)) == pytest.approx(np.mean(inside(theirs)), abs=0.05)


def inside(pairs):
    """Share of the smaller crop of each pair that lies in the other."""
    low, high = np.maximum(pairs[:, 0, :2], pairs[:, 1, :2]), np.minimum(pairs[:, 0, 2:], pairs[:, 1, 2:])
    sides = pairs[..., 2:] - pairs[..., :2]
    return np.clip(high - low, 0, None).prod(1) / sides.prod(-1).min(1)


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_a_tensor_is_cut_where_a_pil_image_is(kind):
    image = gradient()
    tensor = v2.functional.pil_to_tensor(image)
    tensor = tensor.float() if kind == "float" else tensor
    for seed in range(20):
        crop = ObjectAwareCrop(size=32)
        torch.manual_seed(seed)
        pil = crop(image, BOXES)
        torch.manual_seed(seed)
        views = crop(tensor, BOXES)
        for ours, theirs in zip(views, pil, strict=True):
            assert ours.dtype == tensor.dtype
            assert ours.shape == (3, 32, 32)
            assert extent(ours) == pytest.approx(extent(theirs), abs=0.03), "whole pixels: half a pixel of 80 a side"


def test_views_are_shrunk_without_aliasing():
    """Noise that is shrunk to a tenth is nearly grey; taking single pixels would keep its contrast."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    crop = ObjectAwareCrop("object-object", size=16, scale_lower=0.9)
    for image in (Image.fromarray(noise), torch.from_numpy(noise).permute(2, 0, 1).contiguous()):
        for view in crop(image, [[0.0, 0.0, 1.0, 1.0]]):
            assert np.asarray(view, float).std() < 15 < noise.std() / 4


def test_bounding_boxes_of_torchvision_are_taken_in_any_format():
    pixels = torch.from_numpy(BOXES * [120, 80, 120, 80])
    shares = ObjectAwareCrop(size=16, generator=torch.Generator().manual_seed(3))(gradient(), BOXES)
    for form in ("XYXY", "XYWH", "CXCYWH"):
        boxes = tv_tensors.BoundingBoxes(pixels, format="XYXY", canvas_size=(80, 120))
        boxes = v2.functional.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat[form])
        views = ObjectAwareCrop(size=16, generator=torch.Generator().manual_seed(3))(gradient(), boxes)
        for ours, theirs in zip(views, shares, strict=True):
            assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_it_works_inside_compose_and_moves_with_resized_boxes():
    boxes = tv_tensors.BoundingBoxes(BOXES * [120, 80, 120, 80], format="XYXY", canvas_size=(80, 120))
    image = tv_tensors.Image(v2.functional.pil_to_tensor(gradient()))
    chain = v2.Compose([v2.Resize((40, 60)), ObjectAwareCrop(size=16), v2.ToDtype(torch.float32, scale=True)])
    torch.manual_seed(0)
    first, second = chain(image, boxes)
    assert first.dtype == torch.float32
    assert first.shape == second.shape == (3, 16, 16)
    hull = BOXES[:, :2].min(0) - 0.1, BOXES[:, 2:].max(0) + 0.1
    for view in (first, second):
        found = extent(255 * view)
        assert (found[:2] > hull[0] - 0.04).all()
        assert (found[2:] < hull[1] + 0.04).all()


class Photos(Dataset):
    """Sixteen times one photo, cut in two."""

    def __init__(self):
        self.crop = ObjectAwareCrop(size=8)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return [v2.functional.pil_to_tensor(view) for view in self.crop(gradient(), BOXES)]


@pytest.mark.parametrize("kind", list(tv_tensors.BoundingBoxFormat)[:3])
def test_boxes_up_to_the_border_survive_torchvisions_resize(kind):
    """float32 corners of a resized photo end up to a few 1e-7 beyond it."""
    crop = ObjectAwareCrop("object-dilate", size=8)
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(20, 900, 2).tolist()
        left, top = rng.uniform(0, 0.9, 2) * (width, height)
        corners = torch.tensor([[left, top, width, height], [0, 0, width - left, height - top]], dtype=torch.float32)
        boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(height, width))
        boxes = v2.functional.convert_bounding_box_format(boxes, new_format=kind)
        boxes = v2.Resize(tuple(rng.integers(20, 900, 2).tolist()))(boxes)
        crop(torch.zeros(3, *boxes.canvas_size), boxes)


def test_workers_draw_their_own_crops_and_the_seed_decides_them():
    def epoch(seed):
        torch.manual_seed(seed)
        loader = DataLoader(Photos(), batch_size=4, num_workers=2, generator=torch.Generator().manual_seed(seed))
        return torch.cat([first for first, _ in loader])

    assert torch.equal(epoch(1), epoch(1))
    views = epoch(2)
    assert len(torch.unique(views.flatten(1), dim=0)) == 16
    again = pickle.loads(pickle.dumps(ObjectAwareCrop("object-shift", size=8)))
    assert again.policy.policy == "object-shift"


def test_s_min_of_the_photo_at_hand_where_none_is_given():
    """Boxes of 0.16 and 0.27 of the photo: 0.2 / their mean is above the cap of a half."""
    crop = ObjectAwareCrop("object-object", size=24, generator=torch.Generator().manual_seed(0))
    views = np.array([extent(view) for _ in range(200) for view in crop(gradient(), BOXES[:1])])
    shares = (views[:, 2:] - views[:, :2]).prod(1) / 0.16
    assert shares.min() > 0.4
    whole = ObjectAwareCrop("object-object", size=24, generator=torch.Generator().manual_seed(0))
    views = np.array([extent(view) for _ in range(300) for view in whole(gradient(), np.zeros((0, 4)))])
    areas = (views[:, 2:] - views[:, :2]).prod(1)
    assert 0.18 < areas.min() < 0.3, "a photo without boxes is one box"


@pytest.mark.parametrize(
    ("policy", "boxes", "said"),
    [
        ("object-dilate", None, "cut around boxes"),
        ("object-dilate", np.zeros((2, 3)), "must be .n, 4."),
        ("object-dilate", [[10, 10, 50, 50]], "shares of the photo"),
        ("object-dilate", [[0.5, 0.1, 0.4, 0.2]], "shares of the photo"),
        ("object-dilate", [[0.5, float("nan"), 0.6, 0.2]], "shares of the photo"),
        ("object-dilat", BOXES, "unknown crop policy"),
    ],
)
def test_wrong_input_is_refused(policy, boxes, said):
    with pytest.raises(ValueError, match=said):
        ObjectAwareCrop(policy)(gradient(), boxes)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"delta": -0.1},
        {"delta": float("nan")},
        {"scale_lower": 2},
        {"scale_lower": -1},
        {"shift": (0.5, 0.1)},
        {"scene_scale": (0.0, 1.0)},
        {"ratio": (-1, 2)},
    ],
)
def test_an_option_out_of_its_bounds_is_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be in"):
        ObjectAwareCrop("object-dilate", **options)


def test_it_costs_about_what_two_random_resized_crops_cost():
    """Within 20 %, each at its best of 15 turns, because machines of a test are shared."""
    image, crop, plain = gradient(500, 375), ObjectAwareCrop(size=224), v2.RandomResizedCrop(224)
    times = {crop: [], plain: []}
    for _ in range(15):
        for transform, call in ((crop, lambda: crop(image, BOXES)), (plain, lambda: (plain(image), plain(image)))):
            start = time.perf_counter()
            for _ in range(5):
                call()
            times[transform].append(time.perf_counter() - start)
    assert min(times[crop]) < 1.2 * min(times[plain])
    print(f"of two RandomResizedCrops: {min(times[crop]) / min(times[plain]):.2f}")
