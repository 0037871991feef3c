"""The numbers of many runs as tables.

`collect` turns metrics.json dicts into one row per run; the tables, and the verdicts, are made of nothing else, so
every number in them leads back to a run and its recipe hash. Fractions in, percent out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from oac.report.formats import Column, Table, half_width, is_missing, points, text, write
from oac.report.headline import MAP, Headline, headline
from oac.report.paper import UNBOXED_POLICIES, PaperValue, is_as_published, paper_value
from oac.report.statistics import Interval, t_interval, welch_interval

__all__ = ["collect", "crops_table", "methods_table", "write"]

METHOD_NAMES = {
    "supervised": "Supervised",
    "cmc": "CMC",
    "byol": "BYOL",
    "swav": "SwAV",
    "moco_v2": "MoCo-v2",
    "random": "Random initialisation",
}
BOX_NAMES = {
    "bing": "BING",
    "ground_truth": "true",
    "random": "random",
    "opencv_bing": "OpenCV BING",
    "edge_boxes": "Edge Boxes",
    "selective_search": "selective search",
    "csv": "CSV",
}
BATCH_SIZES = (32, 64, 256)
RUN_COLUMNS = ["study", "method", "crops", "seed", "policy", "boxes", "map"]
COUNT_COLUMNS = ["classes", "train_images", "test_images", "images_seen"]


def collect(metrics: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run, in the order given, from the contents of metrics.json files.

    Columns: study, method, crops, seed, policy, boxes (None where not used), map and map_batch_{32,64,256} as
    fractions in [0, 1], classes, train_images, test_images, images_seen, recipe_hash, versions (JSON), as_published
    (whether the paper's value for its method, policy and boxes is of such a run: the paper's options, and the budget
    of its method's shortest line); top1 and top5 as fractions where the photos have one label each.

    Raises ValueError, naming the run, where a key is missing or a run is there twice.
    """
    metrics = list(metrics)
    accuracies = [key for key in ("top1", "top5") if any(key in entry for entry in metrics)]
    rows, crop_lines = [], []
    for entry in metrics:
        run = "/".join(str(entry.get(key, "?")) for key in ("study", "method", "crops", "seed"))
        try:
            row = {key: entry[key] for key in RUN_COLUMNS}
            row |= {f"map_batch_{size}": entry["map_batch"].get(str(size)) for size in BATCH_SIZES}
            row |= {key: entry[key] for key in [*accuracies, *COUNT_COLUMNS, "recipe_hash"]}
            row["as_published"] = is_as_published(entry.get("recipe", {}).get("crops", {}), entry["method"])
            row["versions"] = json.dumps(entry["versions"], sort_keys=True)
        except KeyError as error:
            raise ValueError(f"metrics of run {run} lack the key {error}: delete them, probe again") from None
        crop_lines.append(_crop_line(entry))
        rows.append(row)
    if not rows:
        raise ValueError("there are no runs to tabulate")
    runs = pd.DataFrame(rows)
    # Columns of objects, or pandas would turn None into NaN, which counts as true.
    runs["policy"], runs["boxes"] = (pd.Series(column, dtype=object) for column in zip(*crop_lines, strict=True))
    runs["as_published"] &= runs.images_seen == runs.groupby(["study", "method"]).images_seen.transform("min")
    twice = runs.duplicated(["study", "method", "crops", "seed"])
    if twice.any():
        study, method, crops, seed = runs.loc[twice.idxmax(), ["study", "method", "crops", "seed"]]
        raise ValueError(f"run {study}/{method}/{crops}/{seed} is given twice")
    return runs


def crops_table(runs: pd.DataFrame) -> Table:
    """Every crop line of MoCo-v2 in the order of the runs, then random initialisation and supervised."""
    return _table(runs, ["moco_v2", "random", "supervised"], "Crop policies")


def methods_table(runs: pd.DataFrame) -> Table:
    """The rows of the paper's table 1: every method, MoCo-v2 with scene-scene and object-dilate crops."""
    shown = (runs.method != "moco_v2") | runs.policy.isin(["scene-scene", "object-dilate"])
    shown = shown if shown.any() else ~shown  # a study of other crop lines has those
    others = [method for method in runs.method.unique() if method not in METHOD_NAMES]
    return _table(runs[shown], [*METHOD_NAMES, *others], "Methods")


def line_name(line: pd.DataFrame) -> str:
    """A crop line in words, with the source of its boxes."""
    boxes = line.boxes.iloc[0]
    return str(line.crops.iloc[0]) + (f" ({BOX_NAMES.get(boxes, boxes)} boxes)" if boxes else "")


