"""Measure BING on this machine: time for a photo beside OpenCV's BING, memory, and a shard out of the store.

Everything runs on one thread and is timed by the processor time of that thread, which other jobs of the machine
disturb less than the clock on the wall; both are reported. The two are timed in turns on each photo; medians are
reported, and the median of the photos' ratios. Decoding is not counted but for the shard.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from oac.allocation import keep_freed_memory
from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import stored_images, write_shard
from oac.proposals.bing import Bing
from oac.proposals.opencv import OpenCVBing

OHMS, CORES, SHARD = 212_753, 16, 1000  # photos of the paper's subset; what its time is extrapolated to
LONG_SIDE = 500
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Measure what is asked for; print a line each and write all numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, such as VOCdevkit/VOC2007/JPEGImages")
    parser.add_argument(
        "--opencv-model", default=None, help="folder of ObjNessB2W8*.yml.gz; OpenCV is left out without"
    )
    parser.add_argument("--number", type=int, default=200, help="photos that are timed")
    parser.add_argument("--out", type=Path, default=Path("results/bench/proposals.json"))
    parser.add_argument("--memory", type=int, default=None, help=argparse.SUPPRESS)  # what a child process is asked
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
    result: dict[str, Any] = {"photos": len(files), "load_average": os.getloadavg()[0]}
    result |= times(list(decoded(files)), options.opencv_model)
    for count in (len(files), 4 * len(files)):
        command = [
            sys.executable,
            __file__,
            str(options.photos),
            "--number",
            str(options.number),
            "--memory",
            str(count),
        ]
        result[f"peak_mib_after_{count}"] = int(subprocess.run(command, capture_output=True, check=True).stdout)
    result |= shard(files)
    for name, value in result.items():
        print(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    with writing(options.out) as path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def decoded(files: list[Path]) -> Iterator[np.ndarray]:
    """The photos, one after the other, with a longest side of 500 px at the most."""
    for file in files:
        with Image.open(file) as image:
            image.thumbnail((LONG_SIDE, LONG_SIDE))
            yield np.asarray(image.convert("RGB"))


def times(images: list[np.ndarray], opencv_model: str | None) -> dict[str, float]:
    """Milliseconds for a photo, wall clock, and how many times OpenCV's."""
    bing = Bing.load()
    jobs: dict[str, Callable[[np.ndarray], Any]] = {
        "ours_10": lambda image: bing.propose(image, 10),
        "ours_1000": lambda image: bing.propose(image, 1000),
    }
    if opencv_model:
        jobs["opencv"] = lambda image: OpenCVBing(opencv_model).propose(image, 10)
    for job in jobs.values():  # first calls load code and make the maps of a photo size
        for image in images[:10]:
            job(image)
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for image in images:
        for name, job in jobs.items():
            start, begun = time.perf_counter(), time.thread_time()
            job(image)
            spent[name].append(1000 * (time.thread_time() - begun))
            wall[name].append(1000 * (time.perf_counter() - start))
    result = {f"{name}_ms": float(np.median(values)) for name, values in spent.items()}
    result |= {f"{name}_wall_ms": float(np.median(values)) for name, values in wall.items()}
    if opencv_model:
        result["times_opencv"] = float(np.median(np.divide(spent["opencv"], spent["ours_10"])))
        result["times_opencv_wall"] = float(np.median(np.divide(wall["opencv"], wall["ours_10"])))
    return result


def peak_memory(files: list[Path], number: int) -> int:
    """Peak resident MiB of this process after so many photos, the files again and again."""
    bing = Bing.load()
    done = 0
    while done < number:
        for image in decoded(files[: number - done]):
            bing.propose(image, 10)
            done += 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def shard(files: list[Path]) -> dict[str, float]:
    """Run the workflow's job on a shard of 1,000 photos (the files again and again) and extrapolate to OHMS."""
    with tempfile.TemporaryDirectory() as folder:
        base, store = Path(files[0]).parent, Path(folder) / "photos"
        names = [files[number % len(files)].name for number in range(SHARD)]
        table = pd.DataFrame({"image_id": [f"{n:04d}" for n in range(SHARD)], "path": names, "rotation": 0})
        paths = [store / f"train/train-000{end}" for end in (".tar", ".index.parquet", ".missing.csv")]
        write_shard(table, base, *paths, long_side=512)
        images = Path(folder) / "images.parquet"
        stored_images(store).to_parquet(images, index=False)
        script = Path(__file__).with_name("propose_shard.py")
        command = [sys.executable, str(script), "--images", str(images), "--photos", str(store)]
        command += ["--shard", "train-000", "--source", "bing", "--options", "{}", "--count", "10"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, "--out", f"{folder}/boxes.parquet"], check=True, stderr=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert len(pd.read_parquet(f"{folder}/boxes.parquet")) == 10 * SHARD
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shards = -(-OHMS // SHARD)
    rounds = -(-shards // CORES)
    return {
        "shard_wall_s": wall,
        "shard_cpu_s": cpu,
        "ohms_minutes_16_cores": rounds * cpu / 60,  # on cores that nothing else uses
        "ohms_minutes_16_cores_as_loaded": rounds * wall / 60,
    }


if __name__ == "__main__":
    with plain_errors():
        main()
