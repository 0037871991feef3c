import numpy as np
import pytest
import torch
import torchvision.transforms.functional as oracle
from scipy.ndimage import gaussian_filter1d

from oac.pretrain import augment, methods
from oac.pretrain.augment import Augmentation, Parameters, draw_parameters
from oac.pretrain.checkpoint import State
from oac.pretrain.loop import Trainer
from oac.pretrain.rng import uniform
from oac.pretrain.run import training_batches

SIZE = 24


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4, generator=generator), SIZE, mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def one_of(count, **changes):
    plain = {
        "order": np.tile(np.arange(4), (count, 1)),
        "factors": np.tile([1.0, 1.0, 1.0, 0.0], (count, 1)),
        **{name: np.zeros(count, bool) for name in ("jitter", "grayscale", "flip", "solarize")},
        "sigma": np.zeros(count),
    }
    return Parameters(**plain | changes)


def unnormalised(x):
    return x * torch.tensor(augment.STD).view(1, 3, 1, 1) + torch.tensor(augment.MEAN).view(1, 3, 1, 1)


ORACLES = (
    oracle.adjust_brightness,
    oracle.adjust_contrast,
    oracle.adjust_saturation,
    oracle.adjust_hue,
)


def test_jitter_equals_torchvisions_sample_by_sample_in_any_order(views):
    rng = np.random.default_rng(0)
    count = len(views)
    order = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    factors = np.array([1, 1, 1, 0]) + np.array([0.4, 0.4, 0.4, 0.5]) * rng.uniform(-1, 1, (count, 4))
    ours = unnormalised(
        augment.augment(views, one_of(count, order=order, factors=factors, jitter=np.ones(count, bool)))
    )
    for view, sequence, factor, result in zip(views.float() / 255, order, factors, ours, strict=True):
        for index in sequence:
            view = ORACLES[index](view, float(factor[index]))
        torch.testing.assert_close(result, view, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"grayscale": np.ones(16, bool)}, lambda x: oracle.rgb_to_grayscale(x, 3)),
        ({"flip": np.ones(16, bool)}, oracle.hflip),
        ({"solarize": np.ones(16, bool)}, lambda x: oracle.solarize(x, 0.5)),
    ],
)
def test_grayscale_flip_and_solarize_equal_torchvisions(views, change, expected):
    ours = unnormalised(augment.augment(views, one_of(16, **change)))
    torch.testing.assert_close(ours, expected(views.float() / 255), atol=1e-6, rtol=0)


def test_solarize_changes_the_chosen_views_only_and_every_value_as_torchvision_does():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(4, 3, 16, 16)
    chosen = np.array([True, False, False, True])
    result = unnormalised(augment.augment(ramp, one_of(4, solarize=chosen)))
    for view, solarized, ours in zip(ramp / 255, chosen, result, strict=True):
        expected = oracle.solarize(view, 0.5) if solarized else view
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    x = torch.tensor([0.0, 0.25, 0.5, 0.5 + 2**-20, 1.0]).expand(2, 3, 1, 5)
    assert torch.equal(augment.solarize(x), oracle.solarize(x, 0.5))


def test_solarization_moves_no_other_number_of_a_view():
    """Query and key take the 26 numbers that they took before there was solarization, which has two of its own."""
    epoch, image = np.array([0, 2, 2]), np.array([5, 5, 6])
    query, key = augment.view_draws(7, epoch, image)
    before = uniform(7, epoch, image, 26, "augment")
    assert np.array_equal(np.hstack([query[:, :13], key[:, :13]]), before)
    assert np.array_equal(np.stack([query[:, 13], key[:, 13]], 1), uniform(7, epoch, image, 2, "solarise"))
    without, with_it = (draw_parameters(Augmentation(solarize=p), query, SIZE) for p in (0.0, 1.0))
    u = np.random.default_rng(0).random((50, augment.DRAWS))
    assert np.array_equal(draw_parameters(Augmentation(solarize=0.3), u, SIZE).solarize, u[:, 13] < 0.3)
    assert not without.solarize.any()
    assert with_it.solarize.all()
    for name in Parameters.__dataclass_fields__.keys() - {"solarize"}:
        assert np.array_equal(getattr(without, name), getattr(with_it, name)), name


