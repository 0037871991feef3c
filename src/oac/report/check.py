"""The paper's numbers against ours: check.json, and its table.

A value compares with the paper's on the paper's data only: a mean AP on OHMS and a top-1 accuracy on ImageNet, both
with a ResNet-50. There it is reproduced where our interval holds the paper's. Elsewhere a value is `not comparable`,
whatever ours is, and of a difference the sign is compared, which reproduces nothing: `same sign` says that our 95 %
interval lies on the paper's side of 0, `opposite sign` that it lies on the other one. `inconclusive` is an interval
that cannot tell. `not run` is said only of what the study has no runs of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from oac.crop_options import ASYMMETRIC_POLICIES
from oac.report.formats import MISSING, Column, Row, Table, interval_text, points, shown
from oac.report.paper import DELTAS, TABLE_1, VALUES, Key, PaperDelta
from oac.report.results import BATCH, BATCH_MAP, MAP, TOP1, Metric, Results, Variant, method_name
from oac.report.statistics import Interval, difference

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
NOT_COMPARABLE, NOT_RUN = "not comparable", "not run"  # runs that do not compare with the paper's, and no runs
SAME_SIGN, OPPOSITE_SIGN, INCONCLUSIVE = "same sign", "opposite sign", "inconclusive"
EMPTY: dict[str, Any] = {"status": NOT_RUN, "reason": None, "ours": None, "half_width": None, "ours_batch": None}
EMPTY |= {"n": 0, "variants": [], "compared": None}
STATUSES = (REPRODUCED, NOT_REPRODUCED, SAME_SIGN, OPPOSITE_SIGN, INCONCLUSIVE, NOT_COMPARABLE, NOT_RUN)
PAPERS_METRICS = {MAP: "mAP", TOP1: "ImageNet top-1"}
IMAGENET_CLASSES = 1000
OHMS_IMAGES = 212_753  # of train, section 3; within WITHIN of it, for photos can be gone
WITHIN = 0.05
ON_VALIDATION = "tested on validation photos, as a study that chooses options is"
TOO_FEW = "fewer than 3 seeds, so there is no interval"
UNDECIDED = "our interval holds 0: the study cannot tell the sign"
GAIN = 8.8  # object-dilate over scene-scene, table 1
TOO_WIDE = f"our interval is wider than the gain that the paper reports, {GAIN} points: the study cannot tell"
ELSEWHERE = {
    metric.key: f"the paper's value is for {metric.data} with a ResNet-50;"
    " this study has other data or another network"
    for metric in (MAP, TOP1)
}
NO_TOP1 = "the probe of this study is for many labels (probe.task) and has no top-1 accuracy"
NOT_KNOWN = "not known"
NO_NUMBER = "the paper has no number for this variant, or only a point in a figure"
# The csv has the whole.
SHORTER = {ELSEWHERE[metric.key]: f"not {metric.data} with a ResNet-50" for metric in (MAP, TOP1)}
SHORTER[NO_NUMBER] = "no number in the paper"


def check(results: Results) -> dict[str, Any]:
    """Compare the runs of a study with every number that `oac.report.paper` knows.

    Returns what goes into check.json: `study`, `counts` of each status, and `values`, in the paper's order; of each
    `what`, `paper` (percent or points), `source`, `status`, `ours`, `half_width` (None without an interval),
    `ours_batch` (an mAP's, averaged over batches of 256), `n`, `variants` (method/crops), `compared` (value or sign)
    and a `reason`.
    """
    found = [_check_value(results, key, MAP) for key in VALUES]
    found += [_check_value(results, key, TOP1) for key in TABLE_1]
    found += [_check_delta(results, delta) for delta in DELTAS]
    counts = Counter(entry["status"] for entry in found)
    return {"study": results.study, "counts": {status: counts[status] for status in STATUSES}, "values": found}


def _check_value(results: Results, key: Key, metric: Metric) -> dict[str, Any]:
    """One row of the paper: its mAP or top-1 accuracy in our interval, or not."""
    value = VALUES[key].percent(metric.key)
    entry = EMPTY | {"what": _what(key, metric), "paper": value, "source": VALUES[key].source}
    if metric not in (MAP, results.metric):
        return entry | {"reason": NO_TOP1}
    variant = variant_of(results, key)
    if variant is None or value is None:
        return entry | {"reason": "no such variant in this study"}
    ours = variant.estimate(metric.key)
    entry |= _ours_alone(variant, metric) | {"compared": "value", "status": NOT_COMPARABLE}
    if not on_papers_data(results, metric.key):
        return entry | {"reason": ELSEWHERE[metric.key]}
    if results.split != "test":
        return entry | {"reason": ON_VALIDATION}
    if ours.half_width is None:
        return entry | {"reason": TOO_FEW}
    if 2 * ours.half_width > GAIN:
        return entry | {"status": INCONCLUSIVE, "reason": TOO_WIDE}
    return entry | {"status": REPRODUCED if ours.holds(value) else NOT_REPRODUCED}


def _check_delta(results: Results, delta: PaperDelta) -> dict[str, Any]:
    """One difference of the paper: its value in our interval, or elsewhere than on the paper's data its sign."""
    entry = EMPTY | {"what": delta.what, "paper": delta.points, "source": delta.source}
    if delta.metric not in (MAP.key, results.metric.key):
        return entry | {"reason": NO_TOP1}
    heads = delta.heads or (None, None)
    first = variant_of(results, delta.first, heads[0])
    others = [variant for key in delta.second if (variant := variant_of(results, key, heads[1]))]
    if first is None or len(others) < len(delta.second):
        return entry | {"reason": "no such variants in this study"}
    entry |= {"status": NOT_COMPARABLE}
    second = _mean_over([variant.values(delta.metric) for variant in others])
    if not second:
        return entry | {"reason": "these variants have no seed in common"}
    same_data = on_papers_data(results, delta.metric)
    ours = difference(first.values(delta.metric), second)
    entry |= _ours(ours, ours.n, [first, *others]) | {"compared": "value" if same_data else "sign"}
    if results.split != "test":
        return entry | {"reason": ON_VALIDATION}
    if ours.half_width is None:
        return entry | {"reason": TOO_FEW}
    if not ours.excludes_zero:
        return entry | {"status": INCONCLUSIVE, "reason": UNDECIDED}
    if same_data:
        return entry | {"status": REPRODUCED if ours.holds(delta.points) else NOT_REPRODUCED}
    return entry | {"status": SAME_SIGN if ours.mean * delta.points > 0 else OPPOSITE_SIGN}


def _what(key: Key, metric: Metric) -> str:
    """What an entry of check.json is of, by its keys."""
    return ", ".join([*filter(None, key), PAPERS_METRICS[metric]])


def _words(variant: Variant, metric_name: str) -> str:
    """The same in words."""
    crops = [] if variant.crops == "none" else [variant.crops_name]
    return ", ".join([method_name(variant.method), *crops, metric_name])


def _mean_over(samples: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean of several samples by seed, over the seeds that all have."""
    seeds = sorted(set(samples[0]).intersection(*samples))
    return {seed: fmean(sample[seed] for sample in samples) for seed in seeds}


def variant_of(results: Results, key: Key, heads: int | None = None) -> Variant | None:
    """The variant that a row of the paper is about, as the paper has it.

    Of several, that with the paper's number of heads, and of those the one with most seeds. Variants with an option
    of the released code, with another value of an ablation or a longer budget are others.
    """
    fitting = [
        variant for variant in results.variants if variant.paper is VALUES[key] and heads in (None, variant.heads)
    ]
    papers_heads = 1 + (key[1] in ASYMMETRIC_POLICIES)
    return max(fitting, key=lambda variant: (variant.heads == papers_heads, variant.n), default=None)


def on_papers_data(results: Results, metric: str) -> bool:
    """Whether runs are of the paper's data and network: OHMS for "map", ImageNet for "top1", and a ResNet-50.

    Data are told by their source: Open Images or the authors' dicts are OHMS with as many photos; folders of classes
    are ImageNet where they have 1,000 classes and are used whole. Runs that were not trained have no data.
    """
    found = [_on_papers_data(run, metric) for run in results.runs() if "data" in run["recipe"]]
    return bool(found) and all(found)


def _on_papers_data(run: Mapping[str, Any], metric: str) -> bool:
    data, network = run["recipe"]["data"], run["recipe"]["backbone"]["name"]
    if network != "resnet50":
        return False
    if metric == "map":
        as_many = abs(run["train_images"] / OHMS_IMAGES - 1) <= WITHIN
        return bool(data["source"] in ("openimages", "dicts") and as_many)
    whole = data["subset"].get("max_images") is None
    return bool(data["source"] == "imagenet" and run["classes"] == IMAGENET_CLASSES and whole)


def _ours(ours: Interval, n: int, variants: Sequence[Variant]) -> dict[str, Any]:
    names = list(dict.fromkeys(variant.key for variant in variants))
    return {"ours": ours.mean, "half_width": ours.half_width, "n": n, "variants": names}


def _ours_alone(variant: Variant, metric: Metric) -> dict[str, Any]:
    """The same of one variant; a mAP also averaged over batches, as the paper's most likely is."""
    batch = variant.estimate(BATCH_MAP).mean if metric is MAP else None
    return _ours(variant.estimate(metric.key), variant.n, [variant]) | {"ours_batch": batch}


def paper_table(checked: Mapping[str, Any], results: Results) -> Table:
    """One row for each number of the paper, in its order, then one for each variant that it has none for.

    checked: contents of check.json; results: what it was made of.
    """
    known = {variant for entry in checked["values"] for variant in entry["variants"]}
    others = [_unknown(variant, results.metric) for variant in results.variants if variant.key not in known]
    caption = f"The paper's numbers (percent of mAP on OHMS, or points) beside those of {results.title}"
    rows = [_row(entry) for entry in [*checked["values"], *others]]
    return Table(rows, _columns(), caption, _notes(checked, bool(others)))


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One number of check.json, or a variant without one."""
    ours, paper = entry["ours"], entry["paper"]
    return {
        **entry,
        "variants": " ".join(entry["variants"]),
        "difference": None if ours is None or paper is None else ours - paper,
        "compared": None if entry["status"] in (NOT_COMPARABLE, NOT_RUN) else entry["compared"],
    }


def _unknown(variant: Variant, metric: Metric) -> dict[str, Any]:
    """The entry of a variant that no number of the paper is about."""
    entry = EMPTY | {"what": _words(variant, metric.name), "paper": None, "source": None}
    return entry | _ours_alone(variant, metric) | {"status": None, "reason": NO_NUMBER}


def _columns() -> list[Column]:
    """How a row reads for people; check.json has keys."""
    words = {
        _what(key, metric): _words(Variant.named(key[0], key[1] or "none", *key[1:]), name)
        for key in VALUES
        for metric, name in PAPERS_METRICS.items()
    }

    def ours(row: Row) -> str:
        if row["ours"] is None:
            return MISSING
        return f"{interval_text(Interval(row['ours'], row['half_width']))} (n = {row['n']})"

    def status(row: Row) -> str:
        return f"{row['status']} ({row['compared']})" if row["compared"] else shown(row["status"])

    return [
        Column("What", lambda row: words.get(str(row["what"]), str(row["what"])), number=False),
        Column("Paper", lambda row: NOT_KNOWN if row["paper"] is None else points(row["paper"])),
        Column("Ours", ours),
        Column(f"Ours, batch-averaged mAP ({BATCH})", "ours_batch"),
        Column("Ours less the paper's (points)", lambda row: points(row["difference"], signed=True)),
        Column("Status (what is compared)", status, number=False),
        Column("Why", lambda row: shown(SHORTER.get(row["reason"], row["reason"])), number=False),
        Column("Source in the paper", "source", number=False),
    ]


def _notes(checked: Mapping[str, Any], others: bool) -> list[str]:
    """What the columns mean, and how many there are of each status."""
    counts = ", ".join(f"{count} {status}" for status, count in checked["counts"].items() if count)
    notes = [
        f"Of {len(checked['values'])} numbers: {counts}. The same stands in check.json.",
        "A value of the paper compares on OHMS with a ResNet-50 alone; elsewhere ours is not comparable.",
        "Reproduced: on OHMS with a ResNet-50 our 95 % interval holds the paper's value. Same sign: on other data our"
        " interval of a difference lies on the paper's side of 0; the size of the difference says nothing there."
        " Inconclusive: our interval holds 0, or is too wide to tell.",
        "± is the half width of a 95 % t-interval over n seeds. The paper's mAP most likely is averaged over batches,"
        " which gives higher numbers than the mAP over the test set: that one of ours has a column, the status is of"
        " the mAP.",
    ]
    if others:
        notes.append(
            "At the end: variants of this study for which the paper's value is not known. It has no number for them,"
            " or only a point in a figure."
        )
    return notes
