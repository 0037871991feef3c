"""GPUs for the jobs of one machine, so that no two of them compute on the same one.

Snakemake counts how many GPUs its jobs use and does not say which; a second Snakemake counts for itself. A job that
was promised n GPUs takes n locks in a folder that all jobs of the user share. The kernel releases them however the
job ends. A process that the job starts and lets inherit files holds them with it.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

POLL_SECONDS = 1.0


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


@contextmanager
def use_gpus(count: int) -> Iterator[None]:
    """Hold `count` free GPUs of this machine, the only ones that CUDA then shows this process; wait for them.

    Enter before CUDA is first used. With 0 nothing changes.
    """
    if count:
        with acquire_gpus(count, visible_gpus(), lock_folder()) as gpu_ids:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids)
            yield
    else:
        yield


@contextmanager
def acquire_gpus(count: int, gpus: Sequence[str], locks: Path) -> Iterator[list[str]]:
    """Hold `count` of the `gpus` that no other job holds, and give their ids; wait where too few are free.

    Raises ValueError where there are fewer GPUs at all.
    """
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
                if len(gpu_ids) < count and _locked(locks / gpu.replace("/", "_"), held):
                    gpu_ids.append(gpu)
            if len(gpu_ids) == count:
                yield gpu_ids
                return
        if not announced:
            print(f"waiting for {count} of the GPUs {', '.join(gpus)}: other jobs hold them", file=sys.stderr)
            announced = True
        # Two jobs that each hold a part and wait for the rest release it here, and try again at different times.
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))


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
