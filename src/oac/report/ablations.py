"""The paper's ablations: lines of a study that differ in one option, as a table and a figure for each option.

Which lines belong together is found by their recipes, as in `oac.report.audit`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from oac import studies
from oac.report.audit import Line, lines_of, paired
from oac.report.formats import Column, Table, half_width, points, text
from oac.report.statistics import SMALLEST_SAMPLE, t_interval
from oac.report.style import POLICY_COLOURS, TITLE_LENGTH, WIDTH, styled
from oac.report.tables import BOX_NAMES

APART = 0.5  # of the distance between two values, by which one without a place on their scale is set apart


@dataclass(frozen=True)
class Ablation:
    """An option that the paper varies: its name for people, and what the paper says of it, with the place."""

    title: str
    paper: str


ABLATIONS = {
    "delta": Ablation(
        "Dilation (share of the photo's side)", "best at 0.1, COCO detection (table 9); values unknown"
    ),
    "shift": Ablation("Shift radius (share of the photo's side)", "figures 6 and 7, right; values unknown"),
    "count": Ablation("Proposals per photo", "table 8; values unknown"),
    "boxes": Ablation("Kind of proposals", "other methods are adequate (table 6); values unknown"),
    "scale_lower": Ablation("Smallest crop inside boxes (share of the box)", "s_min of section 4.1; values unknown"),
    "heads": Ablation("Projection heads", "two are worth 1.1 points (section 4.1)"),
    "scene_scale": Ablation("Scene crops (share of the photo)", "table 2: none closes the gap; values unknown"),
    "object_scene_scale": Ablation(
        "Scene crops beside object crops (share of the photo)", "figure 7, left, by their overlap; values unknown"
    ),
}


def sweep(metrics: Sequence[Mapping[str, Any]], option: str) -> list[Line]:
    """The largest group of lines that differ in one option only, ordered by its value where it has an order.

    Raises ValueError for an option that is no ablation, and where fewer than two lines differ in it.
    """
    if option not in ABLATIONS:
        raise ValueError(f"{option!r} is no ablation: there are {', '.join(ABLATIONS)}")
    key, policy = studies.ablated(option)
    groups: dict[str, list[Line]] = {}
    for line in lines_of(metrics):
        if key in line.options and policy in (None, line.options["policy"]):
            groups.setdefault(line.others(key, *_follows(option)), []).append(line)
    lines = max(groups.values(), key=len, default=[])
    if len(lines) < 2:
        raise ValueError(f"no two lines of this study differ in {option} only: see config/studies/ablations.yaml")
    return lines if option == "boxes" else sorted(lines, key=lambda line: _order(value_of(line, option)))


def _follows(option: str) -> tuple[str, ...]:
    """What an option leaves without a meaning."""
    return ("scale_cap",) if option == "scale_lower" else ()


def _order(value: Any) -> list[float]:
    """Sort key of a value; None, which is the default, comes last."""
    if value is None:
        return [float("inf")]
    return [float(number) for number in value] if isinstance(value, list) else [float(value)]


def value_of(line: Line, option: str) -> Any:
    """What a line has of an ablation's option."""
    return line.options[studies.ablated(option)[0]]


def value_name(option: str, value: Any) -> str:
    """The value of an option in words."""
    if value is None:
        return {"count": "all", "scale_lower": "s_min"}[option]
    if option == "boxes":
        return BOX_NAMES.get(value, str(value))
    return " to ".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}"


def reference(lines: Sequence[Line], option: str) -> Line:
    """The line with the paper's value, which the others are compared with; the first where there is none."""
    wanted = {
        "delta": 0.1,
        "shift": [0.08, 0.1],
        "count": None,
        "boxes": "bing",
        "scale_lower": None,
        "heads": 1,
        "scene_scale": [0.2, 1.0],
        "object_scene_scale": [0.2, 1.0],
    }[option]
    return next((line for line in lines if value_of(line, option) == wanted), lines[0])


def ablation_table(metrics: Sequence[Mapping[str, Any]], option: str) -> Table:
    """mAP for each value of an option, and the difference to the paper's value, paired by seed."""
    lines = sweep(metrics, option)
    base = reference(lines, option)
    rows = []
    for line in lines:
        mean = t_interval([values["map"] for values in line.values.values()])
        seeds = set(line.values) & set(base.values)
        change = paired(*({s: side.values[s]["map"] for s in seeds} for side in (base, line))) if seeds else None
        rows.append(
            {
                "option": option,
                "value": value_name(option, value_of(line, option)),
                "crops": line.name,
                "n": len(line.values),
                "map_percent": mean.mean,
                "map_half_width_percent": mean.half_width,
                "reference": base.name,
                "difference_points": change.mean if change and line is not base else None,
                "difference_half_width_points": change.half_width if change and line is not base else None,
                "map_batch_256_percent": t_interval([values["batch"] for values in line.values.values()]).mean,
                "paper": ABLATIONS[option].paper,
            }
        )
    recipes = "; ".join(
        f"{line.name} "
        + ", ".join(e["recipe_hash"] for e in metrics if (e["method"], e["crops"]) == ("moco_v2", line.name))
        for line in lines
    )
    caption = f"{ABLATIONS[option].title} on {metrics[0]['study']}: mAP of a linear probe"
    notes = [f"Paper: {ABLATIONS[option].paper}.", f"Differences are to {base.name}.", f"Recipes: {recipes}."]
    return Table(pd.DataFrame(rows), _columns(option), caption, notes)


