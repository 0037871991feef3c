"""The benchmark end to end in a tiny setting, and that both sides do the same work."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import training_setting
import yardstick
from oac.pretrain.methods.moco import MoCoOptions
from synthetic_photos import write_photos
from training import table
from training_benchmark import TrainingBenchmark
from training_setting import Setting

TINY = Setting("narrow", 8, 16, 16, 16, 32, 1, "cpu", steps=1, turns=2)
ASKED = [  # what others may read from bench.json
    "step_pairs_per_s", "loader_pairs_per_s", "end_to_end_pairs_per_s", "yardstick_pairs_per_s", "loader_cpu_ratio",
    "mfu", "machine", "setting",
]  # fmt: skip
MEASURED = {  # pairs per second on any machine; other rates are of settings or packages that are absent here
    "step_pairs_per_s", "loader_pairs_per_s", "end_to_end_pairs_per_s", "yardstick_pairs_per_s",
    "streamed_loader_pairs_per_s", "yardstick_loader_pairs_per_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return TrainingBenchmark(TINY, tmp_path_factory.mktemp("bench"))


def test_everything_asked_for_is_measured_and_hangs_together(bench):
    result = json.loads(json.dumps(bench.run()))
    assert set(ASKED) <= set(result)
    rates = {name for name in result if name.endswith("pairs_per_s") and result[name] is not None}
    optional = {"lightly_pairs_per_s"} if importlib.util.find_spec("lightly") else set()
    assert rates == MEASURED | optional
    assert all(np.isfinite(result[name]) and result[name] > 0 for name in rates)
    for name in ("end_to_end_ratio", "loader_cpu_ratio", "step_share", "data_share"):
        assert 0 <= result[name]["min"] <= result[name]["median"] <= result[name]["max"], name
    turns = {name: np.array(seconds) / TINY.batch_size for name, seconds in result["turns"].items()}
    assert {len(seconds) for seconds in turns.values()} == {TINY.turns}
    assert result["end_to_end_pairs_per_s"] == pytest.approx(1 / turns["whole"].min(), rel=0.05)
    assert result["end_to_end_ratio"]["median"] == pytest.approx(np.median(turns["plain"] / turns["whole"]), rel=0.05)
    assert result["data_share"]["max"] <= 1
    assert 0 < result["mfu"] < 1
    assert result["machine"]["cores"] >= 1
    assert result["setting"]["precision"] == "fp32"
    assert 40 < result["mean_photo_kb"] < 120
    shown = table(result)
    assert f"{result['end_to_end_pairs_per_s']:,.0f}" in shown
    assert f"{result['loader_cpu_ratio']['median']:.1f} times" in shown


def test_bfloat16_is_measured_beside_float32(tmp_path):
    result = TrainingBenchmark(replace(TINY, precision="bf16", turns=1), tmp_path).run()
    assert result["setting"]["precision"] == "bf16"
    assert result["end_to_end_fp32_pairs_per_s"] > 0
    assert "end to end in float32" in table(result)


@pytest.mark.parametrize(
    ("flags", "precision"), [({"avx2"}, "fp32"), ({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16")]
)
def test_a_cpu_is_measured_in_what_it_multiplies(monkeypatch, flags, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training_setting, "cpu_flags", lambda: flags)
    assert Setting.of_machine().precision == precision


def test_both_sides_do_the_same_floating_point_operations(bench):
    plain = yardstick.PlainMoCo(TINY.recipe()["backbone"], MoCoOptions(queue=TINY.queue), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        plain.step(bench._views(), bench._views())
    assert counter.get_total_flops() / TINY.batch_size == pytest.approx(
        bench.flops(),
        rel=1e-3,  # the product of queries with their own keys is a sum in the project's method
    )


def test_the_yardsticks_loss_is_mocos_of_a_fresh_queue_and_its_key_follows(bench):
    torch.manual_seed(0)
    plain = yardstick.PlainMoCo(TINY.recipe()["backbone"], MoCoOptions(queue=TINY.queue), torch.device("cpu"))
    before = [p.clone() for p in plain.key.parameters()]
    loss, _ = plain.step(bench._views(), bench._views())
    assert 0 < loss < 20
    assert plain.pointer == TINY.batch_size
    plain.step(bench._views(), bench._views())
    moved = [(a - b).abs().max().item() for a, b in zip(plain.key.parameters(), before, strict=True)]
    assert 0 < max(moved) < 0.01


def test_photos_of_the_bench_are_as_large_as_real_ones_and_in_the_store(tmp_path):
    images = write_photos(tmp_path, 3)
    assert images[["width", "height"]].drop_duplicates().to_numpy().tolist() == [[1024, 683]]
    assert (images["split"] == "train").all()
    sizes = [path.stat().st_size for path in (tmp_path / "raw").iterdir()]
    assert all(150_000 < size < 320_000 for size in sizes), sizes  # 175 to 264 KB in Open Images
