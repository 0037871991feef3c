"""What the loop does around a step: precision, memory layout, and states that must not be saved."""

import pytest
import torch
from torch import nn

from oac.atomic import DiskFullError
from oac.pretrain import methods
from oac.pretrain.augment import DRAWS
from oac.pretrain.checkpoint import State
from oac.pretrain.loader import Batch
from oac.pretrain.loop import Trainer
from oac.pretrain.rng import uniform
from oac.pretrain.run import training_batches


@pytest.fixture
def trainer(recipe, inputs, tmp_path):
    def build(**changes):
        batches, labels = training_batches(recipe | changes, inputs)
        torch.manual_seed(0)
        return Trainer(
            recipe | changes, methods.build(recipe | changes, labels), batches, State(tmp_path, recipe, "data")
        )

    return build


@pytest.mark.parametrize("recipe", ["swav"], indirect=True)
def test_small_views_are_blurred_by_as_many_pixels_as_full_size_ones(trainer):
    """src/multicropdataset.py of SwAV's authors: 0.1 to 2 pixels at 224 px and at 96 px alike."""
    ours, given = trainer(augment={"blur": 1.0}), []
    ours.augment = lambda views, parameters: given.append((views, parameters.sigma)) or views.float()
    batch = ours.batches[0]
    ours._with_small_views(batch)
    ((small, sigma),) = given
    draws = uniform(ours.batches.seed, batch.epoch, batch.item, 2 * DRAWS, "smallaug").reshape(16, 2, DRAWS)
    assert small.shape == (2 * 16, 3, 8, 8)
    expected = (0.1 + (2.0 - 0.1) * draws[:, :, 12]) * 16 / 224  # views are 16 px, whose full size is 224 px
    assert sigma == pytest.approx(expected.T.reshape(-1), rel=1e-12)


KINDS = [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]


@pytest.mark.parametrize(("precision", "kind"), KINDS)
def test_convolutions_run_in_the_precision_asked_for_and_in_channels_last(trainer, precision, kind):
    ours, seen = trainer(precision=precision), []
    for module in ours.method.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
            module.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
    monitors = ours._train_step(ours.batches[0])
    assert {output.dtype for _, output in seen} == {kind}
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in seen)
    assert monitors["loss"].dtype == torch.float32  # whatever the network computes in


def test_half_precision_leaves_out_a_step_whose_gradients_overflow_and_scales_the_loss_down(trainer):
    ours = trainer(precision="fp16")
    ours.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = {name: value.clone() for name, value in ours.method.encoder.named_parameters()}
    ours._train_step(ours.batches[0])
    assert ours.scaler.get_scale() == 2.0**39
    assert all(torch.equal(before[name], value) for name, value in ours.method.encoder.named_parameters())
    ours.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    ours._train_step(ours.batches[1])
    assert ours.scaler.get_scale() == 2.0**10
    assert not torch.equal(before["conv1.weight"], ours.method.encoder.conv1.weight)


def test_a_checkpoint_from_before_there_was_a_scaler_is_resumed(trainer):
    ours = trainer()
    ours._accumulate(ours._train_step(ours.batches[0]))
    ours.step = 1
    ours._save()
    content = torch.load(ours.state.checkpoint, weights_only=True)
    del content["scaler"]
    torch.save(content, ours.state.checkpoint)
    again = trainer()
    again._resume()
    assert again.step == 1
    assert all(torch.equal(a, b) for a, b in zip(again.method.parameters(), ours.method.parameters(), strict=True))


@pytest.mark.parametrize("bad", ["weights", "loss"])
def test_a_state_that_has_gone_bad_is_not_saved_whichever_part_of_it_has(trainer, bad):
    ours = trainer()
    ours._accumulate(ours._train_step(ours.batches[0]))
    ours._save()
    before = ours.state.checkpoint.read_bytes()
    if bad == "weights":
        with torch.no_grad():
            next(ours.method.parameters()).fill_(float("nan"))
    else:
        ours.sums["loss"] = torch.tensor(float("inf"))
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        ours._save()
    assert ours.state.checkpoint.read_bytes() == before


def test_a_history_that_finds_no_room_is_one_sentence(recipe, tmp_path, monkeypatch):
    state = State(tmp_path, recipe, "data")

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(DiskFullError, match=r"no room to write .*history\.jsonl"):
        state.log({"step": 1})


def test_pinned_is_what_lies_on_the_host_and_nothing_else(trainer, monkeypatch):
    batch = trainer().batches[0]
    batch.query = batch.query.to("meta")  # stands in for a device
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    again = batch.pin_memory()
    assert isinstance(again, Batch)
    assert {id(x) for x in pinned} == {id(batch.key), id(batch.swapped), id(batch.labels)}
