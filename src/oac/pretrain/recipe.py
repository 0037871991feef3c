"""Everything that changes a run's weights, and nothing else.

A recipe is one dictionary that says every value. Its hash is of what differs from the defaults of the study schema,
so that a new option with a default retrains nothing. The hash names a run's state folder and stands in every table;
what differs is the parameter that makes Snakemake train again. Worker counts and devices are not in a recipe, and no
paths but those of weights that a study gives. This module needs no torch, so that the workflow can import it at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from oac import studies, versions
from oac.configuration import deep_merge, filled
from oac.crop_options import crop_params, with_defaults
from oac.studies import FIXED_ENCODERS, PRETRAINED

VIEWS = ("query", "key")
_OUTSIDE = (
    "crops",
    "seeds",
    "accumulate",
)  # keys of a method that say which runs there are, and how they are computed


def build(study: Mapping[str, Any], method: str, crops: str, seed: int) -> dict[str, Any]:
    """Put together the complete recipe of one run of a validated study.

    Raises KeyError, naming what there is, for a method or a crop variant that the study does not have.
    """
    for kind, name in (("methods", method), ("crops", crops)):
        if name not in study[kind] and not (method in FIXED_ENCODERS and kind == "crops"):
            raise KeyError(f"study {study['name']} has no {name!r} in `{kind}`: there are {', '.join(study[kind])}")
    recipe = {
        "recipe_version": versions.PRETRAIN,
        "study": study["name"],
        "method": method,
        "seed": seed,
        "backbone": study["backbone"],
    }
    if method == PRETRAINED:
        return recipe | {"encoder": study["methods"][method]["encoder"]}
    if method in FIXED_ENCODERS:
        return recipe
    variant = with_defaults(study["crops"][crops])
    options = {key: value for key, value in study["methods"][method].items() if key not in _OUTSIDE}
    shared = dict(study["pretrain"])
    # A reference method may have a budget of its own; it is one of the run, not an option of the objective.
    if "images_seen" in options:
        shared.pop("epochs", None)
        shared["images_seen"] = options.pop("images_seen")
    # So may a variant of the audit, which gets as many steps as the released code gives it. Where the study does not
    # say how many boxes a photo has, they are counted when the photos are there (`step_count`).
    if variant["budget"] == "boxes":
        if (per_photo := study["data"].get("boxes_per_photo")) is None:
            shared["budget"] = "boxes"
        elif "epochs" in shared:
            shared["epochs"] *= per_photo
        else:
            shared["images_seen"] = round(shared["images_seen"] * per_photo)
    # And options of its own, as in a search; and views of another size, to see how much of an effect is resolution.
    options |= variant["method_options"] or {}
    if variant["view_size"] is not None:
        shared["view_size"] = variant["view_size"]
    # Heads belong to the objective; a variant that names them has its own number of them.
    if variant.get("heads") is not None and "heads" in options:
        options["heads"] = variant["heads"]
    # A method may augment its two views apart. What it overrides is merged here, so that a shared value that neither
    # view takes is not in the recipe; the name of the shared augmentation stays for methods without.
    if views := options.pop("augment", None):
        shared["augment"] = {view: shared["augment"] | views.get(view, {}) for view in VIEWS}
    recipe |= {"data": data_identity(study["data"]), "crops": crop_params(variant), "options": options, **shared}
    if "boxes" in variant:
        recipe["proposals"] = proposal_options(study["proposals"], variant["boxes"])
    return recipe


def step_count(recipe: Mapping[str, Any], photos: int, boxes_per_photo: float = 1.0) -> int:
    """How many batches a run trains on.

    photos: those of the train split, an epoch. boxes_per_photo: their mean number of ground-truth boxes, by which a
    budget in boxes is multiplied. Raises ValueError where the budget is less than a batch.
    """
    factor = boxes_per_photo if "budget" in recipe else 1.0
    budget = round(factor * (recipe["images_seen"] if "images_seen" in recipe else recipe["epochs"] * photos))
    size = recipe["options"]["batch_size"]
    if budget < size:
        raise ValueError(
            f"a budget of {budget} images is less than one batch of {size}: raise it or lower batch_size"
        )
    return int(budget // size)


def defaults(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a recipe of the same method, crop policy and sources has where its study gives none.

    recipe: complete, or only what differs from the defaults.
    """
    if recipe["method"] in FIXED_ENCODERS:
        return {}
    parts = studies.schema()["properties"]
    options = filled({}, parts["methods"]["properties"][recipe["method"]])
    augment = filled({}, parts["pretrain"]["properties"]["augment"])
    views = options.pop("augment", None)
    if views or set(VIEWS) & set(recipe.get("augment", {})):
        augment = {view: augment | (views or {}).get(view, {}) for view in VIEWS}
    variant = {key: recipe["crops"][key] for key in ("policy", "scales") if key in recipe["crops"]}
    crops = {key: value for key, value in crop_params(variant).items() if key not in variant}
    result = {
        "data": _data_defaults(recipe["data"]["source"], ("train",)),
        "crops": crops,
        "options": {key: value for key, value in options.items() if key not in _OUTSIDE},
        "augment": augment,
        "precision": parts["pretrain"]["properties"]["precision"]["default"],
    }
    if boxes := recipe["crops"].get("boxes"):
        result["proposals"] = proposal_options(filled({}, parts["proposals"]), boxes)
        result["proposals"].pop("bing_version", None)
    return result


