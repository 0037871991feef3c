"""Tests between arms, paired by seed: crop lines against scene crops, trained lines against random initialisation.

Two runs of one seed start from the same weights and see the photos in the same order, so the difference is taken
seed by seed. The interval over seeds and the one over test photos answer two questions; neither stands for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from oac.report.formats import MISSING, Column, Table, half_width, is_missing, points, text
from oac.report.headline import MAP, Headline, headline
from oac.report.statistics import SMALLEST_SAMPLE, Interval, holm, paired_p, t_interval
from oac.report.tables import BOX_NAMES, METHOD_NAMES, check_comparable, collect

Metrics = Sequence[Mapping[str, Any]]
Resamples = Mapping[int, Mapping[str, Any] | None]

_ROW = ["method", "crops", "boxes", "against_method", "against_crops", "against_boxes", "n", "seeds"]
_ROW += ["difference_points", "half_width_points", "p", "p_holm", "photos_low_points", "photos_high_points"]


class Pair(NamedTuple):
    """Two lines, each a table of the runs that differ in the seed only."""

    line: pd.DataFrame
    against: pd.DataFrame


def pairs_table(metrics: Metrics) -> Table:
    """One row for each pair of lines.

    metrics: contents of metrics.json files of one study, each perhaps with `bootstrap`. Raises ValueError where runs
    cannot be compared.
    """
    runs = collect(metrics)
    check_comparable(runs)
    bootstraps: dict[tuple[str, str], dict[int, Any]] = {}
    for entry in metrics:
        bootstraps.setdefault((entry["method"], entry["crops"]), {})[entry["seed"]] = entry.get("bootstrap")
    head = headline(runs)
    rows = [_row(pair, head, *(bootstraps[_key(line)] for line in pair)) for pair in pairs(runs)]
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    caption = (
        f"Lines against each other on {runs.study.iloc[0]}: difference of the {head.words} of a linear probe over"
        f" {runs.test_images.iloc[0]} test images, paired by seed"
    )
    return Table(pd.DataFrame(rows, columns=_ROW), _columns(head), caption, _notes(rows, head))


def pairs(runs: pd.DataFrame) -> list[Pair]:
    """Every line of a method against its scene-scene line of the same budget, then against random initialisation.

    runs: as `oac.report.tables.collect` makes them. Of several scene-scene lines of one budget the one that is named
    so is the baseline, else the first.
    """
    lines = [line for _, line in runs.groupby(["method", "crops"], sort=False)]
    untrained = [line for line in lines if line.method.iloc[0] == "random"]
    found = []
    for line in (line for line in lines if line.method.iloc[0] != "random"):
        scenes = [other for other in lines if _is_scene_line_for(line, other)]
        baseline = sorted(scenes, key=lambda other: other.crops.iloc[0] != "scene-scene")[:1]
        found += [Pair(line, other) for other in [*baseline, *untrained] if _key(line) != _key(other)]
    return found


def _is_scene_line_for(line: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether `other` crops scenes for the same method and as long."""
    first, second = line.iloc[0], other.iloc[0]
    same = (first.method, line.images_seen.max()) == (second.method, other.images_seen.max())
    return bool(same and second.policy == "scene-scene")


def _key(line: pd.DataFrame) -> tuple[str, str]:
    return str(line.method.iloc[0]), str(line.crops.iloc[0])


def _row(pair: Pair, head: Headline, first: Resamples, second: Resamples) -> dict[str, Any]:
    """One line of the table at full precision, in points; p_holm is filled in when all rows are there."""
    ours, others = (dict(zip(line.seed, 100 * line[head.key], strict=True)) for line in pair)
    seeds = sorted(set(ours) & set(others))
    difference, p = Interval(float("nan"), None), None
    if seeds:
        difference = t_interval([ours[seed] - others[seed] for seed in seeds])
        p = paired_p([ours[seed] for seed in seeds], [others[seed] for seed in seeds])
    # The resamples are of the mAP.
    low, high = (photo_interval(first, second, seeds) if head is MAP else None) or (None, None)
    (method, crops), (against_method, against_crops) = map(_key, pair)
    return {
        "method": method,
        "crops": crops,
        "boxes": pair.line.boxes.iloc[0],
        "against_method": against_method,
        "against_crops": against_crops,
        "against_boxes": pair.against.boxes.iloc[0],
        "n": len(seeds),
        "seeds": " ".join(map(str, seeds)),
        "difference_points": difference.mean,
        "half_width_points": difference.half_width,
        "p": p,
        "photos_low_points": low,
        "photos_high_points": high,
    }


