"""BYOL against the equations of its paper, one sample and one weight at a time."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from oac.pretrain.checkpoint import State
from oac.pretrain.lars import LARS
from oac.pretrain.loop import Preempted, Trainer
from oac.pretrain.methods import build, byol
from oac.pretrain.methods.byol import BYOL, BYOLOptions, target_momentum
from oac.pretrain.run import training_batches

NETWORK = {"name": "narrow", "width": 8}
OPTIONS = BYOLOptions(target_momentum=0.9, dim=6, hidden=10)


def views(size, seed=0):
    return torch.randn(2, size, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def reference_loss(method, query, key):
    """Equation 2 and its counterpart with the views exchanged, sample by sample, as squared distances."""
    with torch.no_grad():
        online = [method.predictor(method.projector(method.encoder(view))).numpy() for view in (query, key)]
        target = [method.target_projector(method.target_encoder(view)).numpy() for view in (query, key)]
    losses = []
    for i in range(len(query)):
        for prediction, projection in ((online[0][i], target[1][i]), (online[1][i], target[0][i])):
            distance = prediction / np.linalg.norm(prediction) - projection / np.linalg.norm(projection)
            losses.append((distance**2).sum())
    return 2 * np.mean(losses)  # the sum of both directions, mean over samples


def moved_target(method):
    """A target that differs from the online network, as after a few steps."""
    with torch.no_grad():
        for parameter in (*method.target_encoder.parameters(), *method.target_projector.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method


def test_the_loss_is_that_of_the_papers_equations():
    torch.manual_seed(0)
    method = moved_target(BYOL(NETWORK, OPTIONS))
    query, key = views(8)
    loss, monitors = method.loss(query, key, None)
    assert loss.item() == pytest.approx(reference_loss(method, query, key), rel=1e-5)
    assert monitors["positive"].item() == pytest.approx(1 - loss.item() / 4, rel=1e-5)
    exchanged, _ = method.loss(key, query, None)
    assert exchanged.item() == pytest.approx(loss.item(), rel=1e-5)


def test_only_the_online_branch_gets_gradient_and_all_of_it():
    method = BYOL(NETWORK, OPTIONS)
    loss, monitors = method.loss(*views(8), None)
    loss.backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is None) == name.startswith("target_"), name
        assert parameter.requires_grad != name.startswith("target_"), f"{name}: what the optimiser is given"
    assert not any(value.requires_grad for value in monitors.values())


def test_the_target_is_the_online_network_at_first_and_follows_it_as_the_equations_say():
    torch.manual_seed(0)
    method = BYOL(NETWORK, OPTIONS)
    pairs = [(method.target_encoder, method.encoder), (method.target_projector, method.projector)]
    for target, online in pairs:
        for a, b in zip(target.state_dict().values(), online.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    expected = [p.detach().double().numpy() for target, _ in pairs for p in target.parameters()]
    for step in range(1, 5):
        with torch.no_grad():
            for parameter in (*method.encoder.parameters(), *method.projector.parameters()):
                parameter.add_(torch.randn_like(parameter))
        method.after_step(step / 5)
        tau = 1 - (1 - 0.9) * (math.cos(math.pi * step / 5) + 1) / 2
        online = [p.detach().double().numpy() for _, part in pairs for p in part.parameters()]
        expected = [tau * slow + (1 - tau) * fast for slow, fast in zip(expected, online, strict=True)]
    for parameter, value in zip((p for part, _ in pairs for p in part.parameters()), expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-4, atol=1e-5)
    before = copy.deepcopy(method.target_encoder.state_dict())
    method.after_step(1.0)  # which no step of a run is told
    assert all(torch.equal(value, before[name]) for name, value in method.target_encoder.state_dict().items())


def test_the_target_slows_down_along_a_cosine_to_a_rest():
    assert target_momentum(0.99, 0.0) == pytest.approx(0.99)
    assert target_momentum(0.99, 0.5) == pytest.approx(0.995)
    assert target_momentum(0.99, 0.25) == pytest.approx(1 - 0.01 * (2 + math.sqrt(2)) / 4)
    assert target_momentum(0.99, 1.0) == 1.0


def test_splits_normalise_parts_of_the_batch_and_predictions_and_targets_alike():
    """With splits, changing one photo must move the predictions and the targets of its own split only."""
    torch.manual_seed(0)
    method = BYOL(NETWORK, BYOLOptions(dim=6, hidden=10, bn_splits=4)).train()
    for encode in (method._predict, method._target):
        x = views(16)[0]
        with torch.no_grad():
            before = encode(x)
            x[5] += 1
            assert {int(i) for i in ((encode(x) - before).abs().amax(1) > 1e-6).nonzero()} == {4, 5, 6, 7}


def test_unrelated_predictions_and_targets_have_the_chance_loss():
    torch.manual_seed(0)
    method = BYOL(NETWORK, BYOLOptions(dim=512, hidden=32))
    # Random numbers in place of the networks: what an untrained predictor knows of the other view.
    method._predict = method._target = lambda view: torch.nn.functional.normalize(torch.randn(4000, 512), dim=1)
    loss, monitors = method.loss(*views(1), None)
    assert loss.item() == pytest.approx(BYOL.chance, abs=0.02)
    assert monitors["feature_std"].item() == pytest.approx(1, abs=0.02)


def test_predictor_and_projector_have_the_published_shape_by_default():
    method = BYOL(NETWORK, BYOLOptions())
    for mlp, features in ((method.projector, 64), (method.predictor, 256)):
        assert [tuple(p.shape) for p in mlp.parameters() if p.ndim == 2] == [(4096, features), (256, 4096)]
        assert [type(layer).__name__ for layer in mlp] == ["Linear", "SplitBatchNorm1d", "ReLU", "Linear"]


def test_it_learns_to_know_a_photo_again_and_does_not_collapse():
    torch.manual_seed(0)
    method = BYOL(NETWORK, BYOLOptions(target_momentum=0.9, dim=16, hidden=64))
    optimizer = LARS([p for p in method.parameters() if p.requires_grad], lr=3.0)
    photos = torch.randn(32, 3, 16, 16)

    def view():
        return photos + 0.5 * torch.randn_like(photos)

    @torch.no_grad()
    def recognised():
        """Share of predictions whose nearest target is that of the same photo; 1 / 32 by chance."""
        return ((method._predict(view()) @ method._target(view()).T).argmax(1) == torch.arange(32)).float().mean()

    assert recognised() < 0.2
    for step in range(100):
        loss, monitors = method.loss(view(), view(), None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(step / 100)
    assert loss < 0.5
    assert monitors["feature_std"] > 0.5
    assert recognised() > 0.6


@pytest.mark.parametrize("recipe", ["byol"], indirect=True)
def test_the_loop_says_how_far_the_run_is_also_after_an_interruption(recipe, inputs, tmp_path):
    told = []

    def trainer():
        batches, labels = training_batches(recipe, inputs)
        trainer = Trainer(recipe, build(recipe, labels), batches, State(tmp_path, recipe, "data"))

        def after_step(progress):
            told.append(progress)
            trainer.stopping = len(told) == 15

        trainer.method.after_step = after_step
        return trainer

    with pytest.raises(Preempted):
        trainer().run()
    assert len(told) == 15
    trainer().run()
    assert told == [step / 40 for step in range(40)]


@pytest.mark.parametrize("recipe", ["byol"], indirect=True)
def test_rates_and_momenta_of_a_run_are_those_of_the_authors_schedules(recipe, inputs, tmp_path, monkeypatch):
    """byol/utils/schedules.py: steps count from 0, the first has no rate and the momentum that is published."""
    recipe["options"]["warmup"], recipe["images_seen"] = 0.25, 8 * 16
    batches, labels = training_batches(recipe, inputs)
    trainer = Trainer(recipe, build(recipe, labels), batches, State(tmp_path, recipe, "data"))
    rates, momenta = [], []
    monkeypatch.setattr(byol, "follow_", lambda slow, fast, tau: momenta.append(tau))
    step = trainer.optimizer.step
    monkeypatch.setattr(
        trainer.optimizer, "step", lambda: (rates.append(trainer.optimizer.param_groups[0]["lr"]), step())
    )
    trainer.run()
    cosine = [0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    assert rates == pytest.approx([0.0, 1.5, *(3.0 * part for part in cosine)])
    taus = [1 - (1 - 0.9) * 0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert momenta == pytest.approx([tau for tau in taus for _ in ("encoder", "projector")])


@pytest.mark.parametrize("recipe", ["byol"], indirect=True)
def test_a_run_on_photos_goes_below_chance(uninterrupted):
    lines = [json.loads(line) for line in (uninterrupted / "history.jsonl").read_text().splitlines()[1:]]
    assert {line["chance"] for line in lines} == {4.0}
    assert lines[0]["loss"] > 3
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.8 * 4.0


@pytest.mark.parametrize("policy", ["scene-scene", "object-scene", "object-object", "object-shift", "object-dilate"])
def test_it_takes_every_crop_policy_and_its_own_options_only(policy):
    recipe = {
        "method": "byol",
        "backbone": NETWORK,
        "crops": {"policy": policy},
        "options": {"target_momentum": 0.5, "dim": 4, "hidden": 8, "bn_splits": 2, "lr": 0.1, "optimizer": "lars"},
    }
    method = build(recipe, np.zeros((4, 2)))
    assert method.options == BYOLOptions(target_momentum=0.5, dim=4, hidden=8, bn_splits=2)
