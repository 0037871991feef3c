"""Variants against each other: the contrasts that a study declares, which are tested, and the rest, described.

They are shown as a table, and the contrasts as verdicts: does object-aware cropping win?

Two runs of one seed start from the same weights and see the photos in the same order, so the difference is taken
seed by seed. The interval over seeds and the one over test photos answer two questions; neither stands for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from oac.report.formats import MISSING, Column, Row, Table, change, interval_text, p_value, p_words, points
from oac.report.results import MAP, Metric, Results, Variant, method_name
from oac.report.statistics import SMALLEST_SAMPLE, Difference, adjusted, t_interval
from oac.studies import FIXED_ENCODERS, RANDOM_INIT

PRIMARY, SECONDARY, DESCRIPTIVE = "primary", "secondary", "descriptive"

Runs = Mapping[int, Mapping[str, Any]]
"""Contents of metrics.json by seed"""


@dataclass(frozen=True)
class Comparison:
    """A variant against another one."""

    variant: Variant
    against: Variant
    difference: Difference
    """of a contrast, p is adjusted for all contrasts of the study"""
    role: str
    """PRIMARY, SECONDARY or DESCRIPTIVE"""


def comparisons(results: Results) -> list[Comparison]:
    """The study's contrasts, the primary one first, and then what is described: `_described` without these."""
    key = results.metric.key
    found = []
    for place, names in enumerate(results.contrasts):
        variant, against = (results.variant(*name) for name in names)
        if variant and against:
            change = variant.difference_to(against, key)
            found.append(Comparison(variant, against, change, SECONDARY if place else PRIMARY))
    tested = adjusted([contrast.difference for contrast in found])
    found = [replace(contrast, difference=change) for contrast, change in zip(found, tested, strict=True)]
    declared = [(contrast.variant.key, contrast.against.key) for contrast in found]
    for variant, against in _described(results):
        if (variant.key, against.key) not in declared:
            found.append(Comparison(variant, against, variant.difference_to(against, key), DESCRIPTIVE))
    return found


def _described(results: Results) -> list[tuple[Variant, Variant]]:
    """Every variant of a method and its scene-scene variant of the same budget, then the untrained network.

    Of several scene-scene variants of one budget the baseline of object crops is one that was trained with the same
    options, and of these the one that is named so, else the first.
    """
    untrained = results.of(RANDOM_INIT)
    pairs = []
    for variant in (variant for variant in results.variants if variant.trained):
        scenes = [
            other
            for other in results.of(variant.method)
            if other.policy == "scene-scene" and other.images_seen == variant.images_seen
        ]
        is_scene = variant.policy == "scene-scene"
        alike = [] if is_scene else [other for other in scenes if other.training == variant.training]
        baseline = sorted(alike or scenes, key=lambda other: other.crops != "scene-scene")[:1]
        pairs += [(variant, other) for other in [*baseline, *untrained] if other is not variant]
    return pairs


def pairs_table(results: Results) -> Table:
    """One row for each comparison. A run of metrics.json may have `jackknife`."""
    found = comparisons(results)
    rows = [_row(comparison, results.metric) for comparison in found]
    tested = [comparison.difference for comparison in found if comparison.difference.p_holm is not None]
    significant = f" {sum(change.significant for change in tested)} of {len(tested)} contrasts are significant;"
    caption = (
        f"{results.title}, variants against each other:{significant if tested else ''} difference of the"
        f" {results.metric.words} of a linear probe over {results.tested_on}"
    )
    return Table(rows, _columns(results.metric), caption, _notes(rows, results.metric))


def _row(comparison: Comparison, metric: Metric) -> dict[str, Any]:
    """One comparison at full precision, in points."""
    variant, against, found = comparison.variant, comparison.against, comparison.difference
    seeds = sorted(set(variant.runs) & set(against.runs))
    # The pseudo-values are of the mAP.
    low, high = (photo_interval(variant.runs, against.runs, seeds) if metric is MAP else None) or (None, None)
    return {
        "role": comparison.role,
        **{key: getattr(variant, key) for key in ("method", "crops", "boxes", "label")},
        **{f"against_{key}": getattr(against, key) for key in ("method", "crops", "boxes", "label")},
        "n": found.n,
        "paired": found.paired,
        "seeds": " ".join(map(str, seeds)),
        "difference": found,
        "photos_low_points": low,
        "photos_high_points": high,
    }


def photo_interval(first: Runs, second: Runs, seeds: Sequence[int]) -> tuple[float, float] | None:
    """The 95 % jackknife interval over test photos of the mean difference of some seeds, in points.

    A run of metrics.json may have `jackknife`: `images`, a hash of the test photos, and `pseudo_values`, one of each
    (`oac.probe.jackknife`). The difference is taken photo by photo and averaged over the seeds. None below three
    seeds, and where a run has no pseudo-values, or those of other photos.
    """
    found = [side[seed].get("jackknife") for side in (first, second) for seed in seeds]
    whole = [run for run in found if run]
    alike = len({(run["images"], len(run["pseudo_values"])) for run in whole}) == 1
    if len(seeds) < SMALLEST_SAMPLE or len(whole) < len(found) or not alike:
        return None
    values = np.array([run["pseudo_values"] for run in whole]).reshape(2, len(seeds), -1)
    mean, half = astuple(t_interval(100 * (values[0] - values[1]).mean(axis=0)))
    return float(mean - half), float(mean + half)


