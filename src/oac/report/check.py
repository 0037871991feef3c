"""The paper's numbers against ours: reproduced, not reproduced, or not run.

A value compares with the paper's on the paper's data only: a mean AP on OHMS and a top-1 accuracy on ImageNet, both
with a ResNet-50. There it is reproduced where our interval holds the paper's. Elsewhere a value is `not run`,
whatever ours is, and of a difference the sign is compared: `reproduced` there says that our 95 % interval lies on the
paper's side of 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from oac.report.paper import (
    DELTAS,
    TABLE_1,
    UNBOXED_POLICIES,
    UNCROPPED_METHODS,
    VALUES,
    Key,
    PaperDelta,
    is_as_published,
)
from oac.report.statistics import SMALLEST_SAMPLE, Interval, t_interval, welch_interval

REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not run"
IMAGENET_CLASSES = 1000
OHMS_IMAGES = 212_753  # of train, section 3; within WITHIN of it, for photos can be gone
WITHIN = 0.05
TOO_FEW = "fewer than 3 seeds, so there is no interval"
UNDECIDED = "our interval holds 0: the study cannot tell the sign"
TOO_WIDE = "our interval is wider than the gain that the paper reports, 8.8 points: the study cannot tell"
GAIN = 8.8  # object-dilate over scene-scene, table 1
TWO_HEADS = ("object-scene", "object-shift", "object-dilate")  # policies that the paper gives two projection heads
BATCH = "256"  # images that the released metric averages over on one GPU
ELSEWHERE = {
    metric: f"the paper's value is for {data} with a ResNet-50; this study has other data or another network"
    for metric, data in (("map", "OHMS"), ("top1", "ImageNet"))
}
NO_TOP1 = "the probe of this study is for many labels (probe.task) and has no top-1 accuracy"

Runs = Sequence[Mapping[str, Any]]


def check(metrics: Runs) -> dict[str, Any]:
    """Compare the runs of a study with every number that `oac.report.paper` knows.

    metrics: contents of metrics.json files. Returns what goes into check.json: `study`, `counts` of each status, and
    `values`, in the paper's order; of each `what`, `paper` (percent or points), `source`, `status`, `ours`,
    `half_width` (None without an interval), `ours_batch` (an mAP's, as the mean over batches of 256), `n`, `lines`
    (method/crops), `compared` (value or sign) and a `reason`.
    """
    found = [_check_value(metrics, key, "map") for key in VALUES]
    found += [_check_value(metrics, key, "top1") for key in TABLE_1]
    found += [_check_delta(metrics, delta) for delta in DELTAS]
    counts = Counter(entry["status"] for entry in found)
    return {
        "study": metrics[0]["study"] if metrics else None,
        "counts": {status: counts[status] for status in (REPRODUCED, NOT_REPRODUCED, NOT_RUN)},
        "values": found,
    }


def _check_value(metrics: Runs, key: Key, metric: str) -> dict[str, Any]:
    """One row of the paper: its mAP or top-1 accuracy in our interval, or not."""
    row = VALUES[key]
    value, name = (row.map_percent, "mAP") if metric == "map" else (row.top1_percent, "ImageNet top-1")
    entry = {"what": f"{_words(key)}, {name}", "paper": value, "source": row.source}
    if not has_metric(metrics, metric):
        return entry | _not_run(NO_TOP1)
    runs = runs_of(metrics, key)
    if not runs:
        return entry | _not_run("no such line in this study")
    ours = t_interval(list(_by_seed(runs, metric).values()))
    entry |= _ours(ours, len(runs), runs, "value")
    if metric == "map":
        entry["ours_batch"] = 100 * fmean(run["map_batch"][BATCH] for run in runs)
    if not on_papers_data(metrics, metric):
        return entry | {"status": NOT_RUN, "reason": ELSEWHERE[metric]}
    if ours.half_width is None or value is None:
        return entry | _judged(None)
    told = 2 * ours.half_width <= GAIN
    return entry | _judged(told and ours.low <= value <= ours.high) | ({} if told else {"reason": TOO_WIDE})


def _check_delta(metrics: Runs, delta: PaperDelta) -> dict[str, Any]:
    """One difference of the paper: its value in our interval, or elsewhere than on the paper's data its sign."""
    entry = {"what": delta.what, "paper": delta.points, "source": delta.source}
    if not has_metric(metrics, delta.metric):
        return entry | _not_run(NO_TOP1)
    same_data = on_papers_data(metrics, delta.metric)
    heads = delta.heads or (None, None)
    first = runs_of(metrics, delta.first, heads[0])
    others = [runs_of(metrics, key, heads[1]) for key in delta.second]
    if not first or not all(others):
        return entry | _not_run("no such lines in this study")
    ours, n = _difference(_by_seed(first, delta.metric), [_by_seed(runs, delta.metric) for runs in others])
    entry |= _ours(ours, n, [*first, *(run for runs in others for run in runs)], "value" if same_data else "sign")
    if ours.half_width is None:
        return entry | _judged(None)
    told = not ours.low <= 0 <= ours.high
    holds = ours.low <= delta.points <= ours.high if same_data else ours.mean * delta.points > 0
    return entry | _judged(told and holds) | ({} if told else {"reason": UNDECIDED})


def _difference(first: dict[int, float], others: list[dict[int, float]]) -> tuple[Interval, int]:
    """First less the mean of the others: paired over the seeds that all have, else Welch's; n of the seeds it is of.

    With one or two seeds in common it is Welch's where each side has three.
    """
    seeds = sorted(set(first).intersection(*others))
    fewest = min(len(first), *map(len, others))
    if seeds and (len(seeds) >= SMALLEST_SAMPLE or fewest < SMALLEST_SAMPLE or len(others) > 1):
        return t_interval([first[seed] - fmean(other[seed] for other in others) for seed in seeds]), len(seeds)
    if len(others) == 1:
        return welch_interval(list(first.values()), list(others[0].values())), fewest
    means = [fmean(other.values()) for other in others]
    return Interval(fmean(first.values()) - fmean(means), None), len(seeds)


def runs_of(metrics: Runs, key: Key, heads: int | None = None) -> list[Mapping[str, Any]]:
    """The runs of the line that a row of the paper is about, as the paper has it.

    Of several, that with the paper's number of heads, and of those the one with most seeds. Lines with an option of
    the released code, with another value of an ablation or a longer budget are others.
    """
    method, policy, boxes = key
    lines: dict[str, list[Mapping[str, Any]]] = {}
    shortest = min((entry["images_seen"] for entry in metrics if entry["method"] == method), default=0)
    for entry in metrics:
        if entry["method"] == method and entry["images_seen"] == shortest and _fits(entry, policy, boxes, heads):
            lines.setdefault(entry["crops"], []).append(entry)
    return max(
        lines.values(), key=lambda runs: (_heads(runs[0]) == (1 + (policy in TWO_HEADS)), len(runs)), default=[]
    )


def _fits(entry: Mapping[str, Any], policy: str | None, boxes: str | None, heads: int | None) -> bool:
    if entry["method"] in UNCROPPED_METHODS:
        return True
    line = entry["recipe"]["crops"]
    own = None if line["policy"] in UNBOXED_POLICIES else line.get("boxes")
    if heads is not None and _heads(entry) != heads:
        return False
    return (line["policy"], own) == (policy, boxes) and is_as_published(line, entry["method"])


def _heads(entry: Mapping[str, Any]) -> int:
    return int(entry["recipe"].get("options", {}).get("heads", 1))


def has_metric(metrics: Runs, metric: str) -> bool:
    """Whether the runs have a mean AP ("map"), as all have, or a top-1 accuracy ("top1")."""
    return any(metric in entry for entry in metrics) if metric != "map" else True


def on_papers_data(metrics: Runs, metric: str) -> bool:
    """Whether runs are of the paper's data and network: OHMS for "map", ImageNet for "top1", and a ResNet-50.

    Data are told by their source: Open Images or the authors' dicts are OHMS with as many photos; folders of classes
    are ImageNet where they have 1,000 classes and are used whole.
    """
    trained = [entry for entry in metrics if "data" in entry["recipe"]]
    return bool(metrics) and all(_on(entry, metric) for entry in trained)


def _on(entry: Mapping[str, Any], metric: str) -> bool:
    data, network = entry["recipe"]["data"], entry["recipe"]["backbone"]["name"]
    if network != "resnet50":
        return False
    if metric == "map":
        as_many = abs(entry["train_images"] / OHMS_IMAGES - 1) <= WITHIN
        return bool(data["source"] in ("openimages", "dicts") and as_many)
    whole = data["subset"].get("max_images") is None
    return bool(data["source"] == "imagenet" and entry["classes"] == IMAGENET_CLASSES and whole)


def _by_seed(runs: Runs, metric: str) -> dict[int, float]:
    return {entry["seed"]: 100 * entry[metric] for entry in runs}


def _words(key: Key) -> str:
    return ", ".join(part for part in key if part)


def _ours(ours: Interval, n: int, runs: Runs, compared: str) -> dict[str, Any]:
    lines = list(dict.fromkeys(f"{entry['method']}/{entry['crops']}" for entry in runs))
    found = {"ours": ours.mean, "half_width": ours.half_width, "ours_batch": None}
    return found | {"n": n, "lines": lines, "compared": compared}


def _judged(holds: bool | None) -> dict[str, Any]:
    if holds is None:
        return {"status": NOT_RUN, "reason": TOO_FEW}
    return {"status": REPRODUCED if holds else NOT_REPRODUCED, "reason": None}


def _not_run(reason: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"ours": None, "half_width": None, "ours_batch": None, "n": 0, "lines": []}
    return empty | {"compared": None, "status": NOT_RUN, "reason": reason}
