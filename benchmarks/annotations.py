"""Measure box CSVs into OHMS tables at the real size: seconds and peak memory, on annotation files made here."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import peak_mib
from oac.command import plain_errors

FOLDER = Path("results/bench/annotations")
SIZES = {"train": (1_743_042, 14_610_229), "validation": (41_620, 303_980), "test": (125_436, 937_327)}


def generate(folder: Path, scale: float) -> None:
    """Write the files of all splits, unless an earlier call has; scale below 1 makes a smaller release."""
    from oac.data.openimages import box_file
    from open_images import Size, write_split

    for seed, (split, (images, boxes)) in enumerate(SIZES.items()):
        if not (folder / box_file(split)).exists():
            write_split(folder, split, Size(round(images * scale), round(boxes * scale), seed))


def convert(folder: Path, splits: list[str], out: Path) -> None:
    """Do what the workflow does with them, and print what it took; a process of its own, so that its peak is its own.

    Warm files and two threads are what a user's second look at the options has; the time is that of a process from
    its first import to the last byte.
    """
    began = time.monotonic()
    from oac.data.openimages import read_release
    from oac.data.subset import select
    from oac.data.tables import write_boxes

    release = read_release(folder, splits)
    read = time.monotonic()
    subset = select(release)
    selected = time.monotonic()
    subset.images.to_parquet(out / "images.parquet", index=False)
    write_boxes(subset.box_parts(), out / "boxes.parquet")
    subset.classes.to_csv(out / "classes.csv", index=False)
    done = time.monotonic()
    usage, peak = resource.getrusage(resource.RUSAGE_SELF), peak_mib()
    result = {
        "read_s": round(read - began, 1),
        "select_s": round(selected - read, 1),
        "write_s": round(done - selected, 1),
        "wall_s": round(done - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gib": peak and round(peak / 1024, 2),
        "rows": sum(int(step["boxes"]) for step in subset.steps if step["step"] == "listed"),
        "train_boxes_kept": subset.classes["train_boxes"].sum().item(),
        "images_kept": len(subset.images),
        "classes": len(subset.classes),
    }
    print(json.dumps(result))


def main() -> None:
    """Generate, then convert in processes of their own: train alone, and all three splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the generated files lie (2.9 GB)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the real size")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="leave the generated files there")
    parser.add_argument("--convert", nargs="+", metavar="SPLIT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        convert(options.folder, options.convert, options.folder)
        return
    generate(options.folder, options.scale)
    size = sum(path.stat().st_size for path in options.folder.rglob("*.csv"))
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{size / 1e9:.2f} GB of annotation files; load {load:.1f}, {cores} cores", flush=True)
    command = [sys.executable, __file__, "--folder", str(options.folder), "--convert"]
    for splits in (["train"], list(SIZES)):
        runs = []
        for _ in range(options.runs):
            done = subprocess.run([*command, *splits], check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout))
        fastest = min(runs, key=lambda run: run["wall_s"])
        print(f"{'+'.join(splits)}, fastest of {len(runs)}: {json.dumps(fastest)}", flush=True)
    if not options.keep:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    with plain_errors():
        main()
