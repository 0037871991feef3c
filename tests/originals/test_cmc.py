"""NCE/NCEAverage.py, NCE/NCECriterion.py and models/resnet.py of CMC beside `oac.pretrain.methods.cmc`."""

import types

import numpy as np
import torch
import torch.nn.functional as F

from oac.pretrain import colour_space
from oac.pretrain.methods.cmc import CMC, CMCOptions
from oac.pretrain.nn import TwoStream

PHOTOS, NEGATIVES = 20, 12


def test_loss_constants_and_memory_over_six_steps(original, monkeypatch):
    constants = colour_space._to_xyz
    monkeypatch.setattr(colour_space, "_to_xyz", lambda device: constants(device).double())
    average = original("CMC/NCE/NCEAverage.py").NCEAverage(6, PHOTOS, NEGATIVES).double()
    criterion = original("CMC/NCE/NCECriterion.py").NCECriterion(PHOTOS)
    torch.manual_seed(0)
    ours = CMC({"name": "narrow", "width": 16}, PHOTOS, 0, CMCOptions(negatives=NEGATIVES, dim=6)).double()
    ours.memory_bank.copy_(torch.stack([average.memory_l, average.memory_ab]))
    for step in range(6):
        image = torch.randperm(PHOTOS)[:5]
        query, key = torch.randn(2, 5, 3, 16, 16, dtype=torch.double)
        drawn = torch.cat([image[:, None], ours._negatives().expand(5, -1)], dim=1)
        with torch.no_grad():
            lightness = F.normalize(ours.heads[0](ours.encoder.of_lightness(query)), dim=1)
            colours = F.normalize(ours.heads[1](ours.encoder.of_colour(query)), dim=1)
            expected = sum(criterion(scores) for scores in average(lightness, colours, image, drawn))
        found, _ = ours.loss(query, key, types.SimpleNamespace(image=np.asarray(image)))
        torch.testing.assert_close(found, expected.squeeze(), rtol=1e-5, atol=0)
        torch.testing.assert_close(ours.constants, average.params[2:4], rtol=1e-5, atol=0)
        ours.after_step(step / 6)
        memory = torch.stack([average.memory_l, average.memory_ab])
        torch.testing.assert_close(ours.memory_bank, memory, rtol=1e-10, atol=1e-10)
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))


def test_the_half_width_resnet50_has_the_same_parameters(original):
    theirs, ours = original("CMC/models/resnet.py").ResNetV1("resnet50"), TwoStream("resnet50")
    for mine, own in ((ours.lightness, theirs.l_to_ab), (ours.colour, theirs.ab_to_l)):
        shapes = {name: value.shape for name, value in own.state_dict().items() if not name.startswith("fc.")}
        assert {name: value.shape for name, value in mine.state_dict().items()} == shapes
        mine.load_state_dict({name: value for name, value in own.state_dict().items() if name in shapes})
        x = torch.randn(2, mine.conv1.in_channels, 224, 224)
        with torch.no_grad():
            torch.testing.assert_close(mine.eval()(x), own.eval()(x, layer=6), rtol=1e-4, atol=1e-4)