def differences(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a complete recipe has otherwise than the defaults; `complete` fills them in again."""
    return _without(recipe, defaults(recipe))


def _without(value: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the keys that have the default's value, at every depth."""
    result = {}
    for key, part in value.items():
        if key in default and isinstance(part, Mapping) and isinstance(default[key], Mapping):
            if rest := _without(part, default[key]):
                result[key] = rest
        elif key not in default or part != default[key]:
            result[key] = part
    return result


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """The complete recipe of what differs from the defaults; a recipe that is complete already stays as it is."""
    whole: dict[str, Any] = deep_merge(defaults(given), dict(given))
    return whole


def data_identity(data: Mapping[str, Any], splits: Collection[str] = ("train",)) -> dict[str, Any]:
    """Pick what decides the photos and boxes of some splits; not where they lie, nor how they are sharded.

    A source's options may name splits (how many photos, which list); those of other splits do not count.
    """
    others = {"train", "validation", "test"} - set(splits)
    options = data.get(data["source"], {})
    return {
        "source": data["source"],
        data["source"]: {key: value for key, value in options.items() if key not in others},
        "subset": data["subset"],
        "store": {key: data["store"][key] for key in ("long_side", "quality")},
    }


def data_differences(data: Mapping[str, Any], splits: Collection[str]) -> dict[str, Any]:
    """What `data_identity` has otherwise than the defaults."""
    return _without(data_identity(data, splits), _data_defaults(data["source"], splits))


def _data_defaults(source: str, splits: Collection[str]) -> dict[str, Any]:
    known = studies.schema()["properties"]["data"]["properties"]
    data = {key: filled({}, known.get(key, {})) for key in (source, "subset", "store")}
    return {key: value for key, value in data_identity({"source": source} | data, splits).items() if key != "source"}


def proposal_options(proposals: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Pick what decides the boxes of one source, so that an option of another source retrains nothing.

    Ground-truth boxes come from the data and have no options; random ones copy the sizes of BING's.
    """
    if source == "ground_truth":
        return {}
    if source not in ("bing", "random"):
        options = {key: value for key, value in proposals.get(source, {}).items() if key != "min_coverage"}
        return {"count": proposals["count"], source: options}
    return {"count": proposals["count"], "bing": proposals["bing"], "bing_version": versions.PROPOSALS} | (
        {"random": proposals.get("random", {})} if source == "random" else {}
    )


def canonical(recipe: Mapping[str, Any]) -> str:
    """Return the one text of a recipe: keys sorted, no spaces that could vary."""
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"))


def digest(recipe: Mapping[str, Any]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a complete recipe's differences from the defaults."""
    return hashlib.sha256(canonical(differences(recipe)).encode()).hexdigest()[:12]
