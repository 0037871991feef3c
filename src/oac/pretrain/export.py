"""Encoders under other programs' names.

The encoder files of this package have torchvision's parameter names already; Detectron2 has names of its own for the
same networks, and reads them from a pickle.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from oac.atomic import writing
from oac.pretrain.nn import encoder_recipe

# What each part of a name becomes; the layers of a stage keep their numbers.
_RENAMED = (
    (r"^(conv1|bn1)\.", r"stem.\1."),
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
    (r"\.bn([123])\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


def detectron2_name(name: str) -> str:
    """Turn the name of a torchvision ResNet's parameter into Detectron2's.

    layer1 to layer4 become res2 to res5, a norm belongs to its convolution, `downsample` is `shortcut`.
    """
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def to_detectron2(encoder: str | Path, out: str | Path) -> None:
    """Write an encoder as a checkpoint for `MODEL.WEIGHTS` of Detectron2.

    Raises ValueError for an encoder that is no ResNet: the narrow network and CMC's two streams have no counterpart.
    """
    recipe = encoder_recipe(encoder)
    name = recipe["backbone"]["name"]
    if not name.startswith("resnet") or recipe.get("method") == "cmc":
        kind = "CMC's two-stream encoder" if recipe.get("method") == "cmc" else f"the {name} network"
        raise ValueError(f"{encoder}: Detectron2 has no counterpart of {kind}; only ResNets can be converted")
    weights: dict[str, np.ndarray] = {
        detectron2_name(ours): value
        for ours, value in load_file(encoder).items()
        if not ours.endswith("num_batches_tracked")  # Detectron2's frozen batch norm counts no steps
    }
    # `matching_heuristics` lets Detectron2 find the backbone inside whatever model it builds.
    content = {"model": weights, "__author__": "oac", "matching_heuristics": True}
    with writing(out) as temporary:
        temporary.write_bytes(pickle.dumps(content))
