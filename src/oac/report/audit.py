"""What each difference between the paper and its released code is worth.

A study of the audit has lines that differ in one option. They are found here by their recipes, so no list says which
belong together: `steps` pairs two lines that differ in one option of PROTOCOL and in nothing else, the published side
first. Differences are paired by seed. `docs/audit.md` says what the options are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from oac.report.paper import DEFAULTS
from oac.report.statistics import Interval, t_interval
from oac.report.tables import BOX_NAMES

BATCH = "256"  # images a batch of the released metric has on one GPU
MANY_TIMES = "more steps"
NOTHING = "no two lines of this study differ in one option of the audit: see config/studies/audit.yaml"

# option -> (published, released), as a recipe has them; `scales` of None are s_min to 1.
PROTOCOL: dict[str, tuple[Any, Any]] = {
    "boxes": ("bing", "ground_truth"),
    "dilation": ("photo", "coordinate"),
    "delta": (0.1, 0.2),
    "items": ("image", "box"),
    "scales": (None, [[0.0, 1.0], [0.2, 1.0]]),
    "smallest_box": ("none", "released"),
    "heads": (2, 1),
}
NAMES = {
    "boxes": "Boxes",
    "dilation": "Dilation of",
    "delta": "Dilation by",
    "items": "Items of an epoch",
    "scales": "Crop scale inside boxes",
    "smallest_box": "Smallest box",
    "heads": "Projection heads",
    "budget": "Steps",
    "metric": "Metric",
    "picked": "Model picked",
}
VALUE_NAMES = {
    ("dilation", "photo"): "the photo's side",
    ("dilation", "coordinate"): "the edge's coordinate",
    ("scales", None): "s_min to 1",
    ("smallest_box", "none"): "as it is",
    ("smallest_box", "released"): "grown by 224 px of 1,024",
    ("items", "image"): "photos",
    ("items", "box"): "boxes",
}


@dataclass(frozen=True)
class Line:
    """The runs of a crop line: its options, and by seed the mAP, the batch-averaged mAP and the best epoch's."""

    name: str
    options: dict[str, Any]
    images_seen: int
    values: dict[int, dict[str, float]]

    @property
    def released(self) -> list[str]:
        """The options of PROTOCOL that have the released value."""
        return [key for key, (_, value) in PROTOCOL.items() if self.options.get(key) == value]

    @property
    def published(self) -> bool:
        """Whether all options of PROTOCOL have the published value."""
        return all(self.options.get(key) == value for key, (value, _) in PROTOCOL.items())

    @property
    def complete(self) -> bool:
        """Whether all options of PROTOCOL have the released value."""
        return set(self.released) == set(PROTOCOL)

    @property
    def scene(self) -> bool:
        """Whether it is a baseline, which crops around no object."""
        return bool(self.options["policy"] == "scene-scene")

    def others(self, *but: str) -> str:
        """Everything beside some options, to be compared."""
        kept = {key: value for key, value in self.options.items() if key not in but}
        return json.dumps([kept, None if "budget" in but else self.images_seen], sort_keys=True)


