"""Make boxes.png, own_loop.png, idea.png and own_photos.png of synthetic images: their boxes, and views cut of them.

python docs/figures/make.py, in the environment of `make`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw

from oac.data import synthetic
from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import DRAWS, CropPolicy, Views, draw_views, scale_lower_bound
from oac.proposals import Bing
from oac.report.contact_sheet import COLOURS, DRAWN
from oac.report.photo_panels import outline
from oac.transforms import ObjectAwareCrop

FOLDER, SIDE, GAP = Path(__file__).parent, 288, 12
REPOSITORY = FOLDER.parents[1]
LOOP_SEED = 25  # of which both boxes drawn are around one object
IDEA_SEED = 443  # of which the crops show what the text says: views of two objects, and of one


def main() -> None:
    """Write the four pictures."""
    with tempfile.TemporaryDirectory() as folder:
        design = {"size": SIDE, "objects": (3, 4), "object_sizes": (0.3, 0.36, 0.42), "gratings": 4}
        synthetic.write_release(folder, seed=5, train=8, validation=1, test=1, **design)
        photos = [Image.open(path).convert("RGB") for path in sorted(Path(folder, "train").glob("*.jpg"))]
        own_photos(Path(folder))
    boxes = [Bing.load().propose(np.asarray(photo), 10)[0] for photo in photos]
    beside([with_boxes(photo, found) for photo, found in zip(photos[:3], boxes, strict=False)]).save(
        FOLDER / "boxes.png"
    )
    draw_loop(photos[:2], boxes[:2])
    draw_idea(photos[2], boxes[2])


def own_photos(folder: Path) -> None:
    """The crops of the study my_photos, as its page shows them: docs/own_photos.md has the command of the page."""
    picture = "results/my_photos/report/figures/crops_object-dilate.png"
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--directory", folder]
    options = ["--cores", "1", "--configfile", REPOSITORY / "config/config.yaml", "--config", "photos=train"]
    subprocess.run([*snakemake, picture, *options], check=True)
    (FOLDER / "own_photos.png").write_bytes((folder / picture).read_bytes())


def draw_loop(photos: list[Image.Image], boxes: list[np.ndarray]) -> None:
    """Two images with their boxes, and the two views that the transform of docs/own_loop.md cuts of each."""
    figure, places = plt.subplots(2, 3, figsize=(7.2, 5.2), layout="constrained")
    for number, (photo, found, row) in enumerate(zip(photos, boxes, places, strict=True)):
        crop = ObjectAwareCrop(
            "object-dilate", size=SIDE, generator=torch.Generator().manual_seed(LOOP_SEED + number)
        )
        views = crop(photo, found)
        # The transform says nothing of where it cut: the same random numbers give the same crops again.
        u = torch.rand(1, DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(LOOP_SEED + number))
        draw_row(row, photo, cut("object-dilate", found, u.numpy()), views, list(found), drawn=True)
    for place, title in zip(places[0], ("image, its boxes, the two crops", *COLOURS), strict=True):
        place.set_title(title, fontsize=10)
    figure.savefig(FOLDER / "own_loop.png", dpi=110)


def draw_idea(photo: Image.Image, boxes: np.ndarray) -> None:
    """The two crops of the photo, and the two around a box, each beside its views."""
    figure, places = plt.subplots(2, 3, figsize=(7.2, 5.2), layout="constrained")
    titles = {
        "scene-scene": "scene-scene: in the whole image",
        "object-dilate": "object-dilate: around a box (pink)",
    }
    for (policy, title), row in zip(titles.items(), places, strict=True):
        crops = cut(policy, boxes, np.random.default_rng(IDEA_SEED).random((1, DRAWS)))
        views = [
            photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=tuple(box))
            for box in (crops.query[0], crops.key[0])
        ]
        draw_row(row, photo, crops, views, drawn=policy != "scene-scene")
        row[0].set_title(title, fontsize=10, loc="left")
        for place, name in zip(row[1:], COLOURS, strict=True):
            place.set_title(name, fontsize=10)
    figure.savefig(FOLDER / "idea.png", dpi=110)


def cut(policy: str, boxes: np.ndarray, u: np.ndarray) -> Views:
    """Where a policy cuts a photo of SIDE x SIDE pixels by these random numbers."""
    crops = CropPolicy(policy, boxes=None if policy == "scene-scene" else "bing")
    lower = scale_lower_bound((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0.5)
    whole = Boxes.pack([boxes]).box[0][None]
    return draw_views(crops, lower, whole, np.array([len(boxes)]), np.array([[SIDE, SIDE]], float), u)


def draw_row(
    row: np.ndarray,
    photo: Image.Image,
    crops: Views,
    views: Sequence[Image.Image],
    boxes: Sequence[np.ndarray] = (),
    *,
    drawn: bool,
) -> None:
    """A photo with these of its boxes, its crops and, dashed, the box that was drawn and the region grown by delta.

    Beside it its two views. Colours are those of the report's contact sheets.
    """
    row[0].imshow(photo)
    for box in boxes:
        outline(row[0], box * SIDE, "white", 0.6, rim=0.4)
    for box, view, colour, place in zip(
        (crops.query[0], crops.key[0]), views, COLOURS.values(), row[1:], strict=True
    ):
        outline(row[0], box, colour, 2, rim=0.8)
        place.imshow(view)
        for side in place.spines.values():
            side.set(color=colour, linewidth=3)
    if drawn:
        second = int(not crops.swapped[0])
        outline(row[0], crops.regions[0, 1], list(COLOURS.values())[second], 1.3, dashes=(0, (4, 4)))
        outline(row[0], crops.box[0], DRAWN, 2, dashes=(0, (4, 2)))
    for place in row:
        place.set(xticks=[], yticks=[])


def with_boxes(photo: Image.Image, boxes: np.ndarray) -> Image.Image:
    """A photo with its boxes, the best one thick."""
    copy = photo.copy()
    for rank in reversed(range(len(boxes))):
        corners = (boxes[rank] * SIDE).tolist()
        ImageDraw.Draw(copy).rectangle(corners, outline=DRAWN, width=4 if rank == 0 else 2)
    return copy


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    row = Image.new("RGB", (len(pictures) * (SIDE + GAP) - GAP, SIDE), "white")
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (SIDE + GAP), 0))
    return row


if __name__ == "__main__":
    main()
