"""Fetch the photos of one shard and write them into the image store."""

import argparse

import pandas as pd

from oac.command import plain_errors
from oac.data.store import write_shard


def main() -> None:
    """Parse the command line and write the shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selection", required=True, help="table of the chosen photos and their shards")
    parser.add_argument("--shard", required=True)
    parser.add_argument("--location", required=True, help="folder or address that the photos' paths are relative to")
    parser.add_argument("--long-side", type=int, required=True)
    parser.add_argument("--quality", type=int, required=True)
    parser.add_argument("--orientation", choices=("stored", "exif"), required=True, help="exif turns photos by it")
    parser.add_argument("--max-missing-share", type=float, required=True)
    parser.add_argument("--connections", type=int, default=16, help="requests in flight, at most, to a host")
    parser.add_argument("--threads", type=int, default=None, help="photos decoded at a time; default: all cores")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds without a byte after which to ask again")
    for name in ("tar", "index", "missing"):
        parser.add_argument(f"--{name}", required=True, help="file to write")
    options = parser.parse_args()
    photos = pd.read_parquet(options.selection)
    write_shard(
        photos[photos["shard"] == options.shard],
        options.location,
        options.tar,
        options.index,
        options.missing,
        long_side=options.long_side,
        quality=options.quality,
        exif=options.orientation == "exif",
        max_missing_share=options.max_missing_share,
        connections=options.connections,
        threads=options.threads,
        timeout=options.timeout,
    )


if __name__ == "__main__":
    with plain_errors():
        main()
