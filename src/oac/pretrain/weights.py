"""Weights of an encoder out of a file, of this package or of torchvision's layout, into a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn


class Weights(NamedTuple):
    """What a file holds of an encoder."""

    path: Path
    tensors: dict[str, Tensor]
    recipe: dict[str, Any] | None
    """that it was trained with, of an encoder or a checkpoint of this package"""


def read_weights(path: str | Path) -> Weights:
    """Read an encoder (.safetensors), a checkpoint of a run, or a state dict of torchvision or timm.

    Raises ValueError, naming the file, where it is none of them.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                recipe = (file.metadata() or {}).get("recipe")
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            tensors, recipe = content, None
            if "method" in content and "recipe" in content:
                ours = "encoder."
                tensors = {k.removeprefix(ours): v for k, v in content["method"].items() if k.startswith(ours)}
                recipe = content["recipe"]
    except Exception as error:
        raise ValueError(f"{path} is no file of weights: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ValueError(
            f"{path} is no file of weights: it must hold tensors by name, a state dict, and nothing else"
        )
    return Weights(path, tensors, json.loads(recipe) if recipe else None)


def load_weights(net: nn.Module, weights: Weights, name: str) -> None:
    """Put weights into an encoder, whose classifier is not there any more; name: of its network, for people.

    Raises ValueError, naming the file and the first tensor, where one is missing, has another shape or is not known.
    """
    classifiers = getattr(net, "default_cfg", {}).get("classifier", "fc")  # of a network of timm, one or several
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    own = net.state_dict()
    given = {
        key: value
        for key, value in weights.tensors.items()
        if key in own or not key.startswith(tuple(f"{classifier}." for classifier in classifiers))
    }
    for key, value in own.items():
        if key not in given and key.endswith("num_batches_tracked"):
            given[key] = value  # which older state dicts do not have, and nothing here reads
        if key not in given:
            raise ValueError(f"{weights.path} does not fit a {name}: it has no {key}")
        if given[key].shape != value.shape:
            theirs, ours = (tuple(tensor.shape) for tensor in (given[key], value))
            raise ValueError(f"{weights.path} does not fit a {name}: {key} has the shape {theirs}, not {ours}")
    if unknown := sorted(given.keys() - own.keys()):
        raise ValueError(f"{weights.path} does not fit a {name}: it has {unknown[0]}, which the network has not")
    net.load_state_dict(given)
