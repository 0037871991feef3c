"""What a crop policy does: photos with their boxes, and the two views cut from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from oac.pretrain import augment
from oac.pretrain.augment import Augmentation
from oac.pretrain.crops import CropPolicy
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.loader import Batch, Boxes, ViewBatches
from oac.report.photo_panels import dark_rim, outline, show_photo
from oac.report.results import boxes_of
from oac.report.style import SMALL, WIDTH, entitle, legend_below, styled

FIRST, SECOND = "first view", "second view"
COLOURS = {FIRST: "#FFB000", SECOND: "#648FFF"}
DRAWN = "#DC267F"  # the proposal that was drawn
AUGMENTED = ", augmented"
COLUMNS = 2  # photos in a row
PHOTO_WIDTH = 2.5  # of its column, in widths of a view; the two views stand one above the other


@dataclass(frozen=True)
class Sample:
    """One photo as a run sees it, with boxes as xmin, ymin, xmax, ymax in pixels of the photo.

    proposals: (k, 4); box: (4,), the proposal that was drawn; regions: (4,) by view name, where a view is cropped
    in; crops: (4,) by view name; views: (S, S, 3) uint8 by column title.
    """

    image_id: str
    photo: Image.Image
    proposals: np.ndarray
    box: np.ndarray
    regions: dict[str, np.ndarray]
    crops: dict[str, np.ndarray]
    views: dict[str, np.ndarray]


def first_samples(
    photos: HostPhotos,
    boxes: Boxes,
    policy: CropPolicy,
    scale_lower: float,
    *,
    view_size: int,
    augmentation: Augmentation,
    seed: int = 0,
    count: int = 6,
) -> list[Sample]:
    """Take the first `count` samples that a run of this seed trains on, with the boxes they are cut by.

    They come from the loader itself, at the size the network gets. All policies show the same photos for one seed.

    photos: HostPhotos(folder, train images, resident_gib=0); boxes: Boxes.pack(boxes_by_image(proposals, train ids)),
    for scene-scene of any source; scale_lower: s_min as the run uses it; view_size, augmentation: the run's. Raises
    ValueError where there are no photos or count < 1.
    """
    if count < 1:
        raise ValueError(f"a contact sheet shows at least 1 photo, not {count}")
    size = max(min(count, len(photos)), 1)
    none = np.zeros((len(photos), 0), np.uint8)
    batches = ViewBatches(photos, boxes, none, policy, scale_lower, seed=seed, batch_size=size, view_size=view_size)
    batch = batches[0]
    # The loader replaces photos that it cannot read, and names the replacement in the batch.
    shown = [photo.at(1) for index in batch.image if (photo := photos[int(index)])]
    cut = batches.draw_views(batch.epoch, batch.item, np.array([photo.size for photo in shown], float))
    plain, augmented = (batch.query, batch.key), _augmented(batch, augmentation, seed, view_size)
    pixels = [[view.permute(0, 2, 3, 1).contiguous().numpy() for view in pair] for pair in (plain, augmented)]
    return [
        Sample(
            photos.image_ids[index],
            photo,
            boxes.box[index, : boxes.count[index]] * np.tile(photo.size, 2),
            cut.box[row],
            dict(zip(COLOURS, cut.regions[row], strict=True)),
            _by_view((cut.query, cut.key), row, cut.swapped),
            {
                name + words: view
                for words, pair in zip(("", AUGMENTED), pixels, strict=True)
                for name, view in _by_view(pair, row, cut.swapped).items()
            },
        )
        for row, (index, photo) in enumerate(zip(batch.image, shown, strict=True))
    ]


@styled()
def contact_sheet(samples: Sequence[Sample], policy: CropPolicy, scale_lower: float, name: str) -> Figure:
    """Show samples and where their two views were cut.

    samples, policy, scale_lower: as in `first_samples`; name: the crop variant's key in the study file.
    """
    rows = -(-len(samples) // COLUMNS)
    view = WIDTH / COLUMNS / (PHOTO_WIDTH + 2.2)
    figure = Figure(figsize=(WIDTH, rows * (2 * view + 0.3) + 0.6))
    parts = figure.subfigures(rows, COLUMNS, squeeze=False).flat
    for sample, part in zip(samples, parts, strict=False):  # the last row may have room left
        # Nothing to see, but its edge is at 0 or -0 as rounding has it, and the PDF would tell.
        part.patch.set_visible(False)
        grid = part.add_gridspec(2, 3, width_ratios=[PHOTO_WIDTH, 1.0, 1.0])
        _draw_photo(part.add_subplot(grid[:, 0]), sample, policy)
        for number, (title, pixels) in enumerate(sample.views.items()):
            _draw_view(part.add_subplot(grid[number % 2, 1 + number // 2]), pixels, title)
    entitle(figure, _title(name, policy, scale_lower))
    _legend(figure, policy)
    figure.set_label(_caption(name, policy))  # what a page writes below it
    return figure


def _by_view(pair: Sequence[np.ndarray], row: int, swapped: np.ndarray) -> dict[str, np.ndarray]:
    """What query and key of a photo have, by the policy's views: which of these is the query was drawn at random."""
    return dict(zip(COLOURS, (part[row] for part in pair[:: -1 if swapped[row] else 1]), strict=True))


