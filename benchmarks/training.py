"""Measure training on this machine beside a plain loop; print a table and write it as JSON."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import save
from oac.command import plain_errors
from training_benchmark import TrainingBenchmark
from training_setting import Setting


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench/bench.json"))
    parser.add_argument("--turns", type=int, help="how often everything is measured")
    parser.add_argument("--long-side", type=int, help="of the photos, in pixels; 1024 is Open Images'")
    options = parser.parse_args()
    setting = Setting.of_machine()
    if options.turns:
        setting = replace(setting, turns=options.turns)
    if options.long_side:
        setting = replace(setting, photo_size=(options.long_side, options.long_side * 2 // 3))
    with tempfile.TemporaryDirectory() as folder:
        result = TrainingBenchmark(setting, Path(folder)).run()
    save(result, options.out)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """The numbers of bench.json as a Markdown table, with what they were measured on."""
    setting, cpu = result["setting"], result["cpu_ms_per_pair"]
    where = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    rows = [
        ("training step alone, views on the device", "step_pairs_per_s", "step"),
        ("loader alone, photos in memory", "loader_pairs_per_s", "resident"),
        ("loader alone, photos decoded each time", "streamed_loader_pairs_per_s", "streamed"),
        ("augmentation alone", "", "augmentation"),
        ("**end to end**", "end_to_end_pairs_per_s", "whole"),
        ("end to end in float32", "end_to_end_fp32_pairs_per_s", "whole_fp32"),
        ("end to end, JPEG files decoded on the GPU", "end_to_end_jpeg_pairs_per_s", "whole_jpeg"),
        ("end to end, photos decoded each time by workers", "end_to_end_streamed_pairs_per_s", "whole_streamed"),
        ("training step alone, not compiled", "eager_step_pairs_per_s", "step_eager"),
        ("end to end, not compiled", "end_to_end_eager_pairs_per_s", "whole_eager"),
        ("yardstick's loader alone", "yardstick_loader_pairs_per_s", "plain_loader"),
        ("**yardstick end to end**", "yardstick_pairs_per_s", ""),
        ("lightly's MoCo end to end, float32", "lightly_pairs_per_s", ""),
    ]
    numbers = [(name, result.get(rate), cpu.get(job)) for name, rate, job in rows]
    lines = [
        f"MoCo-v2, {setting['backbone']}, {setting['view_size']} px, batch {setting['batch_size']},"
        f" {setting['precision']}, {setting['photos']} photos of {setting['photo_size'][0]} px"
        f" ({result['mean_photo_kb']:.0f} kB each), eight batch norm splits.",
        f"Machine: {where}. Rates and CPU times are those of the fastest of {setting['turns']} turns of"
        f" {setting['steps']} steps. Ratios are medians over the turns, with the smallest and the largest.",
        "",
        "| | pairs/s | images/s | CPU ms/pair |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {_number(rate)} | {_number(rate and 2 * rate)} | {_number(ms, 2)} |"
            for name, rate, ms in numbers
            if rate or ms
        ),
        "",
        f"End to end against the yardstick: {_times(result['end_to_end_ratio'], 2)}."
        + (f" Against lightly: {_times(result['lightly_ratio'], 2)}." if result["lightly_ratio"] else ""),
        f"CPU of the yardstick's loader against the project's: {_times(result['loader_cpu_ratio'])};"
        f" {_times(result['loader_and_augmentation_cpu_ratio'])} with the project's augmentation, which the"
        " yardstick's loader does as well and the project's leaves to the device;"
        f" {_times(result['streamed_loader_cpu_ratio'])} where photos are decoded each time.",
        f"End to end is {result['step_share']['median']:.0%} of the step alone;"
        f" {result['data_share']['median']:.0%} of the time is spent waiting for data. MFU {result['mfu']:.0%} of"
        f" {result['peak_flops'] / 1e12:.2f} TFLOP/s, {result['flops_per_pair'] / 1e9:.2f} GFLOP a pair.",
        f"Before the first step {result['decoding_resident_photos_s']:.0f} s go into decoding the photos in memory.",
    ]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _times(ratio: dict[str, float], digits: int = 1) -> str:
    median, low, high = (f"{ratio[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} times ({low} to {high})"


if __name__ == "__main__":
    with plain_errors():
        main()
