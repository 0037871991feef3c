"""The machine that is measured, and the file that the numbers go to."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from oac.atomic import writing


def machine(gpu: bool = False) -> dict[str, Any]:
    """What the numbers are measured on, and how busy it is. gpu: whether a GPU does the work."""
    import torch

    model = _cpuinfo("model name")
    result = {"cpu": model or platform.processor(), "cores": len(os.sched_getaffinity(0))}
    result |= {"load": round(os.getloadavg()[0], 1), "torch": torch.__version__, "python": platform.python_version()}
    return result | ({"gpu": torch.cuda.get_device_name()} if gpu else {})


def cpu_flags() -> set[str]:
    """The processor's instruction sets as Linux lists them; empty on other systems."""
    return set(_cpuinfo("flags").split())


def peak_mib() -> float | None:
    """Peak memory of this process in MiB; None where Linux does not say it.

    getrusage would not do: its peak begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return round(int(peak[1]) / 1024, 1) if peak else None


def save(result: dict[str, Any], path: Path) -> None:
    """Write the numbers as JSON, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as unfinished:
        unfinished.write_text(json.dumps(result, indent=2) + "\n")


def _cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith(key)), "")
