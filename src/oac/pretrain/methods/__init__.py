"""Objectives, a file each, behind one small protocol.

A method is a module that owns its networks and offers what the training loop needs: `loss`, `after_step`, the
`encoder` that a probe will read and the `chance` level of its loss. The loop knows no method by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor, nn

from oac.pretrain.loader import Batch

# The policies whose two views differ in kind: only these take two projection heads (section 4.1 of the paper).
TWO_KINDS = ("object-scene", "object-shift", "object-dilate")


class Method(nn.Module, ABC):
    """An objective over two views of a photo."""

    encoder: nn.Module  # the backbone that is kept: photos (B, 3, H, W) to features (B, D)
    chance: float  # the loss of a method that has learnt nothing, drawn beside the curve

    @abstractmethod
    def loss(self, query: Tensor, key: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of augmented views (B, 3, S, S) and scalars to watch; nothing is synchronised."""

    def after_step(self, progress: float) -> None:
        """Do what follows the optimiser's step: momentum encoders, queues.

        `progress` in (0, 1] is the share of the run's steps that are done, this one included. It is computed from the
        step's number, so that a resumed run is told the same.
        """


def build(recipe: dict[str, Any], labels: np.ndarray) -> Method:
    """Build the untrained method that a recipe names; labels (N, C) in {0, 1} are for those that learn from them.

    Raises ValueError for an unknown method. Initial weights depend on torch's seed, which the caller sets.
    """
    from oac.pretrain.methods import byol, cmc, moco, supervised, swav

    if recipe["method"] == "moco_v2":
        options = _known(recipe, moco.Options)
        if recipe["crops"]["policy"] not in TWO_KINDS:
            options["heads"] = 1
        return moco.MoCo(recipe["backbone"], moco.Options(**options))
    if recipe["method"] == "byol":
        return byol.BYOL(recipe["backbone"], byol.Options(**_known(recipe, byol.Options)))
    if recipe["method"] == "swav":
        return swav.SwAV(recipe["backbone"], swav.Options(**_known(recipe, swav.Options)))
    if recipe["method"] == "cmc":
        options = _known(recipe, cmc.Options)
        if options.get("objective") == "batch":
            options["negatives"] = recipe["options"]["batch_size"] - 1
        return cmc.CMC(recipe["backbone"], len(labels), recipe["seed"], cmc.Options(**options))
    if recipe["method"] == "supervised":
        objective = recipe["options"].get("objective", "multi_label")
        return supervised.Supervised(recipe["backbone"], labels, objective)
    raise ValueError(f"unknown method {recipe['method']!r}: choose moco_v2, byol, swav, cmc or supervised")


def _known(recipe: dict[str, Any], options: Any) -> dict[str, Any]:
    """Pick the options that are the method's own; the others are the optimiser's."""
    return {key: value for key, value in recipe["options"].items() if key in options.__dataclass_fields__}
