"""What only a GPU can show: `pytest -m gpu` runs these and the other tests so marked."""

import json

import pytest
import torch
from safetensors.torch import load_file

from oac.pretrain.norm import SplitBatchNorm2d
from oac.pretrain.photo_sources import decodes_jpeg
from oac.pretrain.run import train_run
from oac.probe.linear import fit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_batch_norm_in_one_reduction_is_that_of_the_parts(kind):
    torch.manual_seed(0)
    norm = SplitBatchNorm2d(16, bn_splits=4).cuda()
    x = (torch.randn(32, 16, 9, 9, device="cuda") * 3 + 2).to(kind).contiguous(memory_format=torch.channels_last)
    tolerance = {"atol": 1e-4, "rtol": 1e-4} if kind == torch.float32 else {"atol": 0.05, "rtol": 0.02}
    torch.testing.assert_close(norm._together(x), norm._part_by_part(x), **tolerance)


def test_nvjpeg_is_there():
    assert decodes_jpeg(torch.device("cuda"))


@pytest.mark.parametrize("recipe", ["moco_v2", "byol", "swav", "cmc", "supervised"], indirect=True)
@pytest.mark.parametrize("compile", ["off", "on"])
def test_every_method_trains_to_the_losses_of_a_cpu(recipe, inputs, uninterrupted, tmp_path, compile):
    """In float32; views differ by a grey level from a CPU's, so the first losses agree, and the rest stay near."""
    encoder, history = tmp_path / "encoder.safetensors", tmp_path / "history.jsonl"
    train_run(recipe, inputs, tmp_path / "state", encoder, history, threads=2, device="cuda", compile=compile)
    ours, theirs = (
        [json.loads(line) for line in path.read_text().splitlines()[1:]]
        for path in (history, uninterrupted / "history.jsonl")
    )
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=0.05)
    assert ours[-1]["step"] == theirs[-1]["step"]
    assert all(bool(value.isfinite().all()) for value in load_file(encoder).values())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_train(recipe, inputs, tmp_path, precision):
    encoder = tmp_path / "encoder.safetensors"
    history = tmp_path / "history.jsonl"
    train_run(recipe | {"precision": precision}, inputs, tmp_path / "state", encoder, history, device="cuda")
    assert json.loads(history.read_text().splitlines()[0])["precision"] == precision
    assert all(bool(value.isfinite().all()) for value in load_file(encoder).values())


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_a_probe_fitted_on_a_gpu_is_a_cpus(solver):
    torch.manual_seed(0)
    features, targets = torch.randn(200, 12), (torch.rand(200, 3) > 0.7).to(torch.uint8)
    probes = [
        fit(features, targets, solver=solver, lr=0.5, epochs=4, weight_decay=1e-3, device=device)
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(probes[0].weight, probes[1].weight.cpu(), atol=1e-4, rtol=1e-3)