def _crop_line(entry: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Policy and source of boxes of a run; None where its method does not crop or its policy has no boxes."""
    policy, boxes = (None if value in ("", "none") else value for value in (entry["policy"], entry["boxes"]))
    return policy, None if policy in UNBOXED_POLICIES else boxes


def _table(runs: pd.DataFrame, methods: list[str], title: str) -> Table:
    """The lines of `methods`, in this order and within a method in that of the runs."""
    lines = [line for method in methods for line in lines_of(runs[runs.method == method])]
    if not lines:
        raise ValueError(f"there is no run of {', '.join(methods)} to tabulate")
    shown = pd.concat(lines)
    check_comparable(shown)
    reference = next(iter(lines_of(shown[shown.method == "supervised"])), None)
    frame = pd.DataFrame([_row(line, reference) for line in lines])
    head = headline(shown)
    caption = (
        f"{title} on {shown.study.iloc[0]}: {head.words} of a linear probe over {shown.test_images.iloc[0]} test "
        f"images and {shown.classes.iloc[0]} classes, mean over n seeds with 95 % t-interval"
    )
    return Table(frame, _columns(head), caption, _notes(lines))


def lines_of(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """The runs that differ in the seed only, together; in the order of their first appearance."""
    return [line for _, line in runs.groupby(["method", "crops"], sort=False)]


def _row(line: pd.DataFrame, reference: pd.DataFrame | None) -> dict[str, Any]:
    """One line of a table at full precision; mAP or accuracy in percent, differences in points."""
    first, head = line.iloc[0], headline(line)
    estimate = t_interval(percent(line))
    is_reference = first.method == "supervised"
    difference = Interval(float("nan"), None)
    if reference is not None and not is_reference:
        difference = welch_interval(percent(line), percent(reference))
    paper = _paper(line)
    value = head.paper(paper)
    batches = {f"map_batch_{size}_percent": 100 * line[f"map_batch_{size}"].mean() for size in BATCH_SIZES}
    others = batches if head is MAP else {f"{key}_percent": 100 * line[key].mean() for key in ("top5", "map")}
    return {
        "method": first.method,
        "crops": first.crops,
        "policy": first.policy,
        "boxes": first.boxes,
        "n": len(line),
        f"{head.key}_percent": estimate.mean,
        f"{head.key}_half_width_percent": estimate.half_width,
        "difference_to_supervised_points": difference.mean,
        "difference_half_width_points": difference.half_width,
        **others,
        f"paper_{head.key}_percent": value,
        "paper_source": paper.source if paper and value is not None else None,
        "images_seen": int(line.images_seen.max()),
        "recipe_hashes": " ".join(line.recipe_hash),
    }


def _columns(head: Headline) -> list[Column]:
    """How a row reads in Markdown and LaTeX."""

    def difference(row: pd.Series) -> str:
        shown = points(row.difference_to_supervised_points, signed=True)
        width = row.difference_half_width_points
        return shown if is_missing(width) else f"{shown} {half_width(width)}"

    return [
        Column("Method", lambda row: METHOD_NAMES.get(row.method, row.method), number=False),
        Column("Crops", lambda row: text(None if row.crops == "none" else row.crops), number=False),
        Column("Policy", lambda row: text(row.policy), number=False),
        Column("Boxes", lambda row: text(BOX_NAMES.get(row.boxes, row.boxes)), number=False),
        Column("n", lambda row: text(row.n)),
        Column(head.header, lambda row: points(row[f"{head.key}_percent"])),
        Column("95 % interval (points)", lambda row: half_width(row[f"{head.key}_half_width_percent"])),
        Column("Difference to supervised (points)", difference),
        *head.further(),
        Column(f"Paper, {head.data} (%)", lambda row: points(row[f"paper_{head.key}_percent"])),
    ]


def _notes(lines: list[pd.DataFrame]) -> list[str]:
    """Where the paper's values stand; provenance of ours: images seen, recipe of every run, versions."""
    seen = "; ".join(f"{_key(line)} {_distinct(line.images_seen)}" for line in lines)
    recipes = "; ".join(f"{_key(line)} {_distinct(line.recipe_hash)}" for line in lines)
    versions: dict[str, set[str]] = {}
    for run in pd.concat(lines).versions:
        for package, version in json.loads(run).items():
            versions.setdefault(package, set()).add(str(version))
    software = "; ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))
    head = headline(lines[0])
    remarks = {
        # The paper's notes are of its mAPs.
        f"Paper's {points(percent)}: {value.source}" + (f", {value.note}" if value.note and head is MAP else "")
        for line in lines
        if (value := _paper(line)) and (percent := head.paper(value)) is not None
    }
    return [
        *(f"{remark}." for remark in sorted(remarks)),
        f"Images seen in pretraining: {seen}.",
        f"Recipes: {recipes}.",
        f"Versions: {software}.",
    ]


def _paper(line: pd.DataFrame) -> PaperValue | None:
    """The paper's value for a line that is as the paper has it."""
    first = line.iloc[0]
    return paper_value(first.method, first.policy, first.boxes) if first.as_published else None


def _key(line: pd.DataFrame) -> str:
    return f"{line.method.iloc[0]}/{line.crops.iloc[0]}"


def _distinct(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def percent(line: pd.DataFrame) -> list[float]:
    return [100 * value for value in line[headline(line).key]]


def check_comparable(runs: pd.DataFrame) -> None:
    """Refuse to compare runs of several studies, or of several test sets."""
    for column in ("study", "classes", "test_images"):
        values = runs[column].unique()
        if len(values) > 1:
            raise ValueError(
                f"runs with different {column} cannot be compared: {', '.join(map(str, values))}; "
                "probe them again on the same data"
            )
