"""src/multicropdataset.py and a script of SwAV beside our augmentation and config/studies/imagenet.yaml."""

import re
import types
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import ColorJitter, Compose

from oac.pretrain import augment, recipe
from oac.pretrain.loader import Batch
from oac.pretrain.loop import Trainer
from oac.study_files import read_study

STUDY = Path(__file__).parents[2] / "config/studies/imagenet.yaml"
RECIPE = recipe.build(read_study(STUDY), "swav", "scene-014", 0)
VIEWS = RECIPE["options"]["small_views"]
PHOTOS, SEED = 16, 5
BORDER = 6  # pixels that a blur of 2 px reads beyond


@pytest.fixture
def theirs(original):
    return original("swav/src/multicropdataset.py")


@pytest.fixture
def given(path_of_original):
    """The numbers that the script of 200 epochs in batches of 256 gives to main_swav.py, lists of them by name."""
    script = path_of_original("swav/scripts/swav_200ep_bs256_pretrain.sh").read_text()
    options = re.findall(r"^--(\w+) ([\d. ]+) \\$", script, re.MULTILINE)
    return {name: [float(value) for value in values.split()] for name, values in options} | {
        "gpus": [float(re.search(r"--gpus=(\d+)", script)[1])]
    }


@pytest.fixture
def chains(theirs, given, tmp_path):
    """The authors' transforms, one for each view of a photo."""
    (tmp_path / "class").mkdir()
    image(cut(8, 1, 0)[0]).save(tmp_path / "class" / "photo.png")
    sizes, counts = ([int(value) for value in given[name]] for name in ("size_crops", "nmb_crops"))
    return theirs.MultiCropDataset(tmp_path, sizes, counts, given["min_scale_crops"], given["max_scale_crops"]).trans


@pytest.fixture
def drawn(monkeypatch, theirs):
    """Give a function that puts our random numbers of a view where torchvision and the authors draw theirs."""

    def begin(u):
        of_torch = iter(u[[10, 8, 9]].tolist())  # flip, jitter, grayscale
        monkeypatch.setattr(torch, "rand", lambda _: torch.tensor([next(of_torch)]))
        colours = staticmethod(lambda *ranges: (u[:4].argsort(), *map(between, ranges, u[4:8])))
        monkeypatch.setattr(ColorJitter, "get_params", colours)
        monkeypatch.setattr(theirs, "np", types.SimpleNamespace(random=types.SimpleNamespace(rand=lambda: u[11])))
        monkeypatch.setattr(theirs, "random", types.SimpleNamespace(uniform=lambda *r: between(r, u[12])))

    return begin


def between(limits, u):
    return float(limits[0] + (limits[1] - limits[0]) * u)


def cut(size, count, seed):
    """Crops of a photo that matplotlib brings along: (count, 3, size, size) uint8."""
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as opened:
        photo = opened.convert("RGB")
    rng, views = np.random.default_rng(seed), []
    for _ in range(count):
        side = rng.uniform(size, 500)
        left, top = rng.uniform(0, np.array(photo.size) - side)
        views.append(np.array(photo.resize((size, size), Image.BICUBIC, (left, top, left + side, top + side))))
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous()


def image(view):
    return Image.fromarray(view.permute(1, 2, 0).numpy())


def levels(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).double()


def ours(**changes):
    """Augment a batch as the training loop does: queries, keys and small views.

    Of each kind the views before, the views after in levels from 0 to 255, and the numbers that they were drawn by.
    """
    size, number = RECIPE["view_size"], np.arange(PHOTOS)
    small = cut(VIEWS["size"], VIEWS["count"] * PHOTOS, 3)
    batch = Batch(cut(size, PHOTOS, 1), cut(size, PHOTOS, 2), number * 0, number, number, None, None, 0, small)
    loop = types.SimpleNamespace(
        batches=types.SimpleNamespace(seed=SEED, view_size=size), device=torch.device("cpu"), augment=augment.augment,
        augmentations=augment.of_views({view: part | changes for view, part in RECIPE["augment"].items()}),
    )  # fmt: skip
    found = [*Trainer._augmented(loop, batch), Trainer._with_small_views(loop, batch).small]
    mean, std = (augment.channels(values, found[0]) for values in (augment.MEAN, augment.STD))
    draws = (
        *augment.view_draws(SEED, batch.epoch, number),
        augment.small_draws(SEED, batch.epoch, number, VIEWS["count"]),
    )
    return list(
        zip((batch.query, batch.key, small), [(x * std + mean).double() * 255 for x in found], draws, strict=True)
    )


