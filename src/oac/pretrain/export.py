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

_STEM = {"conv1.": "stem.conv1.", "bn1.": "stem.conv1.norm."}
_IN_BLOCK = {"conv": "conv{0}.", "bn": "conv{0}.norm."}
_SHORTCUT = {"0": "shortcut.", "1": "shortcut.norm."}


def detectron2_name(name: str) -> str | None:
    """Turn the name of a ResNet's parameter into Detectron2's; None for the batch norms' step counters.

    layer1 to layer4 become res2 to res5, a norm belongs to its convolution, `downsample` is `shortcut`.

    Raises ValueError for a name that no ResNet of torchvision has.
    """
    if name.endswith("num_batches_tracked"):
        return None
    for ours, theirs in _STEM.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    if found := re.fullmatch(r"layer([1-4])\.(\d+)\.(conv|bn)([1-3])\.(\w+)", name):
        stage, block, kind, number, leaf = found.groups()
        return f"res{int(stage) + 1}.{block}.{_IN_BLOCK[kind].format(number)}{leaf}"
    if found := re.fullmatch(r"layer([1-4])\.(\d+)\.downsample\.([01])\.(\w+)", name):
        stage, block, part, leaf = found.groups()
        return f"res{int(stage) + 1}.{block}.{_SHORTCUT[part]}{leaf}"
    raise ValueError(f"{name!r} is no parameter of a torchvision ResNet")


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
        theirs: value for ours, value in load_file(encoder).items() if (theirs := detectron2_name(ours))
    }
    # `matching_heuristics` lets Detectron2 find the backbone inside whatever model it builds.
    content = {"model": weights, "__author__": "oac", "matching_heuristics": True}
    with writing(out) as temporary:
        temporary.write_bytes(pickle.dumps(content))
