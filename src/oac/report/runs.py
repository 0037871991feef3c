"""Where every number comes from and what it cost: one row per run, and the recipe of each variant in full.

Takes what a run left: metrics.json, history.jsonl and the benchmark of its pretraining job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite
from statistics import median
from typing import Any

from oac.pretrain.recipe import canonical
from oac.report.formats import MISSING, Column, Row, Table
from oac.report.results import Metric, Results, Variant
from oac.report.variant_tables import variant_columns


def runs_table(
    results: Results, histories: Mapping[str, Iterable[Row]], benchmarks: Mapping[str, Mapping[str, str]]
) -> Table:
    """One row per run, variant by variant.

    By a run's name, method/crops/seed0: histories, the parsed lines of its history.jsonl; benchmarks, the row of its
    benchmark file as text, column by column. A run may lack either.
    """
    metric = results.metric
    rows = [
        _row(run, variant, metric, histories.get(name(run), ()), benchmarks.get(name(run), {}))
        for variant in results.variants
        for run in variant.runs.values()
    ]
    caption = f"{results.title}, runs: where each number comes from, what it cost, how to make it again"
    return Table(rows, _columns(metric), caption, _notes(rows), below=_recipes(results.runs()))


def name(entry: Row) -> str:
    """The run of a metrics.json, as its path has it: method/crops/seed0."""
    return f"{entry['method']}/{entry['crops']}/seed{entry['seed']}"


def command(entry: Row) -> str:
    """What rebuilds a run's metrics.json, and what that needs."""
    return f"snakemake results/{entry['study']}/probe/{name(entry)}/metrics.json"


def speed(history: Iterable[Row]) -> dict[str, Any]:
    """`images_per_s`, `training_s` and `device` of a run from the lines of its history.jsonl.

    images_per_s: median over the intervals between lines, which a busy minute does not move. training_s: the time of
    all intervals, those before an interruption included, without starting up and checkpoints that were lost. None of
    a network that was not trained, and of a history without the numbers.
    """
    device, rates, seconds, seen = None, [], 0.0, 0
    for line in history:
        device = line.get("device", device)
        if "images_per_s" in line:
            rate, count = line["images_per_s"], line["images_seen"] - seen
            # Rates are rounded to a tenth: of a very slow run they can be 0.
            seconds += count / rate if rate > 0 else float("nan")
            seen = line["images_seen"]
            rates.append(rate)
    return {
        "images_per_s": median(rates) if rates else None,
        "training_s": seconds if rates and isfinite(seconds) else None,
        "device": device,
    }


def cost(benchmark: Mapping[str, str]) -> dict[str, float | None]:
    """`job_s`, `memory_mib` and `rss_mib` of the row of a benchmark file, which Snakemake samples while a job runs.

    memory_mib: the peak of max_pss, the job's processes together with what they share counted once; max_rss, which
    counts it for each, where the system gives no other. None for what is not there, NA or 0 of a job too short.
    """

    def number(key: str) -> float | None:
        try:
            value = float(benchmark.get(key, ""))
        except ValueError:
            return None
        return value if isfinite(value) and value > 0 else None

    rss = number("max_rss")
    return {"job_s": number("s"), "memory_mib": number("max_pss") or rss, "rss_mib": rss}


def _row(
    entry: Row, variant: Variant, metric: Metric, history: Iterable[Row], benchmark: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "method": entry["method"],
        "crops": entry["crops"],
        "boxes": variant.boxes,
        "label": variant.crops_label,
        "seed": entry["seed"],
        f"{metric.key}_percent": 100 * entry[metric.key],
        "recipe_hash": entry["recipe_hash"],
        "commit": entry.get("commit"),
        "images_seen": entry["images_seen"],
        **speed(history),
        **cost(benchmark),
        "command": command(entry),
        "recipe": canonical(entry["recipe"]),
    }


def _columns(metric: Metric) -> list[Column]:
    """How a row reads for people."""
    return [
        *variant_columns()[:3],
        Column("Seed", "seed"),
        Column(metric.header, f"{metric.key}_percent"),
        Column("Recipe", "recipe_hash", number=False),
        Column("Commit of the probe", "commit", number=False),
        Column("Images seen", lambda row: f"{row['images_seen']:,}"),
        Column("Training time", lambda row: duration(row["training_s"])),
        Column("Images/s", lambda row: _rounded(row["images_per_s"])),
        Column("Peak memory (GiB)", lambda row: _rounded(row["memory_mib"], 1024, 2)),
        Column("Device", "device", number=False),
        Column("Command", "command", number=False),
    ]


def duration(seconds: float | None) -> str:
    """Seconds as h:mm:ss; an en dash where there are none."""
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _rounded(value: float | None, unit: float = 1, decimals: int = 0) -> str:
    return MISSING if value is None else f"{value / unit:,.{decimals}f}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """What the columns mean."""
    notes = [
        "The command rebuilds the run and only what it needs, in the folder that the workflow runs in; a run that is"
        " there is not built again without --forcerun.",
        "Recipe: hash of the options that change the weights; what the photos are is not in it. The recipes are"
        " written out in tables/runs.html and tables/runs.csv; they also stand in metrics.json, history.jsonl and"
        " encoder.safetensors of a run.",
        "Commit of the probe: of the code that wrote metrics.json, -dirty where a tracked file was changed, unknown"
        " where it ran outside of a checkout. The version of the training code is in the recipe (recipe_version).",
        "Training time: that of all steps, from history.jsonl; it counts the parts of a run that was interrupted."
        " Images/s: median over the run.",
        "Peak memory: main memory of the pretraining job, its last start, as Snakemake sampled it; without a GPU's.",
    ]
    if any(row["commit"] is None for row in rows):
        notes.append("Runs without a commit were probed by a version that did not write it down.")
    if any(row["memory_mib"] is None and row["images_seen"] for row in rows):
        notes.append("Trained runs without a peak memory have no benchmark file, or were over before it was sampled.")
    return notes


def _recipes(metrics: Sequence[Row]) -> str:
    """Every recipe as HTML to unfold; of runs that differ in the seed the first, with hashes and commands of all."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for entry in metrics:
        rest = {key: value for key, value in entry["recipe"].items() if key != "seed"}
        groups.setdefault((entry["method"], entry["crops"], canonical(rest)), []).append(entry)
    parts = [
        "<h2>Recipes</h2>",
        "<p>Unfold a variant for its commands and its recipe: of runs that differ in the seed alone the first one's."
        " A hash is the start of the SHA-256 of what a recipe has beside the defaults, as JSON with sorted keys and"
        " without spaces.</p>",
    ]
    for (method, crops, _), entries in groups.items():
        hashes = ", ".join(f"seed {entry['seed']} {entry['recipe_hash']}" for entry in entries)
        whole = json.dumps(entries[0]["recipe"], indent=2, sort_keys=True)
        summary = f"<summary>{escape(f'{method}/{crops}')}: {escape(hashes)}</summary>"
        commands = "\n".join(map(command, entries))
        # A wide line is pushed aside inside its div; the page stays as wide as a phone.
        blocks = "\n".join(f"<div><pre>{escape(block)}</pre></div>" for block in (commands, whole))
        parts.append(f"<details>{summary}\n{blocks}</details>")
    return "\n".join(parts)
