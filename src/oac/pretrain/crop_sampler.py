"""Where a run cuts the two views of its items: a crop policy over the proposals of its photos.

This module needs no torch and reads no photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oac.pretrain import crops
from oac.pretrain.crops import CropPolicy
from oac.pretrain.rng import uniform


@dataclass(frozen=True)
class Boxes:
    """The proposals of n photos: box (n, k, 4) padded with zeros, count (n,) how many of each row are real."""

    box: np.ndarray
    count: np.ndarray

    @classmethod
    def pack(cls, boxes: Sequence[np.ndarray]) -> Boxes:
        """Pad lists of (m, 4) boxes in [0, 1]; a photo without any gets the whole photo as its one box."""
        boxes = [b if len(b) else np.array([[0.0, 0.0, 1.0, 1.0]], np.float32) for b in boxes]
        count = np.array([len(b) for b in boxes])
        box = np.zeros((len(boxes), count.max(), 4), np.float32)
        box[np.arange(box.shape[1]) < count[:, None]] = np.concatenate(boxes)
        return cls(box, count)

    def items(self, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
        """List what an epoch goes through: the photo of each item (m,), and its box (m,) where items are boxes."""
        photo = np.arange(len(self.count))
        if kind == "image":
            return photo, None
        first = np.cumsum(self.count) - self.count
        return np.repeat(photo, self.count), np.arange(self.count.sum()) - np.repeat(first, self.count)


class CropSampler:
    """Draws the two views of the items of a run.

    item_photo: (m,) the photo of each item of an epoch; item_box: (m,) its box where items are boxes, else None.
    """

    def __init__(self, policy: CropPolicy, scale_lower: float, boxes: Boxes, seed: int):
        """scale_lower: s_min as the run uses it; boxes: the proposals of its photos."""
        self.policy, self.scale_lower, self.boxes, self.seed = policy, scale_lower, boxes, seed
        self.item_photo, self.item_box = boxes.items(policy.items)

    def draw_views(self, epoch: np.ndarray, item: np.ndarray, size: np.ndarray) -> crops.Views:
        """Draw the two views of items (B,) of epochs (B,), from photos of (B, 2) pixels."""
        image = self.item_photo[item]
        return crops.draw_views(
            self.policy,
            self.scale_lower,
            self.boxes.box[image],
            self.boxes.count[image],
            size,
            uniform(self.seed, epoch, item, crops.DRAWS, "crops"),
            chosen=None if self.item_box is None else self.item_box[item],
        )
