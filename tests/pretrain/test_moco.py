"""MoCo against the algorithm as the papers write it, one sample and one weight at a time."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from oac.pretrain.loader import Batch
from oac.pretrain.methods import build
from oac.pretrain.methods.moco import MoCo, MoCoOptions
from oac.pretrain.methods.supervised import Supervised

NETWORK = {"name": "narrow", "width": 8}
OPTIONS = MoCoOptions(queue=20, key_momentum=0.9, temperature=0.2, dim=6, hidden=10, heads=1, bn_splits=1)


def batch(size, swapped=None, classes=3):
    generator = torch.Generator().manual_seed(size)
    return Batch(
        query=torch.empty(0),
        key=torch.empty(0),
        epoch=None,
        item=None,
        image=None,
        swapped=torch.zeros(size, dtype=torch.bool) if swapped is None else swapped,
        labels=(torch.rand(size, classes, generator=generator) < 0.4).float(),
        damaged=0,
    )


def views(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, size, 3, 16, 16, generator=generator)


def reference_loss(method, query, key):
    """Equation 1 of the MoCo paper, sample by sample."""
    q = F.normalize(method.heads[0](method.encoder(query)), dim=1)
    k = F.normalize(method.key_heads[0](method.key_encoder(key)), dim=1)
    losses = []
    for i in range(len(q)):
        positive = torch.exp(q[i] @ k[i] / method.options.temperature)
        negatives = sum(torch.exp(q[i] @ old / method.options.temperature) for old in method.queue)
        losses.append(-torch.log(positive / (positive + negatives)))
    return torch.stack(losses).mean(), k


def test_loss_queue_and_key_encoder_follow_the_algorithm_over_several_steps():
    torch.manual_seed(0)
    ours = MoCo(NETWORK, OPTIONS)
    theirs = copy.deepcopy(ours)
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.1) for m in (ours, theirs)]
    pointer = 0
    for step in range(5):  # 5 x 8 keys into 20 places: the queue wraps around, and not at a batch's border
        query, key = views(8, seed=step)
        loss, _ = ours.loss(query, key, batch(8))
        expected, keys = reference_loss(theirs, query, key)
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
        for optimizer, value in zip(optimizers, (loss, expected), strict=True):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        ours.after_step(step / 5)
        with torch.no_grad():
            pairs = [(theirs.key_encoder, theirs.encoder), (theirs.key_heads, theirs.heads)]
            for key_part, query_part in pairs:
                for slow, fast in zip(key_part.parameters(), query_part.parameters(), strict=True):
                    slow.mul_(0.9).add_(fast, alpha=0.1)
            for old in keys:
                theirs.queue[pointer] = old
                pointer = (pointer + 1) % 20
    for name, value in theirs.state_dict().items():
        if name != "pointer":
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert int(ours.pointer) == pointer


def test_the_key_side_gets_no_gradient_and_the_query_side_all_of_it():
    method = MoCo(NETWORK, OPTIONS)
    loss, _ = method.loss(*views(8), batch(8))
    loss.backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is None) == name.startswith("key_"), name


def test_two_heads_treat_first_and_second_views_apart_whichever_is_the_query():
    torch.manual_seed(0)
    method = MoCo(NETWORK, MoCoOptions(queue=20, dim=6, hidden=10, heads=2)).eval()
    first, second = views(8)
    plain, _ = method.loss(first, second, batch(8))
    with torch.no_grad():
        q = F.normalize(method.heads[0](method.encoder(first)), dim=1)
        k = F.normalize(method.key_heads[1](method.key_encoder(second)), dim=1)
        torch.testing.assert_close(method._keys, k)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ method.queue.T], 1) / 0.2
        torch.testing.assert_close(plain, F.cross_entropy(logits, torch.zeros(8, dtype=torch.long)))
    swapped = torch.arange(8) % 2 == 0
    query = torch.where(swapped.view(-1, 1, 1, 1), second, first)
    key = torch.where(swapped.view(-1, 1, 1, 1), first, second)
    method.loss(query, key, batch(8, swapped))
    expected = torch.where(
        swapped[:, None], method.key_heads[0](method.key_encoder(key)), method.key_heads[1](method.key_encoder(key))
    )
    torch.testing.assert_close(method._keys, F.normalize(expected, dim=1))


@pytest.mark.parametrize("head_norm", [False, True])
def test_a_query_and_its_key_do_not_share_their_batch_statistics(head_norm):
    """With splits, changing one photo must move the keys of another set of photos than the queries."""
    torch.manual_seed(0)
    method = MoCo(NETWORK, MoCoOptions(queue=20, dim=6, hidden=10, bn_splits=4, head_norm=head_norm)).train()
    moved = []
    for encode in (
        lambda x: F.normalize(method.heads[0](method.encoder(x)), dim=1),
        lambda x: method._encode_keys(x, torch.zeros(16, dtype=torch.bool)),
    ):
        x = views(16)[0]
        before = encode(x)
        x[5] += 1
        moved.append({int(i) for i in ((encode(x) - before).abs().amax(1) > 1e-6).nonzero()})
    assert moved[0] == {4, 5, 6, 7}
    assert moved[1] == {1, 5, 9, 13}


def test_a_network_that_tells_nothing_apart_has_the_chance_loss():
    torch.manual_seed(0)
    method = MoCo(NETWORK, MoCoOptions(queue=4096, dim=64, hidden=32, head_norm=True, temperature=1e4, bn_splits=1))
    loss, monitors = method.loss(*views(64), batch(64))
    assert method.chance == pytest.approx(math.log(4097))
    assert loss.item() == pytest.approx(method.chance, abs=1e-3)
    assert 0 < monitors["feature_std"].item() <= 1.01


def test_supervised_chance_is_the_loss_of_knowing_prevalence_only():
    data = batch(4000)
    prevalence = data.labels.mean(0).numpy()
    method = Supervised(NETWORK, data.labels.numpy())
    constant = torch.logit(torch.from_numpy(prevalence)).expand(4000, -1)
    assert method.chance == pytest.approx(float(F.binary_cross_entropy_with_logits(constant, data.labels)), abs=1e-5)


def test_supervised_loss_is_the_mean_over_classes_and_both_views():
    torch.manual_seed(0)
    query, key = views(8)
    data = batch(8)
    method = Supervised(NETWORK, data.labels.numpy()).eval()
    loss, _ = method.loss(query, key, data)
    each = [
        F.binary_cross_entropy_with_logits(method.classifier(method.encoder(view)), data.labels)
        for view in (query, key)
    ]
    torch.testing.assert_close(loss, (each[0] + each[1]) / 2)


def test_a_single_label_is_learnt_by_cross_entropy_and_its_chance_is_the_entropy_of_the_classes():
    torch.manual_seed(0)
    data = batch(8)
    which = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    data.labels = F.one_hot(which, 3).float()
    method = Supervised(NETWORK, data.labels.numpy(), "single_label").eval()
    query, key = views(8)
    loss, _ = method.loss(query, key, data)
    each = [F.cross_entropy(method.classifier(method.encoder(view)), which) for view in (query, key)]
    torch.testing.assert_close(loss, (each[0] + each[1]) / 2)
    assert method.chance == pytest.approx(0.5 * math.log(2) + 2 * 0.25 * math.log(4), abs=1e-5)
    data.labels[3, 1], data.labels[4] = 1, 0
    with pytest.raises(ValueError, match="2 of 8"):
        Supervised(NETWORK, data.labels.numpy(), "single_label")


@pytest.mark.parametrize(("policy", "heads"), [("scene-scene", 1), ("object-object", 1), ("object-dilate", 2)])
def test_two_heads_are_for_policies_whose_views_differ_in_kind(policy, heads):
    recipe = {
        "method": "moco_v2",
        "backbone": NETWORK,
        "crops": {"policy": policy},
        "options": {"heads": 2, "queue": 8, "dim": 4, "hidden": 4, "lr": 0.1},
    }
    assert len(build(recipe, torch.zeros(4, 2).numpy()).heads) == heads


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_are_one_or_two(heads):
    with pytest.raises(ValueError, match="set it to 1 or 2"):
        MoCo(NETWORK, replace(OPTIONS, heads=heads))