def photo_interval(first: Resamples, second: Resamples, seeds: Sequence[int]) -> tuple[float, float] | None:
    """The 95 % percentile interval over test photos of the mean difference of some seeds, in points.

    first, second: by seed what metrics.json has as `bootstrap`: `images`, a hash of the test photos, and `maps`, the
    mAP of each resample in [0, 1]. The k-th resample of the same photos is the same test set, so the difference is
    taken resample by resample and then averaged over the seeds. None below three seeds, and where a run has no
    resamples, or those of other photos or of another number.
    """
    found = [side.get(seed) for side in (first, second) for seed in seeds]
    whole = [resamples for resamples in found if resamples]
    alike = len({(resamples["images"], len(resamples["maps"])) for resamples in whole}) == 1
    if len(seeds) < SMALLEST_SAMPLE or len(whole) < len(found) or not alike:
        return None
    maps = np.array([resamples["maps"] for resamples in whole]).reshape(2, len(seeds), -1)
    low, high = np.quantile(100 * (maps[0] - maps[1]).mean(axis=0), [0.025, 0.975])
    return float(low), float(high)


def _in_words(method: str, crops: str, boxes: Any) -> str:
    """A line in words; the method stands beside it."""
    if method == "random":
        return METHOD_NAMES[method]
    return crops if is_missing(boxes) else f"{crops} ({BOX_NAMES.get(boxes, boxes)} boxes)"


def _columns(head: Headline) -> list[Column]:
    """How a row reads for people."""

    def photos(row: pd.Series) -> str:
        if is_missing(row.photos_low_points):
            return MISSING
        return f"{points(row.photos_low_points, signed=True)} to {points(row.photos_high_points, signed=True)}"

    return [
        Column("Method", lambda row: METHOD_NAMES.get(row.method, row.method), number=False),
        Column("Line", lambda row: _in_words(row.method, row.crops, row.boxes), number=False),
        Column(
            "Against",
            lambda row: _in_words(row.against_method, row.against_crops, row.against_boxes),
            number=False,
        ),
        Column("n", lambda row: text(row.n)),
        Column(f"Difference in {head.name} (points)", lambda row: points(row.difference_points, signed=True)),
        Column("95 % interval over seeds (points)", lambda row: half_width(row.half_width_points)),
        Column("p, paired t test", lambda row: p_value(row.p)),
        Column("p, adjusted (Holm)", lambda row: p_value(row.p_holm)),
        Column("95 % interval over test photos (points)", photos),
    ]


def p_value(value: Any) -> str:
    """p with three decimals; an en dash where there is none."""
    if is_missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _notes(rows: Sequence[Mapping[str, Any]], head: Headline) -> list[str]:
    """What each interval covers, what a pair is, and how many rows are tested."""
    tested = sum(row["p"] is not None for row in rows)
    notes = [
        "Against: the method's scene-scene line with as many images seen (where there are several, the one of that"
        " name, else the first), and the network as it was initialised. The difference is the line's"
        f" {head.name} less that one's.",
        "Interval over seeds and p: how far the difference depends on the training, were it done again with other"
        " seeds; the test photos are the same. Student's t on the differences of n common seeds, two-sided.",
        "Interval over test photos: how far it depends on which photos were tested, the trained networks being these;"
        " percentiles of the mean difference over resamples of the test photos, the same for all runs."
        " It says nothing of other seeds, and an interval over seeds nothing of other photos.",
        "A pair is two runs of one seed: they start from the same weights and, where both are trained, see the photos"
        " in the same order. Pairing takes out what these decide, no more.",
        f"Adjusted p: for the {tested} tested rows of this table. Among many rows some p is small by chance; that an"
        " adjusted p below 0.05 stands in any row whose lines do not differ has a chance of 5 % at most.",
    ]
    if any(row["n"] < SMALLEST_SAMPLE for row in rows):
        notes.append("Rows of fewer than three common seeds have neither interval nor p.")
    if all(row["photos_low_points"] is None for row in rows):
        needs = (
            "it needs probe.bootstrap in the study, and three seeds"
            if head is MAP
            else "its resamples are of the mAP"
        )
        notes.append(f"No row has an interval over test photos: {needs}.")
    return notes
