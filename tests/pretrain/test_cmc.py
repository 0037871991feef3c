"""CMC against plain loops over its equations, and the file of its two-stream encoder."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oac.pretrain import methods
from oac.pretrain.loader import Batch
from oac.pretrain.methods.cmc import CMC, CMCOptions
from oac.pretrain.nn import TwoStream, encoder_recipe, load_encoder, save_encoder

NETWORK = {"name": "narrow", "width": 16}
PHOTOS = 9
OPTIONS = CMCOptions(negatives=5, dim=4)


def batch(image):
    nothing = torch.zeros(0)
    number = np.array(image)
    return Batch(nothing, nothing, np.zeros(len(image)), number, number, nothing, nothing, 0)


def views(seed, count=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 3, 16, 16, generator=generator) for _ in range(2)]


def method(**changes):
    torch.manual_seed(0)
    return CMC(NETWORK, PHOTOS, 0, CMCOptions(**{"negatives": 5, "dim": 4} | changes)).train()


def slow_loss(net, query, coloured, image, memory, constants):
    """The authors' objective, one photo and one other photo at a time; sets the constants where they are None."""
    options = net.options
    z = [
        F.normalize(net.heads[0](net.encoder.of_lightness(query)), dim=1),
        F.normalize(net.heads[1](net.encoder.of_colour(coloured)), dim=1),
    ]
    negatives, total, m = net._negatives().tolist(), 0.0, options.negatives
    for direction in (0, 1):
        bank = memory[1 - direction]
        weights = [
            [torch.exp(z[direction][b] @ bank[i] / options.temperature) for i in [image[b], *negatives]]
            for b in range(len(image))
        ]
        if constants[direction] is None:
            everything = [w.item() for row in weights for w in row]
            constants[direction] = sum(everything) / len(everything) * PHOTOS
        for row in weights:
            p = [w / constants[direction] for w in row]
            total = total - torch.log(p[0] / (p[0] + m / PHOTOS + 1e-7)) / len(image)
            for other in p[1:]:
                total = total - torch.log((m / PHOTOS) / (other + m / PHOTOS + 1e-7)) / len(image)
    return total, z


@pytest.mark.parametrize("which", ["same", "crossed"])
def test_loss_gradient_constants_and_memory_bank_equal_the_slow_reference_over_steps(which):
    net = method(views=which)
    memory, constants = net.memory_bank.clone(), [None, None]
    for step, image in enumerate([[0, 3, 8], [1, 3, 2], [8, 0, 5]]):
        query, key = views(step)
        twin = copy.deepcopy(net)
        expected, z = slow_loss(twin, query, key if which == "crossed" else query, image, memory, constants)
        loss, _ = net.loss(query, key, batch(image))
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        assert net.constants.tolist() == pytest.approx(constants, rel=1e-5)
        net.zero_grad(), loss.backward()
        twin.zero_grad(), expected.backward()
        for (name, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5, msg=name)
        net.after_step(step / 3)
        for bank, projected in zip(memory, z, strict=True):
            for b, i in enumerate(image):
                mixed = 0.5 * bank[i] + 0.5 * projected[b].detach()
                bank[i] = mixed / mixed.norm()
        torch.testing.assert_close(net.memory_bank, memory)


def test_the_softmax_objective_is_cross_entropy_of_the_true_one():
    net = method(objective="softmax")
    query, key = views(0)
    loss, _ = net.loss(query, key, batch([0, 3, 8]))
    total, negatives = 0.0, net._negatives().tolist()
    for direction, features in enumerate((net.encoder.of_lightness(query), net.encoder.of_colour(query))):
        z = F.normalize(net.heads[direction](features), dim=1)
        for b, i in enumerate([0, 3, 8]):
            scores = torch.stack([z[b] @ net.memory_bank[1 - direction][j] for j in [i, *negatives]]) / 0.07
            total -= torch.log_softmax(scores, dim=0)[0] / 3
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-5)


def test_negatives_are_drawn_anew_each_step_from_all_photos_and_the_same_again():
    net = method(negatives=2000)
    first = net._negatives()
    assert torch.equal(first, net._negatives())
    assert sorted(first.unique().tolist()) == list(range(PHOTOS))
    net.loss(*views(0), batch([0, 1, 2]))
    net.after_step(0.1)
    assert not torch.equal(first, net._negatives())
    resumed = method(negatives=2000)
    resumed.load_state_dict(copy.deepcopy(net.state_dict()))
    assert torch.equal(resumed._negatives(), net._negatives())


