"""The audit: the effect of each difference between the paper and its released code, and its table.

A study of the audit has variants that differ in one option. They are found here by their recipes, so no list says
which belong together: `steps` pairs two variants that differ in one audited option and in nothing else, the published
side first. `docs/audit.md` says what the options are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean
from typing import Any

from oac.crop_options import AUDITED, OPTIONS, published
from oac.report.formats import Column, Table, ends, p_value, points, shown
from oac.report.results import BATCH, BATCH_MAP, MAP, Results, Variant, value_name
from oac.report.statistics import NO_DIFFERENCE, Difference, adjusted_columns, difference, power
from oac.report.variant_tables import recipes_note

NOTHING = "no two variants of this study differ in one option of the audit: see config/studies/audit.yaml"
NAMES = {key: OPTIONS[key].label for key in (*AUDITED, "budget")} | {"metric": "Metric", "picked": "Model picked"}
# What has no meaning beside some value of an option.
IDLE_BESIDE = {"scales": ("scale_lower", "scale_cap"), "scale_lower": ("scale_cap",)}
AIM = 2.0  # points: the half-width that the power of the study is said for
BEST, LAST = "best_epoch.best", "best_epoch.last"


@dataclass(frozen=True)
class Step:
    """One row: an option, its two values, and the numbers that are compared before and after."""

    kind: str  # option, readout or comparison
    option: str
    before: Variant
    after: Variant
    values: tuple[str, str]  # what the option is before and after, in words
    keys: tuple[str, str] = (MAP.key, MAP.key)  # which number is compared before and after ...
    batch_keys: tuple[str, str] | None = (BATCH_MAP, BATCH_MAP)  # ... and which batch-averaged one

    @property
    def change(self) -> Difference:
        """After less before, in points."""
        return difference(self.after.values(self.keys[1]), self.before.values(self.keys[0]))

    @property
    def by_seed(self) -> list[float]:
        """After less before of each seed that both have, in points."""
        before, after = self.before.values(self.keys[0]), self.after.values(self.keys[1])
        return [after[seed] - before[seed] for seed in sorted(before.keys() & after.keys())]

    @property
    def batch_change(self) -> Difference | None:
        """The same of the batch-averaged mAP."""
        return self._change(self.batch_keys) if self.batch_keys else None

    @property
    def reported_change(self) -> Difference | None:
        """The same as the released code reports it: batch-averaged, at the best epoch; None without such epochs."""
        key = f"{BEST}.map_batch_{BATCH}"
        return None if self.kind == "readout" else self._change((key, key))

    @property
    def context(self) -> str:
        """Which other options have the released value on both sides."""
        if self.kind == "comparison":
            return ""
        after = released(self.after)
        common = [key for key in released(self.before) if key in after and key != self.option]
        if not common:
            return "none"
        rest = [key for key in AUDITED if key != self.option]
        return "all" if common == rest else ", ".join(common)

    def _change(self, keys: tuple[str, str]) -> Difference | None:
        before, after = self.before.values(keys[0]), self.after.values(keys[1])
        return difference(after, before) if before and after else None


def released(variant: Variant) -> list[str]:
    """The audited options that have the released code's value."""
    return [key for key in AUDITED if key in variant.options and variant.options[key] == OPTIONS[key].released]


def is_released(variant: Variant) -> bool:
    """Whether all audited options have the released code's value."""
    return len(released(variant)) == len(AUDITED)


def is_published(variant: Variant) -> bool:
    """Whether all audited options have the published value."""
    return all(key in variant.options and variant.options[key] == published(key) for key in AUDITED)


def others(variant: Variant, *but: str) -> str:
    """Everything beside some options, to be compared; `budget` is the number of photos seen."""
    hidden = {*but, *(key for option in but for key in IDLE_BESIDE.get(option, ()))}
    kept = {key: value for key, value in variant.options.items() if key not in hidden}
    return json.dumps([kept, None if "budget" in but else variant.images_seen], sort_keys=True)


def every_step(results: Results) -> list[Step]:
    """All rows of the audit, in order. Raises ValueError where no two variants differ in one option."""
    variants = results.of("moco_v2")
    found = steps(variants)
    if not found:
        raise ValueError(NOTHING)
    return [*found, *readouts(variants), *over_scene_crops(variants)]


def steps(variants: Sequence[Variant]) -> list[Step]:
    """Every pair of variants that differ in one option, and longer against shorter runs.

    They are in the order of AUDITED; of an option, those with fewer other options as released come first.
    """
    found = []
    for option in AUDITED:
        first, second = published(option), OPTIONS[option].released
        pairs = [
            (before, after)
            for before, after in permutations(variants, 2)
            if option in before.options and before.options[option] == first and after.options.get(option) == second
            if others(before, option) == others(after, option)
        ]
        words = value_name(option, first), value_name(option, second)
        pairs.sort(key=lambda pair: len(released(pair[0])))
        found += [Step("option", option, before, after, words) for before, after in pairs]
    for before, after in permutations(variants, 2):
        if before.images_seen < after.images_seen and others(before, "budget") == others(after, "budget"):
            words = f"{before.images_seen:,} photos", f"{after.images_seen:,}"
            found.append(Step("option", "budget", before, after, words))
    return found


