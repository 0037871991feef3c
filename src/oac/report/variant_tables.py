"""The numbers of a study as tables: its crop policies, and its methods. Fractions in, percent out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from oac.report.check import on_papers_data
from oac.report.findings import highest
from oac.report.formats import MISSING, Column, Table, points, shown
from oac.report.results import BATCH, BOX_NAMES, MAP, METHOD_NAMES, Metric, Results, Variant, method_name
from oac.report.statistics import NO_DIFFERENCE
from oac.studies import FIXED_ENCODERS

BATCH_SIZES = (32, 64, 256)


def crops_table(results: Results) -> Table:
    """Every crop variant of MoCo-v2 in the order of the runs, then random initialisation and supervised."""
    return _table(results, results.of("moco_v2", *FIXED_ENCODERS, "supervised"), highest(results))


def methods_table(results: Results) -> Table:
    """The rows of the paper's table 1: every method, MoCo-v2 with scene-scene and object-dilate crops."""
    chosen = [
        variant
        for variant in results.variants
        if variant.method != "moco_v2" or variant.policy in ("scene-scene", "object-dilate")
    ]
    order = [*METHOD_NAMES, *(variant.method for variant in results.variants)]
    chosen = sorted(chosen or results.variants, key=lambda variant: order.index(variant.method))
    return _table(results, chosen, f"{results.title}, methods")


def variant_cells(variant: Variant) -> dict[str, Any]:
    """The part of a row that names a variant."""
    return {key: getattr(variant, key) for key in ("method", "crops", "policy", "boxes", "n")} | {
        "label": variant.crops_label
    }


def variant_columns() -> list[Column]:
    """How `variant_cells` read."""
    return [
        Column("Method", lambda row: method_name(row["method"]), number=False),
        Column("Crops", lambda row: MISSING if row["crops"] == "none" else row["label"], number=False),
        Column("Boxes", lambda row: shown(BOX_NAMES.get(row["boxes"], row["boxes"])), number=False),
        Column("n", "n"),
    ]


def recipes_note(variants: Iterable[Variant]) -> str:
    """The recipe of every run of some variants."""
    return f"Recipes: {of_runs(variants, 'recipe_hash')}."


def of_runs(variants: Iterable[Variant], key: str) -> str:
    """What the runs of each variant have under a key of metrics.json; what several have is named once."""
    found = [(variant.name, dict.fromkeys(run[key] for run in variant.runs.values())) for variant in variants]
    return "; ".join(f"{name}: {', '.join(map(_said, values))}" for name, values in found)


def _said(value: Any) -> str:
    """A number with separators, another value as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(results: Results, variants: Sequence[Variant], said: str) -> Table:
    if not variants:
        raise ValueError("there is no run of moco_v2, of random initialisation or of supervised to tabulate")
    metric, papers = results.metric, on_papers_data(results, results.metric.key)
    supervised = next((variant for variant in variants if variant.method == "supervised"), None)
    rows = [_row(variant, metric, supervised) | (_paper(variant, metric) if papers else {}) for variant in variants]
    caption = (
        f"{said}; {metric.words} of a linear probe over {results.tested_on} and"
        f" {results.classes} classes, mean over n seeds with 95 % t-interval"
    )
    columns = _columns(metric, supervised=supervised is not None, papers=papers)
    return Table(rows, columns, caption, _notes(variants, metric, papers))


def _row(variant: Variant, metric: Metric, supervised: Variant | None) -> dict[str, Any]:
    """One variant at full precision; mAP or accuracy in percent, differences in points."""
    others = {f"map_batch_{size}": f"map_batch.{size}" for size in BATCH_SIZES}
    others = others if metric is MAP else {"top5": "top5", "map": "map"}
    others = {"knn": f"knn.{metric.key}"} | others
    change = NO_DIFFERENCE if variant.method == "supervised" else variant.difference_to(supervised, metric.key)
    return {
        **variant_cells(variant),
        metric.key: variant.estimate(metric.key),
        "difference_to_supervised": change,
        **{f"{name}_percent": _mean(variant.values(key).values()) for name, key in others.items()},
        "images_seen": variant.images_seen,
        "recipe_hashes": " ".join(variant.hashes),
    }


def _paper(variant: Variant, metric: Metric) -> dict[str, Any]:
    """The paper's value, which stands beside runs on the paper's data alone."""
    value = variant.paper.percent(metric.key) if variant.paper else None
    source = variant.paper.source if variant.paper and value is not None else None
    return {f"paper_{metric.key}_percent": value, "paper_source": source}


def _columns(metric: Metric, *, supervised: bool, papers: bool) -> list[Column]:
    """How a row reads for people; supervised, papers: whether there is such a row, and values of the paper."""
    others = {f"k-NN {metric.name} (%)": "knn"}
    others |= {f"Batch-averaged mAP ({BATCH}, %), as released code": f"map_batch_{BATCH}"} if metric is MAP else {}
    others |= {} if metric is MAP else {"Top-5 (%)": "top5", "mAP (%)": "map"}
    return [
        *variant_columns(),
        Column(metric.header, metric.key),
        *([Column("Difference to supervised (points)", "difference_to_supervised")] if supervised else []),
        *(Column(header, f"{key}_percent") for header, key in others.items()),
        *([Column(f"Paper, {metric.data} (%)", f"paper_{metric.key}_percent")] if papers else []),
    ]


def _notes(variants: Sequence[Variant], metric: Metric, papers: bool) -> list[str]:
    """Where the paper's values stand; provenance of ours: images seen, recipe of every run, versions."""
    runs = [run for variant in variants for run in variant.runs.values()]
    versions: dict[str, set[str]] = {}
    for package, version in sorted({pair for run in runs for pair in run["versions"].items()}):
        versions.setdefault(package, set()).add(str(version))
    software = "; ".join(f"{package} {' and '.join(sorted(found))}" for package, found in versions.items())
    sources = {
        # The paper's notes are of its mAPs.
        f"Paper's {points(percent)}: {value.source}" + (f", {value.note}" if value.note and metric is MAP else "")
        for variant in variants
        if papers and (value := variant.paper) and (percent := value.percent(metric.key)) is not None
    }
    return [
        *(f"{source}." for source in sorted(sources)),
        f"Images seen in pretraining: {of_runs(variants, 'images_seen')}.",
        recipes_note(variants),
        f"Versions: {software}.",
    ]


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
