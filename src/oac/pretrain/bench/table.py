"""The machine that was measured, and the numbers as people read them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    model = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    found = {"cpu": model[0] if model else platform.processor(), "cores": len(os.sched_getaffinity(0))}
    found |= {"torch": torch.__version__, "python": platform.python_version()}
    return found | ({"gpu": torch.cuda.get_device_name()} if device.type == "cuda" else {})


def cpu_flags() -> set[str]:
    """What the processor says it can do, as Linux lists it; nothing elsewhere."""
    listed = [line.split(":")[1].split() for line in _lines("/proc/cpuinfo") if line.startswith("flags")]
    return set(listed[0]) if listed else set()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def table(result: dict[str, Any]) -> str:
    """The numbers of bench.json as a Markdown table, with what they were measured on."""
    setting, cpu = result["setting"], result["cpu_ms_per_pair"]
    where = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    rows = [
        ("training step alone, views on the device", result["step_pairs_per_s"], cpu["step"]),
        ("loader alone, photos in memory", result["loader_pairs_per_s"], cpu["resident"]),
        ("loader alone, photos decoded each time", result["streamed_loader_pairs_per_s"], cpu["streamed"]),
        ("augmentation alone", None, cpu["augmentation"]),
        ("**end to end**", result["end_to_end_pairs_per_s"], cpu["whole"]),
        ("end to end in float32", result["end_to_end_fp32_pairs_per_s"], cpu.get("whole_fp32")),
        (
            "end to end, photos decoded each time by workers",
            result["end_to_end_streamed_pairs_per_s"],
            cpu.get("whole_streamed"),
        ),
        ("training step alone, compiled", result["compiled_step_pairs_per_s"], cpu.get("step_compiled")),
        ("yardstick's loader alone", result["yardstick_loader_pairs_per_s"], cpu["plain_loader"]),
        ("**yardstick end to end**", result["yardstick_pairs_per_s"], None),
    ]
    lines = [
        f"MoCo-v2, {setting['backbone']}, {setting['view_size']} px, batch {setting['batch_size']},"
        f" {setting['precision']}, {setting['photos']} photos of 1,024 px ({result['mean_photo_kb']:.0f} kB each).",
        f"Machine: {where}. Medians of {setting['turns']} turns of {setting['steps']} steps.",
        "",
        "| | pairs/s | images/s | CPU ms/pair |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {_number(rate)} | {_number(rate and 2 * rate)} | {_number(ms, 2)} |"
            for name, rate, ms in rows
            if rate or ms
        ),
        "",
        f"End to end against the yardstick: {result['end_to_end_ratio']:.2f} times. CPU of the yardstick's loader"
        f" against ours: {result['loader_cpu_ratio']:.1f} times, {result['loader_and_augmentation_cpu_ratio']:.1f}"
        " times with our augmentation, which the yardstick's loader does as well and ours leaves to the device;"
        f" {result['streamed_loader_cpu_ratio']:.1f} times where photos are decoded each time.",
        f"End to end is {result['end_to_end_pairs_per_s'] / result['step_pairs_per_s']:.0%} of the step alone;"
        f" {result['data_share']:.0%} of the time is spent waiting for data. MFU {result['mfu']:.0%} of"
        f" {result['peak_flops'] / 1e12:.2f} TFLOP/s, {result['flops_per_pair'] / 1e9:.2f} GFLOP a pair.",
        f"Before the first step {result['decoding_resident_photos_s']:.0f} s go into decoding the photos in memory.",
    ]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
