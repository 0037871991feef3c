"""Measure BING on this machine: time for a photo beside OpenCV's BING, memory, and a shard out of the store.

Everything runs on one thread. The two are timed in turns on each photo (timing.py), on the clock and by the processor
time of the thread, which other work on the machine disturbs less. A photo counts with its fastest turn; the median
over the photos is reported. Decoding is not counted but for the shard.
"""

import argparse
import math
import os
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from machine import machine, peak_mib, save
from oac.allocation import keep_freed_memory
from oac.command import plain_errors
from oac.data.store import stored_images, write_shard
from oac.proposals import opencv
from oac.proposals.bing import Bing
from synthetic_photos import shard_files
from timing import Job, interleave, ratio

OHMS, CORES, SHARD = 212_753, 16, 1000  # photos of the paper's subset; what its time is extrapolated to
LONG_SIDE = 500
TURNS = 3  # for each photo
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
JOBS = Path(__file__).parents[1] / "workflow" / "scripts" / "proposals.py"


def main() -> None:
    """Measure what is asked for; print a line each and write all numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, such as VOCdevkit/VOC2007/JPEGImages")
    parser.add_argument("--opencv-model", help="folder of ObjNessB2W8*.yml.gz; OpenCV is left out without")
    parser.add_argument("--number", type=int, default=200, help="photos that are timed")
    parser.add_argument("--out", type=Path, default=Path("results/bench/proposals.json"))
    parser.add_argument("--memory", type=int, default=None, help=argparse.SUPPRESS)  # what child processes are asked
    parser.add_argument("--shard", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in THREADS):  # they are read when numpy is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREADS, "1"))
    keep_freed_memory()  # as the workflow's jobs do
    files = sorted(options.photos.glob("*.jpg"))[: options.number]
    if not files:
        raise ValueError(f"{options.photos} holds no *.jpg: name a folder of photos")
    if options.memory is not None:
        print(peak_memory(files, options.memory))
        return
    if options.shard is not None:
        propose_shard(options.shard)
        return
    result: dict[str, Any] = {"machine": machine(), "photos": len(files)}
    result |= photo_times(list(decoded(files)), options.opencv_model)
    for count in (len(files), 4 * len(files)):
        command = [sys.executable, __file__, str(options.photos), "--number", str(options.number)]
        command += ["--memory", str(count)]
        result[f"peak_mib_after_{count}"] = float(subprocess.run(command, capture_output=True, check=True).stdout)
    result |= shard_times(files)
    for name, value in result.items():
        print(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    save(result, options.out)


def decoded(files: list[Path]) -> Iterator[np.ndarray]:
    """The photos, one after the other, with a longest side of 500 px at the most."""
    for file in files:
        with Image.open(file) as image:
            image.thumbnail((LONG_SIDE, LONG_SIDE))
            yield np.asarray(image.convert("RGB"))


def photo_times(images: list[np.ndarray], opencv_model: str | None) -> dict[str, Any]:
    """Milliseconds for a photo, and how many times as long OpenCV takes."""
    bing = Bing.load()
    times: dict[str, list[Any]] = {}
    for number, image in enumerate(images):
        jobs = {
            "ours_10": Job(partial(bing.propose, image, 10)),
            "ours_1000": Job(partial(bing.propose, image, 1000)),
        }
        if opencv_model:
            jobs["opencv"] = Job(partial(opencv.propose, "opencv_bing", image, 10, model=opencv_model))
        for name, timed in interleave(jobs, TURNS, warm_up=number < 10, cpu=time.thread_time).items():
            times.setdefault(name, []).append(timed)
    result: dict[str, Any] = {}
    for clock in ("cpu", "wall"):
        seconds = {name: [getattr(timed, clock) for timed in photos] for name, photos in times.items()}
        for name, photos in seconds.items():
            result[f"{name}_{clock}_ms"] = 1000 * statistics.median(map(min, photos))
        if opencv_model:
            theirs, ours = (list(chain(*seconds[name])) for name in ("opencv", "ours_10"))
            result[f"times_opencv_{clock}"] = ratio(theirs, ours)
    return result


def peak_memory(files: list[Path], number: int) -> float | None:
    """Peak resident MiB of this process after so many photos, the files again and again."""
    bing = Bing.load()
    done = 0
    while done < number:
        for image in decoded(files[: number - done]):
            bing.propose(image, 10)
            done += 1
    return peak_mib()


def shard_times(files: list[Path]) -> dict[str, float]:
    """Run the workflow's job on a shard of 1,000 photos (the files again and again) and extrapolate to OHMS."""
    with tempfile.TemporaryDirectory() as folder:
        store, images = Path(folder) / "photos", Path(folder) / "images.parquet"
        names = [files[number % len(files)].name for number in range(SHARD)]
        table = pd.DataFrame({"image_id": [f"{n:04d}" for n in range(SHARD)], "path": names, "rotation": 0})
        write_shard(table, files[0].parent, *shard_files(store), long_side=512)
        stored_images(store).to_parquet(images, index=False)
        command = [sys.executable, __file__, str(files[0].parent), "--shard", folder]
        job = Job(lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL))
        times = interleave({"shard": job}, TURNS, cpu=children_seconds)["shard"]
        assert len(pd.read_parquet(f"{folder}/boxes.parquet")) == 10 * SHARD
    cpu, wall = min(times.cpu), min(times.wall)
    shards = math.ceil(OHMS / SHARD)
    rounds = math.ceil(shards / CORES)
    return {
        "shard_wall_s": wall,
        "shard_cpu_s": cpu,
        "ohms_minutes_16_cores": rounds * cpu / 60,  # on cores that nothing else uses
        "ohms_minutes_16_cores_as_loaded": rounds * wall / 60,
    }


def propose_shard(folder: Path) -> None:
    """Run the workflow's job on the shard under a folder, as Snakemake would."""
    job = SimpleNamespace(
        input=SimpleNamespace(images=folder / "images.parquet", weights=None),
        output=[folder / "boxes.parquet"],
        params=SimpleNamespace(photos=folder / "photos", options="{}", number=10, first=None),
        wildcards=SimpleNamespace(source="bing", shard="train-000"),
    )
    runpy.run_path(str(JOBS))["propose_shard"](job)


def children_seconds() -> float:
    """Processor seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    with plain_errors():
        main()
