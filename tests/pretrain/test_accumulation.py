"""A batch computed in parts is the whole batch, in float64 to rounding."""

import json

import pytest
import torch
from torch import nn

from oac.pretrain import methods
from oac.pretrain.checkpoint import State
from oac.pretrain.loop import Trainer
from oac.pretrain.run import train_run, training_batches

STEPS = 4
as_float32 = torch.Tensor.float


class Exact(Trainer):
    """A trainer that computes in float64."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.method.double()

    def _augmented(self, batch):
        return tuple(view.double() for view in super()._augmented(batch))


@pytest.fixture
def train(recipe, inputs, tmp_path, monkeypatch):
    """Train a few steps in parts; the method and the loss of each step."""
    # Losses are computed in float32 whatever the network's precision, but for here.
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.dtype == torch.float64 else as_float32(x))

    def run(parts, network=None, **changes):
        recipe["options"] |= changes
        batches, labels = training_batches(recipe, inputs)
        torch.manual_seed(0)
        method = methods.build(recipe, labels)
        if network is not None:
            method.encoder = network
        ours = Exact(recipe, method, batches, State(tmp_path, recipe, "data"), accumulate=parts)
        losses = []
        for step in range(STEPS):
            ours.step, batch = step, batches[step]
            batch.labels = batch.labels.double()
            losses.append(float(ours._train_step(batch)["loss"]))
        return ours.method, losses

    return run


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(("parts", "splits"), [(2, 4), (4, 4), (2, 2)])
def test_parts_give_the_weights_keys_and_running_statistics_of_the_whole_batch(train, parts, splits, heads):
    whole, losses = train(1, bn_splits=splits, heads=heads)
    ours, in_parts = train(parts, bn_splits=splits, heads=heads)
    assert len(set(losses)) == STEPS, "a loss that does not move shows nothing"
    assert in_parts == pytest.approx(losses, rel=1e-10)
    state = whole.state_dict()
    assert {"queue", "pointer", "encoder.bn1.running_mean", "key_encoder.bn1.running_var"} < state.keys()
    for name, value in ours.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # counts passes, and nothing reads it
            torch.testing.assert_close(value, state[name], rtol=1e-8, atol=1e-10, msg=name)


def test_other_splits_are_another_run(train):
    """So the tolerance above tells whole batches from others."""
    one, two = (train(1, bn_splits=splits)[0].state_dict()["encoder.conv1.weight"] for splits in (2, 4))
    assert not torch.allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("recipe", ["supervised"], indirect=True)
def test_a_network_without_batch_norm_is_trained_in_parts_whatever_its_splits(train):
    def network():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 64), nn.Tanh())

    whole, losses = train(1, network())
    ours, in_parts = train(4, network())
    assert in_parts == pytest.approx(losses, rel=1e-10)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("recipe", ["supervised", "byol", "swav", "cmc"], indirect=True)
def test_batch_norms_of_the_whole_batch_are_refused(train):
    with pytest.raises(ValueError, match=r"accumulate: 8 parts .* splits in a process"):
        train(8)


def test_a_run_in_parts_goes_on_from_a_checkpoint_of_one_that_is_not(recipe, inputs, tmp_path):
    """The identity of a run knows nothing of parts."""
    out = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    recipe["images_seen"] = 32
    train_run(recipe, inputs, tmp_path / "state", *out)
    out[0].unlink()
    train_run(recipe, inputs, tmp_path / "state", *out, accumulate=2)
    assert out[0].exists()
    assert json.loads(out[1].read_text().splitlines()[-1])["step"] == 2
