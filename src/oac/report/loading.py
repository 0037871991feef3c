"""The files of runs, metrics.json and history.jsonl, gathered into the results of a study."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oac import crop_options
from oac.report.paper import UNBOXED_POLICIES, is_as_published, paper_value
from oac.report.results import MAP, TOP1, Contrasts, Names, Results, Variant, called

NEEDED: tuple[str, ...] = ("study", "method", "crops", "seed", "policy", "boxes", "map", "map_batch", "recipe")
NEEDED += ("classes", "train_images", "test_images", "images_seen", "recipe_hash", "versions")


def load(metrics: Sequence[Mapping[str, Any]], names: Names | None = None) -> Results:
    """Gather the contents of metrics.json files of one study.

    Raises ValueError, naming the run or the key, where there is no run, a key is missing, a run is there twice, or
    runs are of several studies or test sets.
    """
    if not metrics:
        raise ValueError("there are no runs to report")
    _require(metrics, NEEDED)
    for key in ("study", "classes", "test_images"):
        values = list(dict.fromkeys(str(entry[key]) for entry in metrics))
        if len(values) > 1:
            raise ValueError(
                f"runs with different {key} cannot be compared: {', '.join(values)}; "
                "probe them again on the same data"
            )
    metric = TOP1 if any(TOP1.key in entry for entry in metrics) else MAP
    if metric is TOP1:
        _require(metrics, (TOP1.key, "top5"))
    runs: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for entry in metrics:
        seeds = runs.setdefault((entry["method"], entry["crops"]), {})
        if entry["seed"] in seeds:
            raise ValueError(f"run {_run(entry)} is given twice")
        seeds[entry["seed"]] = entry
    budgets: dict[str, list[int]] = {}
    trainings: dict[str, Counter[str]] = {}
    for (method, _), seeds in runs.items():
        budgets.setdefault(method, []).append(max(run["images_seen"] for run in seeds.values()))
        trainings.setdefault(method, Counter())[_training(seeds)] += 1
    first, names = metrics[0], names or Names()
    variants = [_variant(seeds, budgets[method], _usual(trainings[method])) for (method, _), seeds in runs.items()]
    variants = called(variants, names.labels)
    split = first.get("probe", {}).get("test", "test")
    title = names.title or first["study"]
    return Results(first["study"], variants, metric, first["classes"], first["test_images"], split, title=title)


def _variant(runs: Mapping[int, Mapping[str, Any]], budgets: Sequence[int], usual: str | None) -> Variant:
    """Make the variant of some runs. Of its method, budgets: photos seen by each; usual: commonest training."""
    first = next(iter(runs.values()))
    variant = Variant.named(*(first[key] for key in ("method", "crops", "policy", "boxes")))
    options = _options(first["recipe"]) if "crops" in first["recipe"] else {}
    if _training(runs) != usual:
        options["training"] = _training(runs)
    images_seen = max(run["images_seen"] for run in runs.values())
    paper = None
    if is_as_published(options, variant.method) and images_seen == min(budgets) and "training" not in options:
        paper = paper_value(variant.method, variant.policy, variant.boxes)
    return replace(variant, options=options, images_seen=images_seen, runs=runs, paper=paper)


def _usual(trainings: Counter[str]) -> str | None:
    """What more than half of a method's variants have; None where they differ, as in a search."""
    found, count = trainings.most_common(1)[0]
    return found if 2 * count > trainings.total() else None


def _training(runs: Mapping[int, Mapping[str, Any]]) -> str:
    """How some runs were trained, apart from crops and heads, as one text."""
    recipe = next(iter(runs.values()))["recipe"]
    options = {key: value for key, value in recipe.get("options", {}).items() if key != "heads"}
    return json.dumps([options, recipe.get("view_size")], sort_keys=True)


def _options(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe says of its crops, with defaults, and its projection heads."""
    options = crop_options.crop_params(recipe["crops"])
    if recipe["method"] == "moco_v2" and options["policy"] not in UNBOXED_POLICIES:
        options["heads"] = recipe["options"].get("heads", 1)
    return options


def _require(metrics: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    for entry in metrics:
        for key in keys:
            if key not in entry:
                raise ValueError(f"metrics of run {_run(entry)} lack the key {key!r}: delete them, probe again")


def _run(entry: Mapping[str, Any]) -> str:
    return "/".join(str(entry.get(key, "?")) for key in ("study", "method", "crops", "seed"))


def read_results(paths: Iterable[str | Path], contrasts: Contrasts = (), names: Names | None = None) -> Results:
    """Load the metrics.json files of a study, which declared some contrasts and gave names."""
    results = load([json.loads(Path(path).read_text(encoding="utf-8")) for path in paths], names)
    return replace(results, contrasts=contrasts)


def read_histories(paths: Iterable[str | Path]) -> dict[str, list[dict[str, Any]]]:
    """Read the lines of history.jsonl files by run, method/crops/seed0."""
    return {
        run_of(path): [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        for path in paths
    }


def run_of(path: str | Path) -> str:
    """The run that a file belongs to by its path: method/crops/seed0."""
    return "/".join(Path(path).parts[-4:-1])
