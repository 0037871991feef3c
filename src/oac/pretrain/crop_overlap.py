"""How far the two crops of a pair overlap, and whether they show one object.

This is geometry: the pairs of a crop variant are drawn as a run draws them, by the same random numbers, from the
sizes of the photos, the proposals and the ground-truth boxes. No photo is decoded and nothing is trained.

The paper plots its mAP against the overlap of the two crops (supplement, figure 7 left); how it measures that is not
public. Here the overlap is the intersection over union of the two crops, before they are resized, and the share of
the smaller crop that lies in the other is given beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oac.pretrain.crop_sampler import Boxes, CropSampler
from oac.pretrain.crops import CropPolicy, Views

# Each item is drawn so many times: the standard error of a mean share of 8,000 pairs is half a point or less.
EPOCHS = 3
CHUNK = 8192  # pairs at a time, so that memory does not grow with the data set
SHOWN = 0.5  # a crop that holds this share of an object's box shows it
MEASURES = (
    "iou",
    "smaller_inside",
    "disjoint",
    "first_area",
    "second_area",
    "magnification",
    "same_object",
    "no_object",
)


@dataclass(frozen=True)
class ObjectBoxes:
    """The ground-truth boxes of n photos, joined.

    box: (m, 4) shares of the photo; start, count: (n,) int64, where each photo's boxes begin and how many it has.
    """

    box: np.ndarray
    start: np.ndarray
    count: np.ndarray

    @classmethod
    def pack(cls, boxes: Sequence[np.ndarray]) -> ObjectBoxes:
        """Join lists of (m, 4) boxes in [0, 1]; a photo may have none."""
        count = np.array([len(some) for some in boxes], np.int64)
        box = np.concatenate([np.zeros((0, 4)), *(np.asarray(some, float).reshape(-1, 4) for some in boxes)])
        return cls(box, np.cumsum(count) - count, count)

    def of(self, image: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """List the objects of photos: the pair that each belongs to (k,), and its box (k, 4) in pixels.

        image: (p,) the photo of each pair; size: (p, 2) its width and height in pixels.
        """
        count = self.count[image]
        pair = np.repeat(np.arange(len(image)), count)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
        return pair, self.box[self.start[image][pair] + within] * np.tile(size[pair], 2)


def measure_overlap(
    policy: CropPolicy,
    scale_lower: float,
    proposals: Boxes,
    size: np.ndarray,
    objects: ObjectBoxes,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
) -> dict[str, float]:
    """Mean of each of MEASURES over the pairs that a run of this seed sees in its first epochs, and their count.

    scale_lower: s_min as the run uses it; proposals: of n photos; size: (n, 2) width and height in pixels as the
    photos are stored. An item is a photo or a box, as the policy says. Raises ValueError where there are no photos or
    no epochs.
    """
    sampler = CropSampler(policy, scale_lower, proposals, seed)
    photo = sampler.item_photo
    if not len(photo) or epochs < 1:
        raise ValueError(f"the overlap of crops needs photos and epochs, not {len(photo)} items and {epochs} epochs")
    sums = dict.fromkeys(MEASURES, 0.0)
    for epoch in range(epochs):
        for start in range(0, len(photo), CHUNK):
            item = np.arange(start, min(start + CHUNK, len(photo)))
            image = photo[item]
            crops = first_and_second(sampler.draw_views(np.full(len(item), epoch), item, size[image]))
            for name, values in measure_pairs(*crops, size[image], *objects.of(image, size[image])).items():
                sums[name] += float(values.sum())
    pairs = epochs * len(photo)
    return {name: total / pairs for name, total in sums.items()} | {"pairs": pairs}


def first_and_second(views: Views) -> tuple[np.ndarray, np.ndarray]:
    """The crops (p, 4) of the policy's first and second view; which of them is the query was drawn by chance."""
    swapped = views.swapped[:, None]
    return np.where(swapped, views.key, views.query), np.where(swapped, views.query, views.key)


def measure_pairs(
    first: np.ndarray, second: np.ndarray, size: np.ndarray, pair: np.ndarray, objects: np.ndarray
) -> dict[str, np.ndarray]:
    """MEASURES of each of p pairs, (p,) float64 in [0, 1] but for magnification, and areas of crops beyond the photo.

    first, second: (p, 4) crops in pixels; size: (p, 2) pixels; pair, objects: as `ObjectBoxes.of` gives them.

    iou: intersection over union. smaller_inside: share of the smaller crop that lies in the other. disjoint: 1 where
    the two have no area in common. first_area, second_area: a crop's share of the photo. magnification: the
    photo's side over a crop's, roots of their areas, mean of the two: how much larger an object is in a view than in
    the whole photo of the view's size. same_object: 1 where some object lies in both crops by SHOWN of its box or
    more. no_object: share of the two crops that touch no object.
    """
    areas = area(first), area(second)
    both = common(first, second)
    held = [common(crop[pair], objects) for crop in (first, second)]
    shows_it = np.minimum(*held) >= SHOWN * area(objects)
    touched = [np.bincount(pair[part > 0], minlength=len(first)) > 0 for part in held]
    return {
        "iou": both / (areas[0] + areas[1] - both),
        "smaller_inside": both / np.minimum(*areas),
        "disjoint": (both == 0).astype(float),
        "first_area": areas[0] / size.prod(axis=1),
        "second_area": areas[1] / size.prod(axis=1),
        "magnification": np.sqrt(size.prod(axis=1)) * (areas[0] ** -0.5 + areas[1] ** -0.5) / 2,
        "same_object": (np.bincount(pair[shows_it], minlength=len(first)) > 0).astype(float),
        "no_object": 1 - (touched[0].astype(float) + touched[1]) / 2,
    }


def area(box: np.ndarray) -> np.ndarray:
    """Area of boxes (n, 4), in the square of their unit: (n,)."""
    return np.asarray((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]))


def common(box: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Area that each of n boxes (n, 4) has in common with its own other (n, 4): (n,), 0 where they only touch."""
    side = np.minimum(box[:, 2:], other[:, 2:]) - np.maximum(box[:, :2], other[:, :2])
    return np.asarray(np.clip(side, 0, None).prod(axis=1))
