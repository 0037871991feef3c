"""Boxes that may hold an object, for photos and folders of photos, best first.

    python -m oac.proposals PHOTOS... --out boxes.csv

image_id is a photo's path below the folder that was named. Boxes are of the pixels as they are stored: an EXIF
orientation is not applied, as in the workflow. A photo that cannot be read is named, the others go on, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from oac.allocation import keep_freed_memory
from oac.command import plain_errors
from oac.crop_options import FROM_PIXELS
from oac.data.decode import MissingPhotoError, read_rgb
from oac.data.photo_files import is_text, links_note
from oac.data.photos import find as find_below
from oac.proposals.box_files import SUFFIXES, Row, box_file
from oac.proposals.proposers import Proposer, proposer


class Photo(NamedTuple):
    """A photo to propose for."""

    image_id: str
    path: Path


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m oac.proposals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos, and folders that are searched at any depth")
    parser.add_argument("--source", choices=FROM_PIXELS, default="bing", help="how boxes are proposed")
    parser.add_argument("--count", type=int, default=10, help="boxes of a photo, at most")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"file to write: {', '.join(SUFFIXES)} (COCO's results)"
    )
    parser.add_argument("--draw", type=Path, help="folder for the photos with their boxes")
    parser.add_argument("--weights", help="bing: weights file; without it those in the package, trained on VOC2007")
    parser.add_argument("--model", help="model of opencv_bing (a folder) or edge_boxes (a file)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    if options.out.suffix not in SUFFIXES:
        parser.error(f"--out {options.out} must end in {', '.join(SUFFIXES)}")
    for name, sources in (("weights", ["bing"]), ("model", ["opencv_bing", "edge_boxes"])):
        if getattr(options, name) is not None and options.source not in sources:
            parser.error(f"--{name} has no meaning for --source {options.source}; remove it")
    if options.source == "opencv_bing" and options.model is None:
        parser.error("--source opencv_bing needs --model, the folder of ObjNessB2W8*.yml.gz")
    if options.count < 1 or options.workers < 1:
        parser.error("--count and --workers must be at least 1")
    return options


def main() -> int:
    """Propose, write, and return the exit code: 1 where a photo could not be read."""
    options = parse()
    photos, others = find(options.photos)
    unread = 0
    with box_file(options.out) as write:
        for row in tqdm(in_processes(photos, options), total=len(photos), unit="photo", disable=None):
            if isinstance(row, str):
                unread += 1
                tqdm.write(f"warning: {row}", file=sys.stderr)
            else:
                write(row)
    left = f"; files left out because their names are no photos': {others:,}" if others else ""
    print(f"{options.out}: boxes of {len(photos) - unread:,} photos{left}")
    if unread:
        print(f"{unread:,} of {len(photos):,} photos could not be read", file=sys.stderr)
    return 1 if unread else 0


def find(paths: Iterable[Path]) -> tuple[list[Photo], int]:
    """The photos that some files and folders hold, in order, and how many other files the folders hold.

    Raises ValueError where a path does not exist or is not UTF-8, two photos have one id, or there is no photo.
    """
    photos, others = [], 0
    for path in paths:
        if path.is_dir():
            found, other, links = find_below(path)
            print(*links_note(links), file=sys.stderr, end="\n" * bool(links))
            photos += [Photo(name, path / name) for name in found]
            others += len(other)
        elif not is_text(str(path)):
            raise ValueError(f"the name of the photo {str(path)!r} is not UTF-8: rename it")
        elif path.exists():
            photos.append(Photo(path.name, path))
        else:
            raise ValueError(f"{path} does not exist: name photos or folders of photos")
    ids = [photo.image_id for photo in photos]
    if len(set(ids)) < len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise ValueError(f"two photos would have the image_id {twice}: name a folder above both")
    return photos, others


def in_processes(photos: list[Photo], options: argparse.Namespace) -> Iterator[Row | str]:
    """A row for each photo, in order; a sentence for one that cannot be read."""
    settings = {"model": options.model} if options.model else {}
    start = functools.partial(_start, options.source, settings, options.weights, options.count, options.draw)
    start()  # here too: what is missing is said once, and in a sentence
    if options.workers == 1:
        yield from map(_propose, photos)
        return
    with ProcessPoolExecutor(options.workers, initializer=start) as pool:
        # A few photos ahead and no more, so that memory does not grow with the folder.
        waiting = iter(photos)
        pending = deque(pool.submit(_propose, photo) for photo in islice(waiting, 4 * options.workers))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(_propose, photo) for photo in islice(waiting, 1))


class _Worker(NamedTuple):
    propose: Proposer
    number: int
    draw: Path | None


_worker: _Worker


def _start(source: str, settings: dict[str, Any], weights: str | None, count: int, draw: Path | None) -> None:
    global _worker
    keep_freed_memory()
    _worker = _Worker(proposer(source, settings, weights), count, draw)


def _propose(photo: Photo) -> Row | str:
    try:
        image = read_rgb(photo.path.read_bytes())
        boxes, scores = _worker.propose(np.asarray(image), _worker.number)
    except (MissingPhotoError, OSError) as error:
        return f"{photo.path}: {error}"
    return _finished(photo, image, boxes, scores, _worker.draw)


def _finished(photo: Photo, image: Image.Image, boxes: np.ndarray, scores: np.ndarray, draw: Path | None) -> Row:
    """The row of a photo, whose boxes are drawn where that is asked for: the first is thick, the last thin."""
    if draw is not None:
        pen = ImageDraw.Draw(image)
        for rank in reversed(range(len(boxes))):
            corners = (boxes[rank] * [*image.size, *image.size]).tolist()
            pen.rectangle(corners, outline="#D55E00", width=4 if rank == 0 else 2)
        target = draw / f"{photo.image_id}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target)
    return Row(photo.image_id, image.size, boxes.astype(np.float32), scores.astype(np.float32))


if __name__ == "__main__":
    with plain_errors():
        sys.exit(main())