def test_a_recipe_augments_both_views_alike_or_each_in_its_own_way():
    assert augment.of_views({"blur": 0.3}) == (Augmentation(blur=0.3),) * 2
    apart = augment.of_views({"query": {"blur": 1.0}, "key": {"blur": 0.1, "solarize": 0.2}})
    assert apart == (Augmentation(blur=1.0), Augmentation(blur=0.1, solarize=0.2))


@pytest.mark.parametrize("recipe", ["byol"], indirect=True)
def test_the_loop_gives_each_view_its_own_augmentation(recipe, inputs, tmp_path):
    nothing = {"jitter": 0.0, "grayscale": 0.0, "blur": 0.0, "flip": 0.0}
    recipe["augment"] = {"query": nothing, "key": nothing | {"solarize": 1.0}}
    batches, labels = training_batches(recipe, inputs)
    trainer = Trainer(recipe, methods.build(recipe, labels), batches, State(tmp_path, recipe, "data"))
    query, key = (unnormalised(view) for view in trainer._augmented(batches[0]))
    torch.testing.assert_close(query, batches[0].query / 255, atol=1e-6, rtol=0)
    torch.testing.assert_close(key, oracle.solarize(batches[0].key / 255, 0.5), atol=1e-6, rtol=0)


def test_a_turn_of_the_hue_leaves_gray_pixels_gray():
    gray = torch.arange(0, 256, 16, dtype=torch.uint8).view(16, 1, 1, 1).expand(16, 3, SIZE, SIZE)
    factors = np.tile([1.0, 1.0, 1.0, 0.3], (16, 1))
    result = unnormalised(augment.augment(gray, one_of(16, factors=factors, jitter=np.ones(16, bool))))
    torch.testing.assert_close(result, gray / 255, atol=1e-6, rtol=0)


def test_blur_is_a_gaussian_of_each_views_own_width(views):
    sigma = np.linspace(0.1, 2.0, 16)
    ours = unnormalised(augment.augment(views, one_of(16, sigma=sigma)))
    for view, width, result in zip((views.float() / 255).numpy(), sigma, ours.numpy(), strict=True):
        blurred = gaussian_filter1d(gaussian_filter1d(view, width, axis=1, truncate=8), width, axis=2, truncate=8)
        middle = np.s_[:, 8:-8, 8:-8]  # the border is normalised here and reflected there
        np.testing.assert_allclose(result[middle], blurred[middle], atol=2e-4)


def test_blur_keeps_a_flat_view_flat():
    flat = torch.full((3, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    result = unnormalised(augment.augment(flat, one_of(3, sigma=np.array([0.1, 1.0, 5.0]))))
    torch.testing.assert_close(result, torch.full_like(result, 128 / 255))


def test_samples_do_not_see_one_another(views):
    parameters = draw_parameters(
        Augmentation(solarize=0.3), np.random.default_rng(1).random((16, augment.DRAWS)), SIZE
    )
    together = augment.augment(views, parameters)
    rows = {name: getattr(parameters, name) for name in Parameters.__dataclass_fields__}
    for index in range(16):
        alone = Parameters(**{name: value[index : index + 1] for name, value in rows.items()})
        torch.testing.assert_close(together[index], augment.augment(views[index : index + 1], alone)[0])


def test_parameters_have_the_probabilities_and_ranges_asked_for():
    u = np.random.default_rng(2).random((20_000, augment.DRAWS))
    parameters = draw_parameters(Augmentation(solarize=0.3), u, 112)
    for name, probability in (("jitter", 0.8), ("grayscale", 0.2), ("flip", 0.5), ("solarize", 0.3)):
        assert getattr(parameters, name).mean() == pytest.approx(probability, abs=0.015)
    blurred = parameters.sigma[parameters.sigma > 0]
    assert len(blurred) / 20_000 == pytest.approx(0.5, abs=0.015)
    assert 0.05 <= blurred.min() < 0.06
    assert 0.99 < blurred.max() <= 1.0, "sigma is of a 224 px view and this one has 112"
    assert np.abs(parameters.factors[:, :3] - 1).max() <= 0.4
    assert np.abs(parameters.factors[:, 3]).max() <= 0.1
    assert len({tuple(row) for row in parameters.order}) == 24