def test_of_a_photo_that_is_twice_in_a_batch_the_last_is_remembered():
    net, alone = method(), method()
    query, key = views(0)
    net.loss(query, key, batch([4, 2, 4]))
    alone.loss(query, key, batch([1, 2, 4]))
    net.after_step(0.1), alone.after_step(0.1)
    torch.testing.assert_close(net.memory_bank[:, [2, 4]], alone.memory_bank[:, [2, 4]])
    assert not torch.allclose(net.memory_bank[:, 4], method().memory_bank[:, 4])


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_a_network_that_tells_nothing_apart_has_the_chance_loss(objective):
    net = method(objective=objective)
    net.memory_bank[:] = net.memory_bank[:, :1]
    for head in net.heads:
        torch.nn.init.zeros_(head.weight)
    assert float(net.loss(*views(0), batch([0, 3, 8]))[0].detach()) == pytest.approx(net.chance, rel=1e-4)
    assert net.chance == pytest.approx(
        2 * (math.log(6) + 5 * math.log(6 / 5) if objective == "nce" else math.log(6)), rel=1e-6
    )


def test_lightness_never_sees_colours_nor_colours_lightness():
    net = method()
    gray = torch.rand(2, 1, 16, 16).expand(-1, 3, -1, -1)
    plain = (gray - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        1, 3, 1, 1
    )
    net.eval()
    colour = net.encoder.of_colour(plain)
    torch.testing.assert_close(colour[0], colour[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(*net.encoder.of_lightness(plain), rtol=1e-2)


@pytest.mark.parametrize(("name", "width", "features"), [("narrow", 16, 128), ("resnet18", 0, 512)])
def test_the_two_stream_encoder_comes_back_from_its_file(tmp_path, name, width, features):
    torch.manual_seed(0)
    network = {"name": name, "width": width}
    net = TwoStream(**network).eval()
    x = torch.randn(2, 3, 64, 64)
    save_encoder(net, {"method": "cmc", "backbone": network}, tmp_path / "e.safetensors")
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert encoder_recipe(tmp_path / "e.safetensors")["method"] == "cmc"
    assert not loaded.training
    assert loaded(x).shape == (2, features)
    assert torch.equal(loaded(x), net(x))


def test_each_stream_of_a_resnet_has_half_the_width_behind_the_authors_stem():
    net = TwoStream("resnet18")
    assert net.lightness.conv1.weight.shape == (64, 1, 7, 7)
    assert net.colour.conv1.weight.shape == (64, 2, 7, 7)
    widths = [net.colour.get_submodule(f"layer{i}")[0].conv1.out_channels for i in (1, 2, 3, 4)]
    assert widths == [32, 64, 128, 256]
    with pytest.raises(ValueError, match="multiples of 8"):
        TwoStream("narrow", width=24)


def bottleneck_parameters(channels):
    """Parameters of a ResNet-50 of width 0.5 without classifier: convolutions, and two a channel for each norm."""
    count, inside = channels * 64 * 49 + 2 * 64, 64
    for width, blocks in zip((32, 64, 128, 256), (3, 4, 6, 3), strict=True):
        for block in range(blocks):
            count += inside * width + 9 * width**2 + 4 * width**2 + 2 * (width + width + 4 * width)
            count += (inside * 4 * width + 2 * 4 * width) * (block == 0)
            inside = 4 * width
    return count


def test_the_streams_of_resnet50_have_as_many_parameters_as_the_authors():
    """`ResNetV1` of the authors' models/resnet.py, each stream without its projection `fc`."""
    net = TwoStream("resnet50")
    lightness, colour = (sum(p.numel() for p in part.parameters()) for part in (net.lightness, net.colour))
    assert lightness == bottleneck_parameters(1) == 5_896_256
    assert colour == bottleneck_parameters(2) == 5_896_256 + 49 * 64


def slow_batch_loss(z, temperature):
    """Each photo's lightness against all colours of the batch, and the other way round, a pair at a time."""
    total, count = 0.0, len(z[0])
    for direction in (0, 1):
        for b in range(count):
            weights = [torch.exp(z[direction][b] @ z[1 - direction][other] / temperature) for other in range(count)]
            total = total - torch.log(weights[b] / sum(weights)) / count
    return total


def test_the_objective_over_in_batch_negatives_equals_the_slow_reference_and_keeps_no_memory_bank():
    net = method(objective="in_batch")
    query, key = views(0)
    z = [
        F.normalize(net.heads[0](net.encoder.of_lightness(query)), dim=1),
        F.normalize(net.heads[1](net.encoder.of_colour(query)), dim=1),
    ]
    expected = slow_batch_loss(z, net.options.temperature)
    expected_gradients = torch.autograd.grad(expected, list(net.parameters()))
    loss, monitors = net.loss(query, key, batch([0, 3, 8]))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(monitors["positive"], (z[0] * z[1]).sum(1).mean().detach())
    for a, b in zip(torch.autograd.grad(loss, list(net.parameters())), expected_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    net.after_step(1.0)
    assert net.memory_bank.numel() == 0


def test_chance_over_in_batch_negatives_is_that_of_its_size():
    options = {"objective": "in_batch", "dim": 4, "batch_size": 16, "lr": 0.1}
    recipe = {"method": "cmc", "seed": 0, "backbone": NETWORK, "crops": {"policy": "scene-scene"}, "options": options}
    assert methods.build(recipe, np.zeros((9, 1))).chance == pytest.approx(2 * math.log(16))
