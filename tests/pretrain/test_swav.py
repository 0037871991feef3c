"""SwAV against plain loops over its equations."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from oac.pretrain.loader import Batch
from oac.pretrain.methods.swav import SwAV, SwAVOptions, sinkhorn

NETWORK = {"name": "narrow", "width": 8}
OPTIONS = SwAVOptions(prototypes=6, dim=5, hidden=12, queue=8, queue_from=0.5, freeze=0.0)


def batch(small=None):
    nothing = torch.zeros(0)
    return Batch(nothing, nothing, np.zeros(0), np.zeros(0), np.zeros(0), nothing, nothing, 0, small)


def views(count=4, side=16, seed=1, small=2):
    generator = torch.Generator().manual_seed(seed)
    query, key = (torch.randn(count, 3, side, side, generator=generator) for _ in range(2))
    return query, key, batch(torch.randn(small * count, 3, 8, 8, generator=generator) if small else None)


def method(options=OPTIONS):
    torch.manual_seed(0)
    return SwAV(NETWORK, options).train()


def slow_sinkhorn(scores, epsilon, rounds):
    """Section 3.1: the codes' rows (prototypes) and columns (features) are brought to equal sums in turn."""
    count, prototypes = scores.shape
    q = [[math.exp(float(scores[b, k]) / epsilon) for b in range(count)] for k in range(prototypes)]
    for _ in range(rounds):
        for row in q:
            total = sum(row)
            row[:] = [value / total / prototypes for value in row]
        for b in range(count):
            total = sum(row[b] for row in q)
            for row in q:
                row[b] = row[b] / total / count
    return np.array(q).T * count


@settings(max_examples=30)
@given(
    st.integers(1, 7), st.integers(2, 6), st.integers(1, 4), st.sampled_from([0.03, 0.05, 0.5]), st.integers(0, 99)
)
def test_codes_equal_the_slow_reference(count, prototypes, rounds, epsilon, seed):
    scores = torch.rand(count, prototypes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    options = SwAVOptions(prototypes=prototypes, epsilon=epsilon, sinkhorn=rounds)
    codes = sinkhorn(scores, options)
    np.testing.assert_allclose(codes.numpy(), slow_sinkhorn(scores, epsilon, rounds), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(codes.sum(1), torch.ones(count, dtype=torch.float64))
    assert sinkhorn(scores.float() * 1, options).isfinite().all()


def test_many_rounds_use_all_prototypes_alike():
    scores = torch.randn(64, 8, dtype=torch.float64) / 4
    codes = sinkhorn(scores, SwAVOptions(prototypes=8, sinkhorn=300))
    torch.testing.assert_close(codes.mean(0), torch.full((8,), 1 / 8, dtype=torch.float64), rtol=1e-4, atol=1e-6)


def slow_loss(net, query, key, small, queue):
    """Equations 1 and 6, one photo, one code and one predicting view at a time."""
    n = len(query)
    features = [net.encoder(torch.cat([query, key]))]
    features += [net.encoder(small)] if small is not None else []
    z = F.normalize(net.projector(torch.cat(features)), dim=1).split(n)
    c, options = net.prototypes.weight, net.options
    total = 0.0
    for assigned in (0, 1):
        among = torch.cat([queue[assigned], z[assigned]]) if queue is not None else z[assigned]
        codes = slow_sinkhorn((among @ c.T).detach(), options.epsilon, options.sinkhorn)[-n:]
        for view in range(len(z)):
            if view == assigned:
                continue
            for b in range(n):
                p = torch.softmax(z[view][b] @ c.T / options.temperature, dim=0)
                total = total - sum(codes[b, k] * torch.log(p[k]) for k in range(len(c)))
    return total / (2 * (len(z) - 1) * n), z


@pytest.mark.parametrize("small", [0, 2])
def test_loss_gradient_and_queue_equal_the_slow_reference_over_steps(small):
    ours, theirs = method(), method()
    queue, held = None, torch.zeros(2, 0, OPTIONS.dim)
    for step in range(6):
        query, key, given_batch = views(seed=step, small=small)
        loss, _ = ours.loss(query, key, given_batch)
        expected, z = slow_loss(theirs, query, key, given_batch.small, queue)
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=2e-5)
        for net, value in ((ours, loss), (theirs, expected)):
            net.zero_grad()
            value.backward()
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=2e-3, atol=2e-5, msg=name)
        with torch.no_grad():
            for net in (ours, theirs):
                for p in net.parameters():
                    p -= 0.01 * theirs.get_parameter(dict((id(q), n) for n, q in net.named_parameters())[id(p)]).grad
            theirs.prototypes.weight.copy_(F.normalize(theirs.prototypes.weight, dim=1))
        progress = step / 6
        ours.after_step(progress)
        if progress >= OPTIONS.queue_from:
            held = torch.cat([held, torch.stack(z[:2]).detach()], dim=1)[:, -OPTIONS.queue :]
            queue = held if held.shape[1] == OPTIONS.queue else None
    assert queue is not None, "the queue was never full: the test saw nothing of it"
    torch.testing.assert_close(ours.queue, queue, rtol=1e-4, atol=1e-5)


def test_codes_are_targets_no_gradient_flows_through_them():
    net = method()
    query, key, no_small = views(small=0)
    assert all(not codes.requires_grad for codes in net._codes((torch.randn(4, 5), torch.randn(4, 5))))
    loss, _ = net.loss(query.requires_grad_(), key, no_small)
    loss.backward()
    assert query.grad.abs().sum() > 0


def test_prototypes_have_unit_length_and_rest_while_frozen():
    net = method(SwAVOptions(prototypes=6, dim=5, hidden=12, queue=0, freeze=0.5))
    optimizer = torch.optim.SGD(net.parameters(), 0.5, momentum=0.9, weight_decay=0.1)
    start, moved = net.prototypes.weight.detach().clone(), []
    for step in range(4):
        loss, _ = net.loss(*views(seed=step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        net.before_step(step / 4)
        optimizer.step()
        net.after_step(step / 4)
        torch.testing.assert_close(net.prototypes.weight.norm(dim=1), torch.ones(6))
        # Bringing unit vectors to unit length again moves their last bits.
        moved.append(not torch.allclose(net.prototypes.weight, start, rtol=0, atol=1e-6))
    assert moved == [False, False, True, True]


def test_a_state_carries_the_queue_and_its_length():
    net = method()
    for step in range(5):
        net.loss(*views(seed=step))
        net.after_step(step / 6)
    assert net.queued == 8
    other = method()
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    assert other.queued == net.queued
    assert float(other.loss(*views(seed=9))[0].detach()) == float(net.loss(*views(seed=9))[0].detach())


def test_a_batch_longer_than_the_queue_leaves_its_newest_features():
    net = method(SwAVOptions(prototypes=6, dim=5, hidden=12, queue=3, queue_from=0.0, freeze=0.0))
    net.loss(*views())
    newest = net._features[:, -3:].clone()
    net.after_step(0.1)
    assert torch.equal(net.queue, newest)
    assert net.loss(*views(seed=3))[0].isfinite()


def test_a_network_that_tells_nothing_apart_has_the_chance_loss():
    net = method()
    torch.nn.init.zeros_(net.projector[-1].weight)
    torch.nn.init.zeros_(net.projector[-1].bias)
    assert float(net.loss(*views())[0].detach()) == pytest.approx(net.chance, rel=1e-5)
