"""Object-aware crops as a transform, to use beside torchvision's in any training loop.

    crop = ObjectAwareCrop("object-dilate", size=224)
    first, second = crop(image, boxes)

The views are those of the project's own loader: the same geometry (`oac.pretrain.crops`), drawn by torch's generator.
Only the crops are made here; flips, colours and the rest are torchvision's, applied to each view by itself.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from oac.pretrain.crop_sampler import Boxes
from oac.pretrain.crops import DRAWS, CropPolicy, draw_views, scale_lower_bound

ROUNDING = 1e-5  # shares of the photo; what torchvision's transforms of float32 boxes leave is below 1e-6

# What options may be; below 1e-6 of a photo nothing is left to cut.
BOUNDS = {
    "size": (1, 2**16),
    "delta": (0, 1),
    "scale_lower": (1e-6, 1),
    "shift": (0, 1),
    "scene_scale": (1e-6, 1),
    "ratio": (1e-3, 1e3),
}

Picture = TypeVar("Picture", Image.Image, Tensor)


def check_numbers(**given: float | tuple[float, float] | None) -> None:
    """Raise ValueError where an option is outside of its bounds, or where a range ends before it begins."""
    for name, value in given.items():
        least, most = BOUNDS[name]
        found = [] if value is None else np.atleast_1d(value).tolist()
        if not all(least <= number <= most for number in found) or found != sorted(found):
            raise ValueError(f"{name} must be in [{least}, {most}], a range from low to high, not {value!r}")


class ObjectAwareCrop:
    """Cuts the two views of a photo around one of its boxes (Mishra et al., TMLR 2022, section 3 and figure 2).

    Called with an image and its boxes it returns two views of size x size: of a PIL image PIL images, of a uint8 or
    float tensor (..., C, H, W) tensors. It draws from torch's global generator, as torchvision's transforms do, so
    that `torch.manual_seed` and a DataLoader's workers seed it; or from one of its own. It can be pickled.

    Args:
        policy: scene-scene, object-scene, object-object, object-shift or object-dilate.
        size: side of a view in pixels.
        delta: object-dilate: each edge moves out by this share of the photo's side.
        scale_lower: smallest area of a crop inside a box, as a share of the box's. None is 0.2 / the mean size of the
            boxes of the photo at hand, at most 0.5 (s_min of section 4.1). The project's loader takes the mean over
            all photos (`oac.pretrain.crops.scale_lower_bound`): pass it to draw from exactly its distribution.
        shift: object-shift: range of the distance, a share of the photo's mean side.
        scene_scale: range of the area of a crop of the whole photo.
        ratio: range of width / height of every crop.
        generator: None is torch's global one.

    Raises ValueError for an unknown policy, and for a number or a range that is out of its bounds.
    """

    def __init__(
        self,
        policy: str = "object-dilate",
        size: int = 224,
        *,
        delta: float = 0.1,
        scale_lower: float | None = None,
        shift: tuple[float, float] = (0.08, 0.1),
        scene_scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        generator: torch.Generator | None = None,
    ):
        check_numbers(
            size=size, delta=delta, scale_lower=scale_lower, shift=shift, scene_scale=scene_scale, ratio=ratio
        )
        self.policy = CropPolicy(
            policy,
            boxes=None if policy == "scene-scene" else "given",
            delta=delta,
            scale_lower=scale_lower,
            shift=shift,
            scene_scale=scene_scale,
            ratio=ratio,
        )
        self.size = size
        self.generator = generator

    def __call__(self, image: Picture, boxes: Tensor | np.ndarray | None = None) -> tuple[Picture, Picture]:
        """Cut two views.

        boxes: (n, 4) xmin, ymin, xmax, ymax as shares of the photo, or torchvision's BoundingBoxes. A photo without
        boxes counts as one box, as in the project's loader. scene-scene needs none.

        Raises ValueError for boxes of another shape or beyond [0, 1] by more than rounding, and for None where a
        policy needs boxes.
        """
        height, width = F.get_size(image)
        box = self._boxes(boxes)
        lower = self.policy.scale_lower
        if lower is None:
            areas = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
            lower = scale_lower_bound(areas, self.policy.scale_cap)
        u = torch.rand(1, DRAWS, dtype=torch.float64, generator=self.generator).numpy()
        size = np.array([[width, height]], float)
        views = draw_views(self.policy, lower, box[None], np.array([len(box)]), size, u)
        return self._cut(image, views.query[0]), self._cut(image, views.key[0])

    def _boxes(self, boxes: Tensor | np.ndarray | None) -> np.ndarray:
        """Boxes (n, 4) as shares of the photo, n at least 1."""
        if boxes is None:
            if self.policy.needs_boxes:
                raise ValueError(f"{self.policy.policy} crops are cut around boxes: pass them beside the image")
            boxes = np.zeros((0, 4))
        if isinstance(boxes, tv_tensors.BoundingBoxes):
            corners = F.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY)
            height, width = boxes.canvas_size
            boxes = corners.as_subclass(Tensor).double().numpy() / [width, height, width, height]
        found = np.asarray(boxes, float)
        found = found.reshape(-1, 4) if found.size == 0 else found
        if found.ndim != 2 or found.shape[1] != 4:
            raise ValueError(f"boxes must be (n, 4) xmin, ymin, xmax, ymax, not of shape {found.shape}")
        clipped = np.clip(found, 0, 1)
        found = np.where(np.abs(found - clipped) < ROUNDING, clipped, found)
        inside = (found >= 0) & (found <= 1)
        if not (inside.all() and (found[:, :2] <= found[:, 2:]).all()):
            raise ValueError(f"boxes must be xmin, ymin, xmax, ymax as shares of the photo, not {found.tolist()}")
        return Boxes.pack([found]).box[0]

    def _cut(self, image: Picture, box: np.ndarray) -> Picture:
        """Cut a box in pixels and resize it to the view; of a tensor whole pixels, as torchvision's crops do."""
        if isinstance(image, Image.Image):
            return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=tuple(box.tolist()))
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        height, width = max(1, bottom - top), max(1, right - left)
        return F.resized_crop(image, top, left, height, width, [self.size, self.size], antialias=True)

    def __repr__(self) -> str:
        return f"ObjectAwareCrop({self.policy.policy!r}, size={self.size})"
