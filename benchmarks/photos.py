"""Measure a shard's job beside decoding and encoding alone, and random reads from a large store beside memory."""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import shard
import store
from oac.command import plain_errors


def main() -> None:
    """Measure both; print the numbers, and how busy the machine is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("results/bench/store"), help="for the store (7 GB)")
    parser.add_argument("--stored", type=int, default=100_000, help="photos in the store")
    parser.add_argument("--shard", type=int, default=1000, help="photos of the shard")
    parser.add_argument("--only", choices=["shard", "store"])
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} cores", flush=True)
    if options.only != "store":
        print(json.dumps({"shard": shard.measure(options.shard)}), flush=True)
    if options.only != "shard":
        options.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            print(json.dumps({"store": store.measure(folder, options.stored)}), flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    with plain_errors():
        main()
