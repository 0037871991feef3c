"""What a crop policy does, to look at: photos with their boxes, and the two views cut from each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, withStroke
from PIL import Image
from torch import Tensor

from oac.pretrain import augment
from oac.pretrain.augment import Augmentation
from oac.pretrain.crops import CropPolicy, Views
from oac.pretrain.loader import Batch, Boxes, ViewBatches
from oac.pretrain.photos import Photos
from oac.report.style import SMALL, WIDTH, styled
from oac.report.tables import BOX_NAMES

COLOURS = {"query": "#FFB000", "key": "#648FFF"}
ABREAST = 2  # photos in a row
TITLE_LENGTH = 105  # characters of a line over the whole sheet
PHOTO_WIDTH = 2.5  # of its column, in widths of a view; the two views stand one above the other


@dataclass(frozen=True)
class Sample:
    """One photo as a run sees it.

    proposals: (k, 4), box: (4,), regions and cuts by view name: (4,), all in pixels of the photo; views by
    column title: (S, S, 3) uint8.
    """

    image_id: str
    photo: Image.Image
    proposals: np.ndarray
    box: np.ndarray
    regions: dict[str, np.ndarray]
    cuts: dict[str, np.ndarray]
    views: dict[str, np.ndarray]


@styled
def contact_sheet(
    photos: Photos,
    boxes: Boxes,
    policy: CropPolicy,
    scale_lower: float,
    *,
    name: str,
    seed: int = 0,
    count: int = 6,
    view_size: int = 64,
    augmentation: Augmentation | None = None,
) -> Figure:
    """Show the first `count` samples that a run of this seed trains on, and how its two views were cut.

    The views come from the loader itself, at the size the network gets. All policies show the same photos for
    one seed.

    photos: Photos(folder, train image ids, resident_gib=0); boxes: Boxes.pack(boxes_by_image(proposals, train ids)),
    for scene-scene of any source; scale_lower: s_min as the run uses it; name: the crop line's key in the study
    file; view_size: the run's; augmentation: the run's, to show the augmented views beside; None leaves them out.
    Raises ValueError where there are no photos or count < 1.
    """
    if count < 1:
        raise ValueError(f"a contact sheet shows at least 1 photo, not {count}")
    samples = draw_samples(photos, boxes, policy, scale_lower, seed, count, view_size, augmentation)
    rows = -(-len(samples) // ABREAST)
    columns = len(samples[0].views) // 2
    view = WIDTH / ABREAST / (PHOTO_WIDTH + columns + 0.2)
    figure = Figure(figsize=(WIDTH, rows * (2 * view + 0.3) + 0.6))
    for place, part in enumerate(figure.subfigures(rows, ABREAST, squeeze=False).flat):
        if place < len(samples):
            grid = part.add_gridspec(2, 1 + columns, width_ratios=[PHOTO_WIDTH] + [1.0] * columns)
            _draw_photo(part.add_subplot(grid[:, 0]), samples[place], policy)
            for number, (title, pixels) in enumerate(samples[place].views.items()):
                _draw_view(part.add_subplot(grid[number % 2, 1 + number // 2]), pixels, title)
    figure.suptitle(_title(name, policy, scale_lower), fontsize=10, x=0.01, ha="left")
    _legend(figure, policy)
    return figure


def draw_samples(
    photos: Photos,
    boxes: Boxes,
    policy: CropPolicy,
    scale_lower: float,
    seed: int,
    count: int,
    view_size: int,
    augmentation: Augmentation | None,
) -> list[Sample]:
    """Take the first `count` samples of a run from the loader, with the geometry they were cut by."""
    count = min(count, len(photos))
    none = np.zeros((len(photos), 0), np.uint8)
    batches = ViewBatches(
        photos, boxes, none, policy, scale_lower, seed=seed, batch_size=max(count, 1), view_size=view_size
    )
    batch = batches[0]
    found = [photos[int(index)] for index in batch.image]
    shown = [None if photo is None else photo.at(1) for photo in found]
    size = np.array([photo.size for photo in shown if photo is not None], float)
    cut = batches.cut_where(batch.epoch, batch.item, size)
    views = {"query": _pixels(batch.query), "key": _pixels(batch.key)}
    if augmentation:
        views |= _augmented(batch, augmentation, seed, view_size)
    return [
        _sample(
            photos.image_ids[int(index)],
            shown[row],
            boxes,
            int(index),
            cut,
            row,
            {k: v[row] for k, v in views.items()},
        )
        for row, index in enumerate(batch.image)
    ]


def _sample(
    image_id: str,
    photo: Image.Image | None,
    boxes: Boxes,
    index: int,
    cut: Views,
    row: int,
    views: dict[str, np.ndarray],
) -> Sample:
    """Gather one row of a batch; which view is the query was drawn at random."""
    assert photo is not None  # the loader replaced unreadable photos, and names the replacement in the batch
    swapped = int(cut.swapped[row])
    proposals = boxes.box[index, : boxes.count[index]] * np.tile(photo.size, 2)
    regions = {"query": cut.regions[row, swapped], "key": cut.regions[row, 1 - swapped]}
    return Sample(
        image_id, photo, proposals, cut.box[row], regions, {"query": cut.query[row], "key": cut.key[row]}, views
    )


def _pixels(views: Tensor) -> np.ndarray:
    """Views (B, 3, S, S) as pictures (B, S, S, 3)."""
    return views.permute(0, 2, 3, 1).contiguous().numpy()


def _augmented(batch: Batch, settings: Augmentation, seed: int, view_size: int) -> dict[str, np.ndarray]:
    """The views after augmentation with the run's own random numbers, brought back to the range of a picture."""
    query, key = augment.view_draws(seed, batch.epoch, batch.item)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (augment.MEAN, augment.STD))
    views = {}
    for name, view, draws in (("query", batch.query, query), ("key", batch.key, key)):
        changed = augment.augment(view, augment.draw_parameters(settings, draws, view_size))
        pixels = ((changed * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        views[f"{name}, augmented"] = _pixels(pixels)
    return views


def _draw_photo(axes: Axes, sample: Sample, policy: CropPolicy) -> None:
    """The photo with its proposals, the drawn one, the regions (dashed) and the two cuts (solid)."""
    width, height = sample.photo.size
    axes.imshow(np.asarray(sample.photo), extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(sample.image_id, fontsize=SMALL, labelpad=2)
    if policy.needs_boxes:
        for box in sample.proposals:
            _outline(axes, box, "white", 0.6, halo=0.4)
        _outline(axes, sample.box, "white", 1.8)
    for number, (name, region) in enumerate(sample.regions.items()):
        # The dashes of the key fall into the gaps of the query's, so that equal regions show both.
        _outline(axes, region, COLOURS[name], 1.3, dashes=(4 * number, (4, 4)), halo=0.0)
    for name, cut in sample.cuts.items():
        _outline(axes, cut, COLOURS[name], 1.6)
    # As released, regions leave the photo; beside it all is black.
    reach = np.stack([*sample.regions.values(), *sample.cuts.values()])
    axes.set_facecolor("black")
    axes.set_xlim(min(0, reach[:, 0].min()), max(width, reach[:, 2].max()))
    axes.set_ylim(max(height, reach[:, 3].max()), min(0, reach[:, 1].min()))


def _outline(
    axes: Axes,
    box: np.ndarray,
    colour: str,
    width: float,
    *,
    dashes: tuple[int, tuple[int, int]] | None = None,
    halo: float = 0.8,
) -> None:
    """A box in pixels, with a dark rim that sets it off from light and dark ground alike."""
    x, y, right, bottom = box.tolist()
    rim = [withStroke(linewidth=width + 2 * halo, foreground="black"), Normal()] if halo else []
    axes.add_patch(
        Rectangle(
            (x, y),
            right - x,
            bottom - y,
            fill=False,
            ec=colour,
            lw=width,
            ls=dashes or "-",
            path_effects=rim,
            clip_on=False,
        )
    )


def _draw_view(axes: Axes, view: np.ndarray, title: str) -> None:
    """A view, pixel by pixel, framed in its colour."""
    name = title.split(",")[0]
    colour = COLOURS[name]
    axes.imshow(view, interpolation="nearest", gid=title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color=colour, linewidth=2.2)
    if title == "key, augmented":
        axes.set_xlabel("augmented", fontsize=SMALL, labelpad=2)


def _title(name: str, policy: CropPolicy, scale_lower: float) -> str:
    """The crop line, its policy where the name does not tell it, and what decides the crops."""
    parts = [name if name == policy.policy else f"{name}: {policy.policy}"]
    if policy.needs_boxes:
        source = policy.boxes or ""
        parts += [f"{BOX_NAMES.get(source, source)} boxes" + (", each an item" if policy.items == "box" else "")]
        ranges = [f"{100 * low:g}–{100 * high:g} %" for low, high in policy.scales or ()]
        parts += [f"crops {' and '.join(ranges)}" if ranges else rf"$s_\mathrm{{min}}$ = {scale_lower:.2f}"]
    if policy.policy in ("scene-scene", "object-scene"):
        parts.append(f"scene crops {100 * policy.scene_scale[0]:g}–{100 * policy.scene_scale[1]:g} % of the photo")
    if policy.policy == "object-dilate":
        parts.append(f"δ = {policy.delta:g}" + (" of the coordinate" if policy.dilation == "coordinate" else ""))
    if policy.smallest_box == "released":
        parts.append("small boxes grown")
    title = "  ·  ".join(parts)
    if len(title) <= TITLE_LENGTH:
        return title
    half = (len(parts) + 1) // 2
    return "\n".join("  ·  ".join(some) for some in (parts[:half], parts[half:]))


def _legend(figure: Figure, policy: CropPolicy) -> None:
    """What the outlines mean."""
    rim = [withStroke(linewidth=3.4, foreground="black"), Normal()]
    entries = [(name, Line2D([], [], color=colour, lw=2.2)) for name, colour in COLOURS.items()]
    entries.append(("region a view is cut in", Line2D([], [], color=COLOURS["query"], lw=1.5, ls="--")))
    if policy.needs_boxes:
        entries.append(
            (
                "proposals",
                Line2D(
                    [],
                    [],
                    color="white",
                    lw=0.8,
                    path_effects=[withStroke(linewidth=1.8, foreground="black"), Normal()],
                ),
            )
        )
        entries.append(("the one drawn", Line2D([], [], color="white", lw=2.0, path_effects=rim)))
    names, handles = zip(*entries, strict=True)
    figure.legend(handles, names, loc="outside lower left", ncols=len(entries), fontsize=SMALL, columnspacing=1.4)