def readouts(variants: Sequence[Variant]) -> list[Step]:
    """What the released metric and its picking of an epoch add to the same runs: the walk's ends, scene crops."""
    metrics, picks = [], []
    shortest = min((variant.images_seen for variant in variants), default=0)
    for variant in (variant for variant in variants if variant.images_seen == shortest):
        if is_published(variant) or is_released(variant) or variant.policy == "scene-scene":
            words = "over the test set", f"averaged over batches of {BATCH}"
            metrics.append(Step("readout", "metric", variant, variant, words, (MAP.key, BATCH_MAP), None))
            if len(variant.values(f"{BEST}.map")) == variant.n:
                keys = [(f"{LAST}.{name}", f"{BEST}.{name}") for name in ("map", f"map_batch_{BATCH}")]
                words = "last epoch", "best on the test photos"
                picks.append(Step("readout", "picked", variant, variant, words, *keys))
    return [*metrics, *picks]


def over_scene_crops(variants: Sequence[Variant]) -> list[Step]:
    """Object-aware cropping, as published and as released, against scene crops with as many steps or fewer."""
    found = []
    for after in (variant for variant in variants if is_released(variant) or is_published(variant)):
        for before in (variant for variant in variants if variant.policy == "scene-scene"):
            if before.images_seen <= after.images_seen:
                name = "as released" if is_released(after) else "as published"
                budget = "equal steps" if before.images_seen == after.images_seen else "more steps"
                words = f"{before.images_seen:,} photos", f"{after.images_seen:,} photos"
                found.append(Step("comparison", f"{name}, {budget}", before, after, words))
    return found


def audit_table(results: Results) -> Table:
    """One row for each option in each context, each read-out and each comparison with scene crops.

    Raises ValueError where no two variants differ in one option.
    """
    found = every_step(results)
    rows = adjusted_columns([_row(step) for step in found])
    tested = [row["map"] for row in rows if row["map"].p_holm is not None]
    caption = (
        f"{results.title}, effect of each difference between paper and released code:"
        f" {sum(change.significant for change in tested)} of {len(tested)} are significant; change of the mAP of a"
        f" linear probe over {results.tested_on}, with 95 % t-interval"
    )
    return Table(rows, _columns(), caption, _notes(results), _power(found))


def _row(step: Step) -> dict[str, Any]:
    """One step at full precision, in percent and points."""
    change = step.change
    before, after = (side.values(key) for side, key in zip((step.before, step.after), step.keys, strict=True))
    if change.paired:
        before, after = ({seed: side[seed] for seed in before.keys() & after.keys()} for side in (before, after))
    return {
        "kind": step.kind,
        "option": step.option,
        "from": step.values[0],
        "to": step.values[1],
        "released_already": step.context,
        "crops_before": step.before.crops,
        "crops_after": step.after.crops,
        "variants": ", ".join(dict.fromkeys((step.before.crops_label, step.after.crops_label))),
        "n": change.n,
        "before_percent": fmean(before.values()),
        "after_percent": fmean(after.values()),
        "map": change,
        "batch": step.batch_change or NO_DIFFERENCE,
        "reported": step.reported_change or NO_DIFFERENCE,
        "images_seen_before": step.before.images_seen,
        "images_seen_after": step.after.images_seen,
    }


def _columns() -> list[Column]:
    """How a row reads for people."""
    return [
        Column(
            "Option", lambda row: NAMES.get(row["option"], f"Object crops over scene crops, {row['option']}"), False
        ),
        Column("From", "from", False),
        Column("To", "to", False),
        Column("Released already", lambda row: shown(row["released_already"] or None), False),
        Column("Variants", "variants", False),
        Column("n", "n"),
        Column("Before (%)", "before_percent"),
        Column("After (%)", "after_percent"),
        Column("Effect on mAP (points)", lambda row: points(row["map"].mean, signed=True)),
        Column("95 % interval", lambda row: ends(row["map"])),
        Column("p, adjusted (Holm)", lambda row: p_value(row["map"].p_holm)),
        Column(f"Effect on batch-averaged mAP ({BATCH}, points)", "batch"),
        Column("The same at the best epoch, as the released code reports (points)", "reported"),
    ]


def _power(found: Sequence[Step]) -> list[str]:
    """How small an effect of an option the study can tell: one sentence, none without intervals."""
    changes = [step.by_seed for step in found if step.kind == "option"]
    known = power(changes, AIM)
    if known is None:
        return []
    return [
        f"Power: the differences of the {known.comparisons} comparisons of an option have a standard deviation over"
        f" seeds of {points(known.spread)} points (root mean square). With {known.n} seeds the 95 % interval has a"
        f" half-width of {points(known.half_width)} points; one of {known.aim:g} points would take {known.needed}"
        " seeds."
    ]


def _notes(results: Results) -> list[str]:
    """What the columns mean, and the recipe of every run."""
    return [
        "Each option is compared twice where the study walks there and back: with the others mostly as published, and"
        " mostly as released; the fourth column names those that are as released in both variants.",
        "Before and after are mAP over the test set. A metric's effect is the number it reports less that mAP;"
        " picking's is the best of the SGD probe's epochs on the test photos less its last.",
        "Differences are paired by seed from three common seeds on; p of a t-test, adjusted for all of a column.",
        "Budgets count photos seen and are equal but where Steps says otherwise.",
        recipes_note(results.variants),
    ]