def lines_of(metrics: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Gather the MoCo-v2 runs among the contents of metrics.json files by crop line, in the order given."""
    found: dict[str, Line] = {}
    for entry in metrics:
        if entry["method"] != "moco_v2":
            continue
        recipe = entry["recipe"]
        line = found.setdefault(entry["crops"], Line(entry["crops"], _options(recipe), int(entry["images_seen"]), {}))
        line.values[entry["seed"]] = _values(entry)
    return list(found.values())


def _options(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a crop line can say, with defaults for what it does not, and the heads of the method."""
    crops = dict(recipe["crops"])
    heads = recipe["options"].get("heads", 1) if crops["policy"] != "scene-scene" else 1
    if crops["policy"] == "scene-scene":
        return crops
    if crops.get("scales") is None:
        crops.pop("scales", None)
    else:  # these say nothing beside ranges of their own, and are absent there
        crops = {key: value for key, value in crops.items() if key not in ("scale_lower", "scale_cap")}
    return {**DEFAULTS, **crops, "heads": heads}


def _values(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a run, in percent."""
    values = {"map": entry["map"], "batch": entry["map_batch"][BATCH]}
    if picked := entry.get("best_epoch"):
        for when in ("last", "best"):
            values |= {f"{when}_map": picked[when]["map"], f"{when}_batch": picked[when][f"map_batch_{BATCH}"]}
    return {key: 100 * value for key, value in values.items()}


def paired(before: Mapping[int, float], after: Mapping[int, float]) -> Interval:
    """Mean and t interval of after - before over the seeds that both have. Raises ValueError where there is none."""
    seeds = sorted(set(before) & set(after))
    if not seeds:
        raise ValueError("two lines without a common seed cannot be compared: give them the same seeds")
    return t_interval([after[seed] - before[seed] for seed in seeds])


@dataclass(frozen=True)
class Step:
    """One row: an option, its two values, and two lists of numbers by seed."""

    kind: str  # option, readout or comparison
    option: str
    before: Line
    after: Line
    values: tuple[str, str]  # what the option is before and after, in words
    keys: tuple[str, str] = ("map", "map")  # which number is compared before and after ...
    batch_keys: tuple[str, str] | None = ("batch", "batch")  # ... and which batch-averaged one

    def numbers(self, keys: tuple[str, str]) -> tuple[dict[int, float], dict[int, float]]:
        """A number of both sides by seed; seeds without it are left out."""
        sides = zip((self.before, self.after), keys, strict=True)
        first, second = (
            {seed: values[key] for seed, values in line.values.items() if key in values} for line, key in sides
        )
        return first, second

    @property
    def context(self) -> str:
        """Which other options have the released value on both sides."""
        if self.kind == "comparison":
            return ""
        common = [key for key in self.before.released if key in self.after.released and key != self.option]
        if not common:
            return "none"
        others = [key for key in PROTOCOL if key != self.option]
        return "all" if common == others else ", ".join(common)


def steps(lines: Sequence[Line]) -> list[Step]:
    """Every pair of lines that differ in one option, and longer against shorter runs.

    They are in the order of PROTOCOL; of an option, those with fewer other options as released come first.
    """
    found = []
    for option, (published, released) in PROTOCOL.items():
        hidden = (option, "scale_lower", "scale_cap") if option == "scales" else (option,)
        for before, after in permutations(lines, 2):
            if option not in before.options or before.others(*hidden) != after.others(*hidden):
                continue
            if (before.options[option], after.options.get(option)) == (published, released):
                words = value_name(option, published), value_name(option, released)
                found.append(Step("option", option, before, after, words))
    order = list(PROTOCOL)
    found.sort(key=lambda step: (order.index(step.option), len(step.before.released)))
    for before, after in permutations(lines, 2):
        if before.images_seen < after.images_seen and before.others("budget") == after.others("budget"):
            words = f"{before.images_seen:,} photos", f"{after.images_seen:,}"
            found.append(Step("option", "budget", before, after, words))
    return found


def readouts(lines: Sequence[Line]) -> list[Step]:
    """What the released metric and its picking of an epoch add to the same runs: the walk's ends, scene crops."""
    found = []
    shortest = min((line.images_seen for line in lines), default=0)
    for line in (line for line in lines if line.images_seen == shortest):
        if line.published or line.scene or line.complete:
            words = "over the test set", f"mean over batches of {BATCH}"
            found.append(Step("readout", "metric", line, line, words, ("map", "batch"), None))
            if all("best_map" in values for values in line.values.values()):
                keys = ("last_map", "best_map"), ("last_batch", "best_batch")
                found.append(Step("readout", "picked", line, line, ("last epoch", "best on the test photos"), *keys))
    return sorted(found, key=lambda step: step.option)


def comparisons(lines: Sequence[Line]) -> list[Step]:
    """Object-aware cropping, as published and as released, against scene crops with as many steps or fewer."""
    scenes = [line for line in lines if line.scene]
    found = []
    for after in lines:
        if not (after.complete or after.published):
            continue
        for before in scenes:
            if before.images_seen <= after.images_seen:
                budgets = f"{before.images_seen:,} photos", f"{after.images_seen:,} photos"
                name = "as released" if after.complete else "as published"
                same = "equal steps" if budgets[0] == budgets[1] else MANY_TIMES
                found.append(Step("comparison", f"{name}, {same}", before, after, budgets))
    return found


def every_step(lines: Sequence[Line]) -> list[Step]:
    """All rows of the audit, in order. Raises ValueError where no two lines differ in one option."""
    found = steps(lines)
    if not found:
        raise ValueError(NOTHING)
    return [*found, *readouts(lines), *comparisons(lines)]


def value_name(option: str, value: Any) -> str:
    """The value of an option in words."""
    if not isinstance(value, list) and (option, value) in VALUE_NAMES:
        return VALUE_NAMES[option, value]
    if option == "boxes":
        return BOX_NAMES.get(value, str(value))
    if option == "scales":
        return " and ".join(f"{low:g} to {high:g}" for low, high in value)
    return f"{100 * value:g} %" if option == "delta" else str(value)