def _columns(metric: Metric) -> list[Column]:
    """How a row reads for people."""

    def photos(row: Row) -> str:
        ends = [row["photos_low_points"], row["photos_high_points"]]
        return MISSING if None in ends else " to ".join(points(end, signed=True) for end in ends)

    def tested(row: Row, p: float | None) -> str:
        return MISSING if row["role"] == DESCRIPTIVE else p_value(p)

    return [
        Column("Role", "role", number=False),
        Column("Method", lambda row: method_name(row["method"]), number=False),
        Column("Variant", _in_words, number=False),
        Column("Against", lambda row: _in_words(row, "against_"), number=False),
        Column("n", lambda row: f"{row['n']}" + ("" if row["paired"] else " (unpaired)")),
        Column(
            f"Difference in {metric.name} (points), 95 % interval over seeds", lambda row: change(row["difference"])
        ),
        Column("p, t-test", lambda row: tested(row, row["difference"].p)),
        Column("p, adjusted (Holm)", lambda row: p_value(row["difference"].p_holm)),
        Column("p, exact sign-flip test", lambda row: tested(row, row["difference"].p_flip)),
        Column("95 % interval over test photos (points)", photos),
    ]


def _in_words(row: Row, side: str = "") -> str:
    """The variant of a side in words; the method stands beside it."""
    method, crops, boxes, label = (row[f"{side}{key}"] for key in ("method", "crops", "boxes", "label"))
    if method in FIXED_ENCODERS:
        return method_name(method)
    return Variant(method, crops, None, boxes, label=label).crops_name


def _notes(rows: Sequence[Row], metric: Metric) -> list[str]:
    """What each interval covers, what a pair is, and how many rows are tested."""
    tested = sum(row["difference"].p_holm is not None for row in rows)
    notes = [
        "Primary and secondary rows are the contrasts that the study file declares. Their p is"
        f" adjusted for all {tested} that are tested: that one below 0.05 stands in any row whose variants do not"
        " differ has a chance of 5 % at most. Such a difference is called significant.",
        "Descriptive rows have an interval and no p. Against: the method's scene-scene variant with as many images"
        " seen (of several one that was trained alike, and the one of that name), and the network as it was"
        f" initialised. The difference is the variant's {metric.name} less that one's.",
        "Interval over seeds and p: how far the difference depends on the training, were it done again with other"
        " seeds; the test photos are the same. Student's t on the differences of n common seeds, two-sided; Welch's"
        " where seeds do not pair.",
        "Exact sign-flip test: the share of the 2^n signs of the n differences whose mean is as far from 0 or"
        " farther. It assumes no normal distribution and is 2 / 2^n at least, so it can say nothing below six seeds."
        " Not adjusted; not given for more than 16 seeds.",
        "Interval over test photos: how far it depends on which photos were tested, the trained networks being these;"
        " a jackknife of the mean difference, freed of the bias that a mAP of few photos has, so that it need not lie"
        " around the difference."
        " It says nothing of other seeds, and an interval over seeds nothing of other photos.",
        "A pair is two runs of one seed: they start from the same weights and, where both are trained, see the photos"
        " in the same order. Pairing takes out what these decide, no more.",
    ]
    notes = (
        notes
        if tested
        else ["The study declares no contrast that has three seeds, so nothing is tested.", *notes[1:]]
    )
    if any(row["difference"].half_width is None for row in rows):
        notes.append("Rows of fewer than three seeds have neither interval nor p.")
    if all(row["photos_low_points"] is None for row in rows):
        needs = (
            "it needs probe.jackknife in the study, and three common seeds" if metric is MAP else "it is of the mAP"
        )
        notes.append(f"No row has an interval over test photos: {needs}.")
    return notes


def verdicts(results: Results) -> list[str]:
    """One sentence for each contrast that the study declares, the primary one first.

    "above" and "below" mean that the p of the difference, adjusted for all of them, is below 0.05.
    """
    return [_verdict(found, results.metric) for found in comparisons(results) if found.role != DESCRIPTIVE]


def _mean(side: Variant, comparison: Comparison, metric: Metric) -> str:
    """The mean of one side over the seeds that the difference is of, so that the numbers of a sentence add up."""
    values = side.values(metric.key)
    if comparison.difference.paired:
        common = comparison.variant.runs.keys() & comparison.against.runs.keys()
        values = {seed: value for seed, value in values.items() if seed in common}
    return f"{interval_text(t_interval(values.values()))} (n = {len(values)})"


def _verdict(comparison: Comparison, metric: Metric) -> str:
    """One sentence with the numbers of both variants and their difference."""
    sides, found = (comparison.variant, comparison.against), comparison.difference
    first, second = (side.name if side.trained else side.name.lower() for side in sides)
    ours, others = (_mean(side, comparison, metric) for side in sides)
    numbers = f"{ours} against {others} {metric.name}, difference {change(found)}"
    lead = "Primary contrast. " if comparison.role == PRIMARY else ""
    if found.p_holm is None:
        why = f"fewer than {SMALLEST_SAMPLE} seeds" if found.half_width is None else "no spread over seeds"
        return f"{lead}No verdict on {first} against {second}, {why}: {numbers}."
    numbers += f"{p_words(found.p_holm)} after Holm"
    if not found.significant:
        return f"{lead}There is no significant difference between {first} and {second}: {numbers}."
    return f"{lead}{first} is {'above' if found.mean > 0 else 'below'} {second}: {numbers}."