def _columns(option: str) -> list[Column]:
    def change(row: pd.Series) -> str:
        shown, width = points(row.difference_points, signed=True), row.difference_half_width_points
        return shown if pd.isna(width) else f"{shown} {half_width(width)}"

    return [
        Column(ABLATIONS[option].title, lambda row: row.value, number=False),
        Column("Crops", lambda row: row.crops, number=False),
        Column("n", lambda row: text(row.n)),
        Column("mAP (%)", lambda row: points(row.map_percent)),
        Column("95 % interval (points)", lambda row: half_width(row.map_half_width_percent)),
        Column("Difference (points)", change),
        Column("Mean over batches of 256 (%)", lambda row: points(row.map_batch_256_percent)),
    ]


@styled
def ablation_figure(metrics: Sequence[Mapping[str, Any]], option: str) -> Figure:
    """mAP by the values of an option: means, seeds, 95 % t-intervals from three seeds on; the reference ringed."""
    lines = sweep(metrics, option)
    base = reference(lines, option)
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.add_subplot()
    colour = POLICY_COLOURS.get(lines[0].options["policy"], "#4D5566")
    places = [place + APART * _is_apart(line, option) for place, line in enumerate(lines)]
    means = []
    for place, line in zip(places, lines, strict=True):
        values = [run["map"] for run in line.values.values()]
        estimate = t_interval(values)
        means.append(estimate.mean)
        if estimate.half_width is not None:
            axes.plot([place, place], [estimate.low, estimate.high], color=colour, lw=2.0, gid="interval")
        if len(values) > 1:
            axes.plot([place + 0.08] * len(values), values, ".", color=colour, alpha=0.6)
    # What has no order, and a default that is no number of the scale, is not joined.
    joined = [] if option == "boxes" else [k for k, line in enumerate(lines) if not _is_apart(line, option)]
    axes.plot([places[k] for k in joined], [means[k] for k in joined], color=colour, gid="curve")
    axes.plot(places, means, "o", color=colour, ms=7, gid="mean")
    at = lines.index(base)
    axes.plot(places[at], means[at], "o", ms=13, mfc="none", mec="black", mew=1.0, gid="reference")
    names = [value_name(option, value_of(line, option)) + "\nreference" * (line is base) for line in lines]
    axes.set_xticks(places, names)
    axes.set_xlim(-0.5, places[-1] + 0.5)
    axes.margins(y=0.2)
    axes.set_xlabel(ABLATIONS[option].title)
    axes.set_ylabel("mAP (%)")
    axes.set_title(textwrap.fill(_finding(lines, option), TITLE_LENGTH))
    return figure


def _is_apart(line: Line, option: str) -> bool:
    """Whether a value has no place among the others: s_min is another share for every study's boxes."""
    return option == "scale_lower" and value_of(line, option) is None


def _finding(lines: Sequence[Line], option: str) -> str:
    """Which value has the highest mean mAP, and which others its seeds do not tell from it.

    Lines with fewer than three seeds in common with the best are not tested; where the second is one, that is said.
    """
    *others, second, best = sorted(lines, key=lambda line: t_interval(list(_by_seed(line).values())).mean)
    seeds = sorted({len(line.values) for line in lines})
    title = ABLATIONS[option].title.partition(" (")[0]
    n = "n = " + " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    first = value_name(option, value_of(best, option))
    common = len(set(best.values) & set(second.values))
    if common < SMALLEST_SAMPLE:
        caution = ("no common seed", "one seed tells no order", "two seeds tell no order")[common]
        return f"{title}: highest mAP at {first} ({n}; {caution})"
    close = [
        value_name(option, value_of(line, option)) for line in (second, *reversed(others)) if _is_close(best, line)
    ]
    if not close:
        return f"{title}: highest mAP at {first} ({n})"
    *most, last = [first, *close]
    return f"{title}: mAP is highest at {', '.join(most)} and {last}, which are not told apart ({n})"


def _is_close(best: Line, line: Line) -> bool:
    """Whether the paired interval of the difference holds 0."""
    common = set(best.values) & set(line.values)
    if len(common) < SMALLEST_SAMPLE:
        return False
    ours, theirs = ({seed: _by_seed(one)[seed] for seed in common} for one in (best, line))
    low = paired(theirs, ours).low
    return low is not None and low <= 0


def _by_seed(line: Line) -> dict[int, float]:
    return {seed: run["map"] for seed, run in line.values.items()}
