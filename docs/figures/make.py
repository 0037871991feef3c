"""Make boxes.png and own_loop.png: BING boxes of synthetic images, and two views that the transform cuts of them."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from oac.data import synthetic
from oac.proposals import Bing
from oac.transforms import ObjectAwareCrop

FOLDER, SIDE, GAP = Path(__file__).parent, 288, 12
COLOURS = ("#0072B2", "#009E73")  # of the first and the second view


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        design = {"size": SIDE, "objects": (3, 4), "object_sizes": (0.3, 0.36, 0.42), "gratings": 4}
        synthetic.write_release(folder, seed=5, train=8, validation=1, test=1, **design)
        photos = [Image.open(path).convert("RGB") for path in sorted(Path(folder, "train").glob("*.jpg"))]
    boxes = [Bing.load().propose(np.asarray(photo), 10)[0] for photo in photos]
    beside([with_boxes(photo, found) for photo, found in zip(photos[:3], boxes, strict=False)]).save(
        FOLDER / "boxes.png"
    )
    torch.manual_seed(1)
    rows = []
    for photo, found in zip(photos[:2], boxes, strict=False):
        views = ObjectAwareCrop("object-dilate", size=SIDE)(photo, found)
        rows.append(beside([with_boxes(photo, found), *(framed(*pair) for pair in zip(views, COLOURS, strict=True))]))
    whole = Image.new("RGB", (rows[0].width, 2 * SIDE + GAP), "white")
    for place, row in enumerate(rows):
        whole.paste(row, (0, place * (SIDE + GAP)))
    whole.save(FOLDER / "own_loop.png")


def with_boxes(photo: Image.Image, boxes: np.ndarray) -> Image.Image:
    """A photo with its boxes, the best one thick."""
    copy = photo.copy()
    for rank in reversed(range(len(boxes))):
        corners = (boxes[rank] * SIDE).tolist()
        ImageDraw.Draw(copy).rectangle(corners, outline="#D55E00", width=4 if rank == 0 else 2)
    return copy


def framed(view: Image.Image, colour: str) -> Image.Image:
    """A view in a frame."""
    ImageDraw.Draw(view).rectangle((0, 0, SIDE - 1, SIDE - 1), outline=colour, width=4)
    return view


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    row = Image.new("RGB", (len(pictures) * (SIDE + GAP) - GAP, SIDE), "white")
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (SIDE + GAP), 0))
    return row


if __name__ == "__main__":
    main()
