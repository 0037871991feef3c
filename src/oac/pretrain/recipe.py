"""Everything that changes a run's weights, and nothing else.

A recipe is one dictionary with a canonical text and a hash. It names a run's state folder, goes into its
checkpoint and its encoder, and is the parameter that makes Snakemake train again. Worker counts, devices and
paths are not in it. This module needs no third-party package, so that the workflow can import it at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

# Raise this when training code changes what a recipe means; tests/pretrain/test_recipe.py notices when the code
# changed and this did not. Finished runs of an older version are then trained again.
RECIPE_VERSION = 2

# Raise this when BING proposes other boxes for the same options: its code is no part of this package's hash.
BING_VERSION = 2

UNTRAINED = "random"  # the method of the reference row: a network as it was initialised


def build(study: Mapping[str, Any], method: str, crops: str, seed: int) -> dict[str, Any]:
    """Put together the recipe of one run of a validated study.

    Raises KeyError, naming what there is, for a method or a crop line that the study does not have.
    """
    for kind, name in (("methods", method), ("crops", crops)):
        if name not in study[kind] and (method, kind) != (UNTRAINED, "crops"):
            raise KeyError(f"study {study['name']} has no {name!r} in `{kind}`: there are {', '.join(study[kind])}")
    recipe = {
        "recipe_version": RECIPE_VERSION,
        "study": study["name"],
        "method": method,
        "seed": seed,
        "backbone": study["backbone"],
    }
    if method == UNTRAINED:
        return recipe
    given = study["crops"][crops]
    line = cuts(given)
    options = {key: value for key, value in study["methods"][method].items() if key not in ("crops", "seeds")}
    # A reference line may have a budget of its own; it is one of the run, not an option of the objective.
    shared = study["pretrain"] | {"images_seen": options.pop("images_seen", study["pretrain"]["images_seen"])}
    # So may a line of the audit, which gives an arm the steps that the released code gives it.
    if given.get("budget") == "boxes":
        shared["images_seen"] = round(shared["images_seen"] * study["data"]["boxes_per_photo"])
    # Heads belong to the objective; a line that names them has its own number of them.
    if "heads" in given and "heads" in options:
        options["heads"] = given["heads"]
    # A method may augment its two views apart. What it overrides is merged here, so that a shared value that neither
    # view takes is not in the recipe; the name of the shared augmentation stays for methods without.
    if views := options.pop("augment", None):
        shared["augment"] = {view: shared["augment"] | views.get(view, {}) for view in ("query", "key")}
    recipe |= {"data": data_identity(study["data"]), "crops": line, "options": options, **shared}
    if "boxes" in line:
        recipe["proposals"] = proposal_options(study["proposals"], line["boxes"])
    return recipe


def cuts(line: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a crop line says of where is cut; the rest stands elsewhere in a recipe, or in none."""
    return {key: value for key, value in line.items() if key not in ("seeds", "heads", "budget")}


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


def proposal_options(proposals: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Pick what decides the boxes of one source, so that an option of another source retrains nothing.

    True boxes come from the data and have no options; random ones copy the sizes of BING's.
    """
    if source == "ground_truth":
        return {}
    if source not in ("bing", "random"):
        return {"count": proposals["count"], source: proposals.get(source, {})}
    return {"count": proposals["count"], "bing": proposals["bing"], "bing_version": BING_VERSION} | (
        {"random": proposals.get("random", {})} if source == "random" else {}
    )


def canonical(recipe: Mapping[str, Any]) -> str:
    """Return the one text of a recipe: keys sorted, no spaces that could vary."""
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"))


def digest(recipe: Mapping[str, Any]) -> str:
    """Return the first 12 hexadecimal digits of the recipe's SHA-256."""
    return hashlib.sha256(canonical(recipe).encode()).hexdigest()[:12]