def test_blur_of_small_and_full_size_views(theirs, drawn):
    """The same views are blurred, by the same sigma: 0.1 to 2 pixels in views of both sizes, with probability 0.5.

    PIL has three box blurs for the Gaussian. Below 0.5 pixels they keep its variance, of which our weights, the
    Gaussian at whole pixels, lose a part. At the border PIL repeats the last pixel; our weights leave out what is
    outside.
    """
    blur, widths = theirs.PILRandomGaussianBlur(), {96: [], 224: []}
    for views in ours(jitter=0.0, grayscale=0.0, flip=0.0):
        for before, after, u in zip(*views, strict=True):
            drawn(u)
            expected, side = levels(blur(image(before))), before.shape[-1]
            apart, sigma = (after - expected).abs(), 0.1 + 1.9 * u[12]
            if u[11] > 0.5:
                assert torch.equal(expected, before.double())
                assert apart.max() < 1e-4
                continue
            inside = apart[:, BORDER:-BORDER, BORDER:-BORDER].square().mean().sqrt()
            widths[side].append(sigma)
            assert inside < (1.2 if sigma > 0.5 else 2.0), f"{sigma} of {side} px"
            assert apart.max() < 21, f"{sigma} of {side} px"
    for sigmas in widths.values():
        assert min(sigmas) < 0.3
        assert max(sigmas) > 1.75


def test_flips_colours_and_blur_of_all_views(chains, drawn):
    """All that follows the crop, on the same draws.

    Theirs has 8 bits after every operation, and in the hue's on the way as well; ours does not round. Their red
    channel is divided by 0.228, ours by ImageNet's 0.229; what is compared is not divided yet.
    """
    means = []
    for chain, views in zip((*chains[:2], chains[-1]), ours(), strict=True):
        _, *changes, _, normalize = chain.transforms
        assert normalize.mean == list(augment.MEAN)
        assert normalize.std == [0.228, *augment.STD[1:]]
        for before, after, u in zip(*views, strict=True):
            drawn(u)
            means.append(float((after - levels(Compose(changes)(image(before)))).abs().mean()))
    assert len(means) == 8 * PHOTOS
    assert max(means) < 2.5
    assert np.mean(means) < 1.2


def test_strengths_and_probabilities(chains):
    for chain, view in zip(chains, ("query", "key", *["query"] * VIEWS["count"]), strict=True):
        flip, changes = chain.transforms[1:3]
        colours, blur = changes.transforms
        distortion, grayscale = colours.transforms
        (jitter,) = distortion.transforms
        factors = {name: getattr(jitter, name) for name in ("brightness", "contrast", "saturation")}
        found = {name: (high - low) / 2 for name, (low, high) in factors.items()} | {"hue": jitter.hue[1]}
        found |= {
            "jitter": distortion.p,
            "grayscale": grayscale.p,
            "flip": flip.p,
            "blur": blur.prob,
            "solarize": 0.0,
        }
        expected = dict(RECIPE["augment"][view])
        assert [blur.radius_min, blur.radius_max] == expected.pop("blur_sigma")
        assert found == pytest.approx(expected, rel=1e-12)


def test_crops_are_those_of_the_200_epoch_script(chains):
    full, *_, small = [chain.transforms[0] for chain in chains]
    assert len(chains) == 2 + VIEWS["count"]
    assert (full.size, full.scale) == ((RECIPE["view_size"],) * 2, tuple(RECIPE["crops"]["scene_scale"]))
    assert (small.size, small.scale) == ((VIEWS["size"],) * 2, tuple(VIEWS["scale"]))
    assert full.ratio == small.ratio == pytest.approx(tuple(RECIPE["crops"]["ratio"]))


def test_the_recipe_is_that_of_the_200_epoch_script(given):
    options, one = RECIPE["options"], {name: values[0] for name, values in given.items()}
    names = {
        "lr": "base_lr", "final_lr": "final_lr", "weight_decay": "wd", "warmup": "warmup_epochs",
        "prototypes": "nmb_prototypes", "temperature": "temperature", "epsilon": "epsilon",
        "sinkhorn": "sinkhorn_iterations", "dim": "feat_dim", "queue": "queue_length",
    }  # fmt: skip
    assert {name: options[name] for name in names} == {name: one[own] for name, own in names.items()}
    assert options["batch_size"] == one["batch_size"] * one["gpus"]
    assert options["queue_from"] == one["epoch_queue_starts"] / one["epochs"]
    steps = RECIPE["images_seen"] / options["batch_size"]
    assert options["freeze"] == pytest.approx(one["freeze_prototypes_niters"] / steps, rel=1e-3)
