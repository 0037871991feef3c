"""GPUs for the jobs of one machine, so that no more of them compute on one than may.

Snakemake counts how many GPUs its jobs use and does not say which; a second Snakemake counts for itself. A job that
was promised n GPUs takes locks of n of them in a folder that all jobs of the user share. The kernel releases them
however the job ends. A process that the job starts and lets inherit files holds them with it.

A GPU has UNITS locks. A job of a workflow with `runs_per_gpu` r takes UNITS / r of each of its GPUs, any that are
free. So the shares of the jobs on a GPU never add up to more than one, whatever r each of them was started with.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oac.configuration import ConfigError

POLL_SECONDS = 1.0
UNITS = 12  # divides among 1, 2, 3, 4, 6 and 12 runs
RUNS_PER_GPU = "OAC_RUNS_PER_GPU"  # the variable that hands the workflow's setting to its jobs


def resolve(setting: str | int) -> int:
    """Turn the setting `gpu` (auto or a number) into the number of GPUs a run takes, without importing torch."""
    if setting != "auto":
        return int(setting)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return int(Path("/dev/nvidiactl").exists() if visible is None else visible not in ("", "-1"))


def nodes(gpus: int, gpus_per_node: int) -> int:
    """How many machines a run takes, all of whose GPUs it takes where there are several.

    Raises ConfigError where it would take a part of one.
    """
    if gpus <= gpus_per_node:
        return 1
    if gpus % gpus_per_node:
        raise ConfigError(
            f"`gpu` of the configuration is {gpus}, which is more than the {gpus_per_node} GPUs of one machine"
            f" (`gpus_per_node`) and not those of several: set gpu to {gpus - gpus % gpus_per_node}, or gpus_per_node"
            " to what a machine has"
        )
    return gpus // gpus_per_node


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES writes them.

    Where a scheduler has set that variable, its GPUs; else all that the driver lists; none without a driver.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def lock_folder() -> Path:
    """Where the locks of this user's jobs are.

    A SLURM job has a folder to itself: SLURM gives a GPU to one job only, and numbers each job's GPUs from 0, so
    two jobs of one machine would wait for each other's "0".
    """
    allocation = os.environ.get("SLURM_JOB_ID")
    path = Path(tempfile.gettempdir()) / f"oac-gpus-{os.getuid()}{f'-slurm-{allocation}' if allocation else ''}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def runs_per_gpu() -> int:
    """How many runs share a GPU, as the workflow that this job is of has it; 1 outside of one."""
    return int(os.environ.get(RUNS_PER_GPU, "1"))


@contextmanager
def use_gpus(count: int) -> Iterator[str]:
    """Hold `count` GPUs of this machine, the only ones that CUDA then shows this process; wait for them.

    Gives the device to compute on, as torch names it. Enter before CUDA is first used. With 0 it is the CPU.
    """
    if not count:
        yield "cpu"
        return
    with acquire_gpus(count, visible_gpus(), lock_folder()) as gpu_ids:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids)
        yield "cuda"


@contextmanager
def acquire_gpus(count: int, gpus: Sequence[str], locks: Path) -> Iterator[list[str]]:
    """Hold a share of `count` of the `gpus` and give their ids; wait where too few have one left.

    The share is that of `runs_per_gpu`. Raises ValueError where there are fewer GPUs at all.
    """
    units = UNITS // runs_per_gpu()
    if len(gpus) < count:
        raise ValueError(
            f"{count} GPU{'s' * (count > 1)} asked for and {len(gpus)} found"
            f"{' (' + ', '.join(gpus) + ')' if gpus else ''}: set `gpu` in config/config.yaml to what nvidia-smi"
            " lists, or to 0 for the CPU"
        )
    announced = False
    while True:
        with ExitStack() as held:
            gpu_ids: list[str] = []
            for gpu in gpus:
                if len(gpu_ids) < count and _share_of(locks / gpu.replace("/", "_"), units, held):
                    gpu_ids.append(gpu)
            if len(gpu_ids) == count:
                yield gpu_ids
                return
        if not announced:
            print(f"waiting for {count} of the GPUs {', '.join(gpus)}: other jobs hold them", file=sys.stderr)
            announced = True
        # Two jobs that each hold a part and wait for the rest release it here, and try again at different times.
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))


def _share_of(gpu: Path, units: int, held: ExitStack) -> bool:
    """Try to lock so many units of a GPU; on success `held` keeps them."""
    with ExitStack() as taken:
        free = (unit for unit in range(UNITS) if _locked(gpu.with_name(f"{gpu.name}.{unit}"), taken))
        if len(list(itertools.islice(free, units))) < units:
            return False
        held.push(taken.pop_all())
        return True


def _locked(path: Path, held: ExitStack) -> bool:
    """Try to lock a file; on success `held` keeps it open."""
    file = open(path, "w")  # noqa: SIM115 (it is kept open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    os.set_inheritable(file.fileno(), True)
    held.enter_context(file)
    return True
