"""The overlap of each crop line's two crops beside its mAP: the table, and what it says in a sentence.

`oac.report.overlap` measures; here are its numbers for people, with those of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from oac.report.ablations import sweep
from oac.report.formats import Column, Table, half_width, points, text
from oac.report.overlap import EPOCHS
from oac.report.paper import OVERLAP_PEAKS
from oac.report.statistics import t_interval
from oac.report.tables import BOX_NAMES, collect

SWEEPS = {"object-scene": "object_scene_scale", "scene-scene": "scene_scale"}
FEWEST = 4  # lines that a rank correlation is given for

DEFINITIONS = (
    "Overlap is the intersection over union (IoU) of the two crops in the photo, mean over pairs. Other columns:"
    " share of the smaller crop that lies in the other; pairs without a common point; area of the crops of the"
    " policy's first and second view as a share of the photo; pairs in which both crops hold at least half of the box"
    " of one same true object; crops that touch no object."
)


def joined(metrics: Sequence[Mapping[str, Any]], overlap: pd.DataFrame) -> pd.DataFrame:
    """One row for each crop line of MoCo-v2, in the order of the runs: its mAP in percent and its overlap.

    overlap: a row of `overlap.measure_line`'s shares for each line, named in the column crops; here they become
    percent. Raises ValueError where there is no MoCo-v2 run, or a line without a row.
    """
    runs = collect(metrics)
    runs = runs[runs.method == "moco_v2"]
    if runs.empty:
        raise ValueError("the overlap of crops is shown for MoCo-v2's lines, and there is no run of it")
    measured = overlap.set_index("crops")
    missing = [name for name in runs.crops.unique() if name not in measured.index]
    if missing:
        raise ValueError(f"the overlap of {', '.join(missing)} was not measured: make report/overlap.csv again")
    rows = []
    for name, line in runs.groupby("crops", sort=False):
        estimate = t_interval([100 * value for value in line["map"]])
        shares = measured.loc[name]
        rows.append(
            {
                "crops": name,
                "policy": line.policy.iloc[0],
                "boxes": line.boxes.iloc[0],
                **{f"{key}_percent": 100 * shares[key] for key in measured.columns if key not in ("pairs", "seed")},
                "pairs": int(shares.pairs),
                "n": len(line),
                "map_percent": estimate.mean,
                "map_half_width_percent": estimate.half_width,
                "images_seen": int(line.images_seen.max()),
                "recipe_hashes": " ".join(line.recipe_hash),
            }
        )
    return pd.DataFrame(rows)


def curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The lines that differ in the scale of their scene crops only, by policy, where there are three or more.

    Figure 7 left of the paper shows two policies; what its lines differ in is not public.
    """
    found = {}
    for policy, option in SWEEPS.items():
        try:
            lines = [line.name for line in sweep(metrics, option)]
        except ValueError:  # this study does not vary it
            continue
        if len(lines) >= 3:
            found[policy] = lines
    return found


def of_one_budget(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines of the budget that most lines have: others got their mAP by more steps, too."""
    return frame[frame.images_seen == frame.images_seen.mode().iloc[0]]


def correlation(frame: pd.DataFrame, measure: str) -> float:
    """Spearman's rank correlation of mAP with a measure over lines of one budget.

    NaN below FEWEST lines or without a spread.
    """
    frame = of_one_budget(frame)
    x, y = frame[f"{measure}_percent"], frame.map_percent
    if len(frame) < FEWEST or x.nunique() < 2 or y.nunique() < 2:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def finding(frame: pd.DataFrame, lines: Mapping[str, Sequence[str]]) -> list[str]:
    """What table and figure show, in numbers: correlations, the peak of each policy's curve, and how sure it is."""
    sentences = []
    rho = {measure: correlation(frame, measure) for measure in ("iou", "same_object")}
    if not np.isnan(list(rho.values())).any():
        equal = of_one_budget(frame)
        seen = f" of {equal.images_seen.iloc[0]:,} photos seen" if len(equal) < len(frame) else ""
        sentences.append(
            f"Rank correlation of mAP over {len(equal)} crop lines{seen}: {_signed(rho['iou'])} with the overlap"
            f" (IoU), {_signed(rho['same_object'])} with one object in both crops"
        )
    else:
        sentences.append(f"mAP and overlap of {len(frame)} crop lines, too few or too alike for a correlation")
    named = frame.set_index("crops")
    for policy, names in lines.items():
        best = named.loc[named.loc[list(names), "map_percent"].idxmax()]
        inside = f"{points(best.smaller_inside_percent)} % of the smaller crop inside"
        sentences.append(f"mAP of {policy} is highest at an IoU of {points(best.iou_percent)} %, {inside}")
    few = int((frame.n < 3).sum())
    if few == len(frame):
        sentences.append(f"{_seeds(frame)} a line: no order is established")
    elif few:
        sentences.append(f"{few} of {len(frame)} lines have fewer than 3 seeds and no interval")
    return sentences


def overlap_table(metrics: Sequence[Mapping[str, Any]], overlap: pd.DataFrame) -> Table:
    """Every crop line of MoCo-v2: how its two crops overlap, whether they show one object, and its mAP."""
    frame = joined(metrics, overlap)
    measured = overlap.set_index("crops").loc[frame.crops]
    seeds = ", ".join(map(str, measured.seed.unique()))
    recipes = "; ".join(f"{row.crops} {', '.join(row.recipe_hashes.split())}" for _, row in frame.iterrows())
    peaks = " and ".join(f"{value} % for {policy}" for policy, value in OVERLAP_PEAKS.items())
    notes = [
        *(f"{sentence}." for sentence in finding(frame, curves(metrics))),
        DEFINITIONS,
        f"Paper (supplement, figure 7 left, on Open Images): mAP is highest at an overlap of {peaks}. How it defines"
        " the overlap is not public, so the numbers are not compared.",
        f"Pairs are those of a run of seed {seeds} in {EPOCHS} epochs; nothing is trained for them.",
        f"Recipes: {recipes}.",
    ]
    study = metrics[0]["study"]
    return Table(frame, _columns(), f"Overlap of the two crops on {study}, and mAP of a linear probe", notes)


def _columns() -> list[Column]:
    def share(key: str) -> Any:
        return lambda row: points(row[f"{key}_percent"])

    return [
        Column("Crops", lambda row: row.crops, number=False),
        Column("Policy", lambda row: text(row.policy), number=False),
        Column("Boxes", lambda row: text(BOX_NAMES.get(row.boxes, row.boxes)), number=False),
        Column("Overlap, IoU (%)", share("iou")),
        Column("Smaller in other (%)", share("smaller_inside")),
        Column("Without overlap (%)", share("disjoint")),
        Column("Area of first (%)", share("first_area")),
        Column("Area of second (%)", share("second_area")),
        Column("One object in both (%)", share("same_object")),
        Column("Crops without object (%)", share("no_object")),
        Column("n", lambda row: text(row.n)),
        Column("mAP (%)", lambda row: points(row.map_percent)),
        Column("95 % interval (points)", lambda row: half_width(row.map_half_width_percent)),
    ]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _seeds(frame: pd.DataFrame) -> str:
    """How many seeds the lines have, where none has three."""
    return "One seed" if frame.n.max() == 1 else "Fewer than 3 seeds"