def _augmented(batch: Batch, settings: Augmentation, seed: int, view_size: int) -> list[Tensor]:
    """Query and key after augmentation with the run's own random numbers, brought back to the range of a picture."""
    query, key = augment.view_draws(seed, batch.epoch, batch.item)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (augment.MEAN, augment.STD))
    views = []
    for view, draws in ((batch.query, query), (batch.key, key)):
        changed = augment.augment(view, augment.draw_parameters(settings, draws, view_size))
        views.append(((changed * std + mean) * 255).round().clamp(0, 255).to(torch.uint8))
    return views


def _draw_photo(axes: Axes, sample: Sample, policy: CropPolicy) -> None:
    """The photo with its proposals, the drawn one, the regions (dashed) and the two crops (solid)."""
    show_photo(axes, np.asarray(sample.photo))
    axes.set_xlabel(sample.image_id, fontsize=SMALL, labelpad=5)
    if policy.needs_boxes:
        for box in sample.proposals:
            outline(axes, box, "white", 0.6, rim=0.4)
        outline(axes, sample.box, DRAWN, 1.8, rim=0.8)
    for number, (name, region) in enumerate(sample.regions.items()):
        # The dashes of the second view fall into the gaps of the first one's, so that equal regions show both.
        outline(axes, region, COLOURS[name], 1.3, dashes=(4 * number, (4, 4)))
    for name, crop in sample.crops.items():
        outline(axes, crop, COLOURS[name], 1.6, rim=0.8)
    # As released, regions leave the photo; beside it all is black.
    width, height = sample.photo.size
    reach = np.stack([*sample.regions.values(), *sample.crops.values()])
    axes.set_facecolor("black")
    axes.set_xlim(min(0, reach[:, 0].min()), max(width, reach[:, 2].max()))
    axes.set_ylim(max(height, reach[:, 3].max()), min(0, reach[:, 1].min()))


def _draw_view(axes: Axes, view: np.ndarray, title: str) -> None:
    """A view, pixel by pixel, framed in its colour."""
    show_photo(axes, view, interpolation="nearest", gid=title)
    axes.spines[:].set(visible=True, color=COLOURS[title.removesuffix(AUGMENTED)], linewidth=2.2)
    if title == SECOND + AUGMENTED:
        axes.set_xlabel("augmented", fontsize=SMALL, labelpad=2)


def _title(name: str, policy: CropPolicy, scale_lower: float) -> str:
    """The crop variant, its policy where the name does not tell it, and what decides the crops."""
    parts = [name if name == policy.policy else f"{name}: {policy.policy}"]
    if policy.needs_boxes:
        parts += [boxes_of(policy.boxes or "") + (", each an item" if policy.items == "box" else "")]
        ranges = [f"{100 * low:g}–{100 * high:g} %" for low, high in policy.scales or ()]
        parts += [f"crops {' and '.join(ranges)}" if ranges else f"s_min = {scale_lower:.2f}"]
    if policy.policy in ("scene-scene", "object-scene"):
        parts.append(f"scene crops {100 * policy.scene_scale[0]:g}–{100 * policy.scene_scale[1]:g} % of the photo")
    if policy.policy == "object-dilate":
        parts.append(f"δ = {policy.delta:g}" + (" of the coordinate" if policy.dilation == "coordinate" else ""))
    if policy.smallest_box == "released":
        parts.append("small boxes grown")
    # A line ends between two parts.
    return "\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}·  ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def _caption(name: str, policy: CropPolicy) -> str:
    """What is to be seen: the crop variant, how it cuts its views, and of what its boxes are."""
    grown = f"{100 * policy.delta:g} % of " + (
        "each edge's coordinate" if policy.dilation == "coordinate" else "the photo's side"
    )
    views = {
        "scene-scene": "both views are random crops of the whole photo, so they may show different objects",
        "object-scene": "the first view is cropped inside a box, the second is a random crop of the whole photo",
        "object-object": "both views are cropped inside the same box",
        "object-shift": "the first view is cropped inside a box, the second inside the same box moved aside",
        "object-dilate": f"the first view is cropped inside a box, the second inside the same box grown by {grown}",
    }.get(policy.policy, "a photo with its two views")
    boxes = {
        "bing": "Boxes are BING's proposals, of which one is drawn for a photo.",
        "ground_truth": "Boxes are the annotated ones, of which one is drawn for a photo.",
        "random": "Boxes have the sizes of BING's and lie at random places, so a view may hold no object.",
    }
    named, said = f"{name}: {views}.", ""
    if policy.needs_boxes and (source := policy.boxes):
        named = f"{name} ({boxes_of(source)}): {views}."
        said = boxes.get(source, f"Boxes are {boxes_of(source)}, of which one is drawn for a photo.")
    shown = "Beside a photo stand its two views as they are cut, and augmented as in training."
    return " ".join(filter(None, [named, said, shown]))


def _legend(figure: Figure, policy: CropPolicy) -> None:
    """What the outlines mean."""
    looks: dict[str, dict[str, Any]] = {name: {"color": colour, "lw": 2.2} for name, colour in COLOURS.items()}
    looks["region a view is cropped in"] = {"color": COLOURS[FIRST], "lw": 1.5, "ls": "--"}
    if policy.needs_boxes:
        looks["boxes"] = {"color": "white", "lw": 0.8, "path_effects": dark_rim(0.8, 0.5)}
        looks["the one drawn"] = {"color": DRAWN, "lw": 2.0, "path_effects": dark_rim(2.0, 0.7)}
    legend_below(figure, looks, len(looks), columnspacing=1.4)
