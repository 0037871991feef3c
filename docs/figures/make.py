"""Make boxes.png, own_loop.png and idea.png: BING boxes of synthetic images, and two views that are cut of them."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

from oac.data import synthetic
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import DRAWS, CropPolicy, draw_views, scale_lower_bound
from oac.proposals import Bing
from oac.transforms import ObjectAwareCrop

FOLDER, SIDE, GAP = Path(__file__).parent, 288, 12
COLOURS = ("#0072B2", "#009E73")  # of the first and the second view
IDEA_SEED = 3  # of which the crops show what the text says: views of two objects, and of one


def main() -> None:
    """Write the three pictures."""
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
    draw_idea(photos[2], boxes[2])


def draw_idea(photo: Image.Image, boxes: np.ndarray) -> None:
    """The two crops of the photo, and the two around a box, each beside its views."""
    figure, places = plt.subplots(2, 3, figsize=(7.2, 5.2), layout="constrained")
    titles = {
        "scene-scene": "scene-scene: two crops of the photo",
        "object-dilate": "object-dilate: around a proposed box",
    }
    for (policy, title), row in zip(titles.items(), places, strict=True):
        whole = Boxes.pack([boxes]).box[0][None]
        u = np.random.default_rng(IDEA_SEED).random((1, DRAWS))
        lower = scale_lower_bound((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0.5)
        crops = CropPolicy(policy, boxes=None if policy == "scene-scene" else "bing")
        views = draw_views(crops, lower, whole, np.array([len(boxes)]), np.array([[SIDE, SIDE]], float), u)
        row[0].imshow(photo)
        row[0].set_title(title, fontsize=10, loc="left")
        for box, colour, place, name in zip(
            (views.query[0], views.key[0]), COLOURS, row[1:], ("first view", "second view"), strict=True
        ):
            left, top, right, bottom = box
            frame = {"fill": False, "edgecolor": colour, "linewidth": 2.5}
            row[0].add_patch(plt.Rectangle((left, top), right - left, bottom - top, **frame))
            place.imshow(photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=tuple(box)))
            place.set_title(name, fontsize=10, color=colour)
            for side in place.spines.values():
                side.set(color=colour, linewidth=2.5)
        for place in row:
            place.set(xticks=[], yticks=[])
    figure.savefig(FOLDER / "idea.png", dpi=110)


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
