"""The paper's ablations: variants of a study that differ in one option, as a table for each option.

Which variants belong together is found by their recipes, as in `oac.report.audit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oac.crop_options import ABLATIONS, published
from oac.report.audit import others
from oac.report.formats import Column, Table
from oac.report.results import BATCH, BATCH_MAP, Results, Variant, value_name
from oac.report.statistics import difference
from oac.report.variant_tables import recipes_note
from oac.studies import RANDOM_INIT, UNCROPPED


def sweep(results: Results, option: str) -> list[Variant]:
    """The largest group of variants that differ in one option only, ordered by its value where it has an order.

    Raises ValueError for an option that is no ablation, and where fewer than two variants differ in it.
    """
    if option not in ABLATIONS:
        raise ValueError(f"{option!r} is no ablation: there are {', '.join(ABLATIONS)}")
    ablation = ABLATIONS[option]
    groups: dict[str, list[Variant]] = {}
    for variant in results.of("moco_v2"):
        if ablation.option in variant.options and ablation.policy in (None, variant.policy):
            groups.setdefault(others(variant, ablation.option), []).append(variant)
    variants = max(groups.values(), key=len, default=[])
    if len(variants) < 2:
        raise ValueError(f"no two variants of this study differ in {option} only: see config/studies/ablations.yaml")
    return variants if option == "boxes" else sorted(variants, key=lambda variant: _order(value_of(variant, option)))


def _order(value: Any) -> list[float]:
    """Sort key of a value; None, which is the default, comes last."""
    if value is None:
        return [float("inf")]
    return [float(number) for number in value] if isinstance(value, list) else [float(value)]


def value_of(variant: Variant, option: str) -> Any:
    """What a variant has of an ablation's option."""
    return variant.options[ABLATIONS[option].option]


def shown_value(variant: Variant, option: str) -> str:
    """The same in words."""
    return value_name(ABLATIONS[option].option, value_of(variant, option))


def reference(variants: Sequence[Variant], option: str) -> Variant:
    """The variant with the paper's value, which the others are compared with; the first where there is none."""
    papers = published(ABLATIONS[option].option)
    return next((variant for variant in variants if value_of(variant, option) == papers), variants[0])


def finding(results: Results, option: str) -> str:
    """Which value has the highest mean mAP, and the difference of which others to it has an interval with 0.

    Where no value is above the interval of the untrained network, that is all that is said.
    """
    variants, untrained = sweep(results, option), results.variant(RANDOM_INIT, UNCROPPED)
    best, *others = sorted(variants, key=lambda variant: -variant.estimate().mean)
    name = ABLATIONS[option].label.partition(" (")[0]
    subject = f"{results.title}, {name[0].lower()}{name[1:]}"
    title = f"{subject}: highest mAP at {shown_value(best, option)}"
    counts = sorted({variant.n for variant in variants})
    n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    level = untrained.estimate() if untrained else None
    if level and level.half_width is not None and best.estimate().mean <= level.high:
        return f"{subject}: no value is above the interval of the untrained network ({n})"
    changes = {shown_value(other, option): difference(best.values(), other.values()) for other in others}
    lead = next(iter(changes.values()))  # over the second highest
    if lead.half_width is None:
        return f"{title} ({n}; {lead.verdict})"
    close = [value for value, change in changes.items() if change.half_width is not None and not change.excludes_zero]
    values = " and ".join(filter(None, [", ".join(close[:-1]), *close[-1:]]))
    return title + (f"; the interval of the difference to {values} includes 0 ({n})" if close else f" ({n})")


def ablation_table(results: Results, option: str) -> Table:
    """mAP for each value of an option, and the difference to the paper's value."""
    variants, ablation = sweep(results, option), ABLATIONS[option]
    base = reference(variants, option)
    rows = [
        {
            "option": option,
            "value": shown_value(variant, option),
            "crops": variant.crops,
            "label": variant.crops_label,
            "n": variant.n,
            "map": variant.estimate(),
            "reference": base.crops,
            "difference": variant.difference_to(base),
            "map_batch_256_percent": variant.estimate(BATCH_MAP).mean,
            "paper": ablation.paper,
        }
        for variant in variants
    ]
    columns = [
        Column(ablation.label, "value", number=False),
        Column("Crops", "label", number=False),
        Column("n", "n"),
        Column("mAP (%)", "map"),
        Column("Difference (points)", "difference"),
        Column(f"Batch-averaged mAP ({BATCH}, %)", "map_batch_256_percent"),
    ]
    notes = [f"Paper: {ablation.paper}.", f"Differences are to {base.crops_name}.", recipes_note(variants)]
    caption = f"{finding(results, option)}; mAP of a linear probe"
    return Table(rows, columns, caption, notes)
