from __future__ import annotations

import logging
import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from oac.probe.linear import choose, fit, hold_out
from oac.probe.metrics import mean_average_precision, top_k_accuracy


def problem(images=400, width=10, classes=3, seed=0, noise=2.0):
    """Features of very different means and spreads, and labels that depend on them with noise."""
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(images, width, generator=generator)
    logits = (
        plain @ torch.randn(width, classes, generator=generator) + torch.tensor([-1.0, 0.0, 1.0]).repeat(9)[:classes]
    )
    targets = logits + noise * torch.randn(images, classes, generator=generator) > 0
    features = plain * torch.logspace(-1, 0.5, width) + torch.linspace(-1, 2, width)
    return features, targets.to(torch.uint8)


def objective(probe, features, targets, weight_decay):
    """The criterion of the module's text for probes that do not standardise."""
    loss = binary_cross_entropy_with_logits(probe.scores(features), targets.float())
    return float(loss + 0.5 * weight_decay * probe.weight.square().sum())


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("weight_decay", [1e-4, 1e-2])
def test_lbfgs_is_logistic_regression(standardize, weight_decay):
    features, targets = problem()
    probe = fit(features, targets, solver="lbfgs", weight_decay=weight_decay, standardize=standardize)
    inputs = features.double().numpy()
    if standardize:
        inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    strength = 1 / (weight_decay * targets.numel())
    scores = probe.scores(features).numpy()
    for c in range(targets.shape[1]):
        oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(inputs, targets[:, c].numpy())
        np.testing.assert_allclose(probe.weight[c].numpy(), oracle.coef_[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(scores[:, c], oracle.decision_function(inputs), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(("images", "width"), [(400, 10), (30, 50)])
def test_lbfgs_ends_where_the_gradient_is_zero_whatever_the_classes(images, width, standardize):
    """More features than photos, a feature without spread, and classes that all photos or none show."""
    features, targets = problem(images, width)
    features[:, 3] = 7.0
    targets[:, 0], targets[:, 1] = 1, 0
    weight_decay = 1e-3
    probe = fit(features, targets, solver="lbfgs", weight_decay=weight_decay, standardize=standardize)
    inputs = ((features - probe.mean) / probe.scale).double()
    weight, bias = (part.double().requires_grad_() for part in (probe.weight, probe.bias))
    loss = binary_cross_entropy_with_logits(inputs @ weight.T + bias, targets.double())
    (loss + 0.5 * weight_decay * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-5
    assert bias.grad.abs().max() < 1e-5


def single_problem(images=400, width=10, classes=4, noise=2.0):
    """The same features, each of one class: that of the largest noisy logit."""
    generator = torch.Generator().manual_seed(7)
    features, _ = problem(images, width)
    logits = features @ torch.randn(width, classes, generator=generator)
    label = (logits + noise * torch.randn(images, classes, generator=generator)).argmax(1)
    return features, torch.nn.functional.one_hot(label, classes).to(torch.uint8), label


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("weight_decay", [1e-4, 1e-2])
def test_lbfgs_of_single_labels_is_multinomial_logistic_regression(standardize, weight_decay):
    features, targets, label = single_problem()
    options = {"solver": "lbfgs", "weight_decay": weight_decay, "standardize": standardize}
    probe = fit(features, targets, task="single_label", **options)
    inputs = features.double().numpy()
    if standardize:
        inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    strength = 1 / (weight_decay * len(targets))
    oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(inputs, label.numpy())
    np.testing.assert_allclose(probe.weight.numpy(), oracle.coef_, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(
        probe.scores(features).softmax(1).numpy(), oracle.predict_proba(inputs), rtol=2e-3, atol=2e-4
    )
    others = fit(features, targets, **options).scores(features).softmax(1)
    assert np.abs(others.numpy() - oracle.predict_proba(inputs)).max() > 0.01, "a logistic loss is another problem"


def steps_of_torch(features, classes, loss):
    """Weight and bias after four epochs of torch's SGD from the draws of seed 3; loss(logits, rows of a batch)."""
    generator = torch.Generator().manual_seed(3)
    weight = (torch.randn(classes, 10, generator=generator) * 0.01).requires_grad_()
    bias = torch.zeros(classes, requires_grad=True)
    groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.9, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], gamma=0.1)
    for _ in range(4):
        for batch in torch.randperm(50, generator=generator).split(16):
            optimizer.zero_grad()
            loss(features[batch] @ weight.T + bias, batch).backward()
            optimizer.step()
        schedule.step()
    return weight.detach(), bias.detach()


FOUR_EPOCHS = {
    "lr": 0.5, "momentum": 0.9, "weight_decay": 0.02, "batch_size": 16, "epochs": 4, "milestones": (2, 3), "seed": 3,
}  # fmt: skip


def test_sgd_of_single_labels_takes_the_steps_of_torch():
    features, targets, label = single_problem(images=50)
    ours = fit(features, targets, task="single_label", **FOUR_EPOCHS)
    weight, bias = steps_of_torch(features, 4, lambda logits, batch: cross_entropy(logits, label[batch]))
    torch.testing.assert_close(ours.weight, weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.bias, bias, rtol=1e-4, atol=1e-6)


def test_single_labels_choose_by_top1():
    features, targets, _ = single_problem(images=200, width=60, noise=20.0)
    parts = (features[:80], targets[:80], features[80:], targets[80:])
    options = {"task": "single_label", "solver": "lbfgs", "standardize": True}
    choice = choose(*parts, weight_decays=[1e-5, 1e-2, 1e1], **options)
    expected = {}
    for decay in (1e-5, 1e-2, 1e1):
        scores = fit(*parts[:2], weight_decay=decay, **options).scores(parts[2])
        expected[decay] = top_k_accuracy(scores, parts[3], 1)
    assert len(set(expected.values())) > 1
    assert choice.validation == expected
    assert choice.weight_decay == max(expected, key=expected.__getitem__)


def test_sgd_reaches_the_minimum_that_lbfgs_finds():
    features, targets = problem()
    features = (features - features.mean(0)) / features.std(0)  # SGD needs a well-conditioned problem
    decay = 1e-3
    best = objective(fit(features, targets, solver="lbfgs", weight_decay=decay), features, targets, decay)
    recipe = {"lr": 0.3, "epochs": 200, "milestones": (150, 180)}
    probe = fit(features, targets, solver="sgd", weight_decay=decay, **recipe)
    assert best - 1e-7 <= objective(probe, features, targets, decay) < best + 2e-4


def test_sgd_takes_the_steps_of_torch():
    features, targets = problem(images=50)
    ours = fit(features, targets, **FOUR_EPOCHS)
    weight, bias = steps_of_torch(
        features, 3, lambda logits, batch: binary_cross_entropy_with_logits(logits, targets[batch].float())
    )
    torch.testing.assert_close(ours.weight, weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.bias, bias, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_same_seed_same_probe_and_half_precision_features_work(solver):
    features, targets = problem(images=100)
    options = {"solver": solver, "lr": 0.1, "epochs": 5, "weight_decay": 1e-2}
    first, second = (fit(features, targets, seed=1, **options) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    half = fit(features.half(), targets, seed=1, **options).scores(features.half())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, first.scores(features), rtol=0.02, atol=0.02)


def test_standardised_probe_ignores_shift_and_scale_of_features():
    features, targets = problem()
    moved = features * torch.logspace(-2, 3, 10) + 40.0
    options = {"solver": "lbfgs", "weight_decay": 1e-3, "standardize": True}
    plain, other = fit(features, targets, **options), fit(moved, targets, **options)
    torch.testing.assert_close(other.scores(moved), plain.scores(features), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_constant_feature_is_harmless(solver):
    features, targets = problem()
    features[:, 4] = 0.1
    probe = fit(features, targets, solver=solver, lr=0.5, epochs=3, weight_decay=1e-3, standardize=True)
    assert probe.scores(features).abs().max() < 50


def test_choose_takes_the_best_on_validation_and_nothing_else():
    features, targets = problem(images=160, width=60, noise=4.0)
    parts = (features[:80], targets[:80], features[80:], targets[80:])
    decays = [1e-6, 1e-2, 1e1]
    choice = choose(*parts, weight_decays=decays, solver="lbfgs", standardize=True)
    quality = {}
    for decay in decays:
        probe = fit(*parts[:2], solver="lbfgs", standardize=True, weight_decay=decay)
        quality[decay] = mean_average_precision(probe.scores(parts[2]), parts[3])
    assert choice.validation == quality
    assert choice.weight_decay == max(quality, key=quality.__getitem__)
    expected = fit(*parts[:2], solver="lbfgs", standardize=True, weight_decay=choice.weight_decay)
    assert torch.equal(choice.probe.weight, expected.weight)


def test_choose_refits_on_both_parts():
    features, targets = problem(images=160)
    parts = (features[:100], targets[:100], features[100:], targets[100:])
    choice = choose(*parts, weight_decays=[1e-3], refit=(features, targets), solver="lbfgs")
    assert torch.equal(choice.probe.weight, fit(features, targets, solver="lbfgs", weight_decay=1e-3).weight)


def test_epochs_go_through_the_views_in_turn():
    """SGD by hand on view e mod V in epoch e, beside the solver with momentum 0."""
    features, targets = problem(images=40)
    views = torch.stack([features, features.flip(0), features * 0.5])
    ours = fit(views, targets, lr=0.5, momentum=0.0, epochs=5, milestones=(4,), batch_size=16, seed=2)
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(3, 10, generator=generator) * 0.01, torch.zeros(3)
    for epoch in range(5):
        for batch in torch.randperm(40, generator=generator).split(16):
            inputs = views[epoch % 3][batch]
            residual = ((inputs @ weight.T + bias).sigmoid() - targets[batch]) / (len(batch) * 3)
            rate = 0.05 if epoch >= 4 else 0.5
            weight, bias = weight - rate * residual.T @ inputs, bias - rate * residual.sum(0)
    torch.testing.assert_close(ours.weight, weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.bias, bias, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("standardize", [False, True])
def test_one_view_is_no_view_and_equal_views_count_once(solver, standardize):
    features, targets = problem(images=80)
    options = {"solver": solver, "lr": 0.1, "epochs": 6, "weight_decay": 1e-2, "standardize": standardize}
    plain = fit(features, targets, **options)
    assert torch.equal(fit(features[None], targets, **options).weight, plain.weight)
    thrice = fit(features.expand(3, -1, -1), targets, **options)
    torch.testing.assert_close(thrice.weight, plain.weight, rtol=1e-3, atol=1e-4)


def test_equal_candidates_take_the_strongest_decay():
    features = torch.linspace(-1, 1, 40)[:, None]
    targets = (features > 0).float()  # any decay ranks these perfectly
    choice = choose(features, targets, features, targets, weight_decays=[1e-3, 1e-1, 1e-2], solver="lbfgs")
    assert choice.weight_decay == 1e-1
    assert list(choice.validation.values()) == [1.0, 1.0, 1.0]


def test_hold_out_is_a_seeded_fifth():
    kept, held = hold_out(103, seed=5)
    assert len(held) == 21
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(103))
    assert np.array_equal(hold_out(103, seed=5)[1], held)
    assert not np.array_equal(hold_out(103, seed=6)[1], held)
    assert [len(part) for part in hold_out(2, seed=0)] == [1, 1]
    with pytest.raises(ValueError, match="cannot hold out"):
        hold_out(1, seed=0)


def test_wrong_input_is_refused():
    features, targets = problem(images=20)
    with pytest.raises(ValueError, match=r'"sgd" or "lbfgs", not "adam"'):
        fit(features, targets, solver="adam")
    with pytest.raises(ValueError, match=r'"multi_label" or "single_label", not "ranking"'):
        fit(features, targets, task="ranking")
    one = torch.eye(3)[[0] * 20]
    one[[2, 5], 1] = 1
    with pytest.raises(ValueError, match="2 of 20 photos"):
        fit(features, one, task="single_label")
    with pytest.raises(ValueError, match=r"\(20, 10\) and \(19, 3\)"):
        fit(features, targets[:19])
    with pytest.raises(ValueError, match="weight_decays is empty"):
        choose(features, targets, features, targets, weight_decays=[])
    with pytest.raises(ValueError, match=r"diverged \(solver sgd, lr 1e\+30\)"):
        fit(features * 1e20, targets, lr=1e30)
    features[7, 2] = torch.nan
    with pytest.raises(ValueError, match="first is row 7"):
        fit(features, targets)


def test_a_search_that_stops_early_says_so(monkeypatch, caplog):
    monkeypatch.setattr("oac.probe.solvers._LBFGS_ITERATIONS", 2)
    with caplog.at_level(logging.WARNING):
        fit(*problem(), solver="lbfgs", weight_decay=1e-6)
    assert "stopped before the minimum" in caplog.text


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_the_demos_probe_takes_seconds(solver):
    features, targets = problem(images=3000, width=128, classes=12)
    start = time.process_time()
    choose(
        *(features[:2400], targets[:2400], features[2400:], targets[2400:]),
        weight_decays=[1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        solver=solver,
        standardize=True,
    )
    assert time.process_time() - start < 6  # about 1 s on one core; the rest is for busy machines


def test_validation_images_of_the_same_classes_leave_the_strongest_decay():
    torch.manual_seed(0)
    features, targets = torch.randn(12, 4), torch.arange(24).reshape(12, 2) % 3 == 0
    same = torch.tensor([[True, False]] * 2)
    choice = choose(features, targets, features[:2], same, weight_decays=[0.1, 1.0], solver="lbfgs")
    assert choice.weight_decay == 1.0
