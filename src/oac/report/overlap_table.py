"""The overlap of each crop variant's two crops beside its mAP: the table, and what it says in a sentence.

`oac.pretrain.crop_overlap` measures; here are its numbers for people, with those of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oac.report.ablations import sweep
from oac.report.formats import Column, Table, flat, points
from oac.report.paper import OVERLAP_PEAKS
from oac.report.results import Results
from oac.report.statistics import SMALLEST_SAMPLE
from oac.report.variant_tables import recipes_note, variant_cells, variant_columns

SWEEPS = {"object-scene": "object_scene_scale", "scene-scene": "scene_scale"}

HEADERS = {
    "iou": "Overlap, IoU (%)",
    "smaller_inside": "Smaller in other (%)",
    "disjoint": "Without overlap (%)",
    "first_area": "Area of first (%)",
    "second_area": "Area of second (%)",
    "same_object": "One object in both (%)",
    "no_object": "Crops without object (%)",
}
DEFINITIONS = (
    "Overlap is the intersection over union (IoU) of the two crops in the photo, mean over pairs. Other columns:"
    " share of the smaller crop that lies in the other; pairs without a common point; area of the crops of the"
    " policy's first and second view as a share of the photo; pairs in which both crops hold at least half of the"
    " box of one same object; crops that touch no object. Magnification: how many times larger an object is in a view"
    " than in the whole photo of the view's size."
)


def joined(results: Results, overlap: pd.DataFrame) -> pd.DataFrame:
    """One row for each crop variant of MoCo-v2, in the order of the runs: its mAP in percent and its overlap.

    overlap: a row of `crop_overlap.measure_overlap`'s shares for each, named in the column crops; here they become
    percent. Raises ValueError where there is no MoCo-v2 run, or a variant without a row.
    """
    return pd.DataFrame(map(flat, _rows(results, overlap)))


def _rows(results: Results, overlap: pd.DataFrame) -> list[dict[str, Any]]:
    variants = results.of("moco_v2")
    if not variants:
        raise ValueError("the overlap of crops is shown for MoCo-v2's variants, and there is no run of it")
    measured = overlap.set_index("crops")
    missing = [variant.crops for variant in variants if variant.crops not in measured.index]
    if missing:
        raise ValueError(f"the overlap of {', '.join(missing)} was not measured: make report/overlap.csv again")
    return [
        {
            **variant_cells(variant),
            **{f"{key}_percent": 100 * float(measured.loc[variant.crops, key]) for key in HEADERS},
            "magnification": float(measured.loc[variant.crops, "magnification"]),
            "pairs": int(measured.loc[variant.crops, "pairs"]),
            "map": variant.estimate(),
            "images_seen": variant.images_seen,
            "recipe_hashes": " ".join(variant.hashes),
        }
        for variant in variants
    ]


def curves(results: Results) -> dict[str, list[str]]:
    """The crop variants that differ in the scale of their scene crops only, by policy, where there are three or more.

    Figure 7 left of the paper shows two policies; what its points differ in is not public.
    """
    found = {}
    for policy, option in SWEEPS.items():
        try:
            variants = sweep(results, option)
        except ValueError:  # this study does not vary it
            continue
        if len(variants) >= 3:
            found[policy] = [variant.crops for variant in variants]
    return found


def finding(frame: pd.DataFrame, variants: Mapping[str, Sequence[str]]) -> list[str]:
    """What table and figure show: range of overlaps, highest mAP, peaks of the policies' curves, how sure it is."""
    low, high = (frame.iou_percent.agg(end) for end in ("min", "max"))
    top = frame.loc[frame.map_percent.idxmax(), "iou_percent"]
    ends = f"{len(frame)} crop variants with overlaps (IoU) of {points(low)} to {points(high)} %"
    sentences = [f"{ends}, highest mAP at {points(top)} %"]
    named = frame.set_index("crops")
    peaks = []
    for policy, names in variants.items():
        best = named.loc[named.loc[list(names), "map_percent"].idxmax()]
        peaks.append(f"of {policy} at an IoU of {points(best.iou_percent)} %")
    sentences += [f"Highest mAP {' and '.join(peaks)}"] if peaks else []
    few = int((frame.n < SMALLEST_SAMPLE).sum())
    if few == len(frame):
        sentences.append("Single seed, not ranked" if frame.n.max() == 1 else "Fewer than 3 seeds: inconclusive")
    elif few:
        has = "has" if few == 1 else "have"
        sentences.append(f"{few} of {len(frame)} variants {has} fewer than 3 seeds and no interval")
    return sentences


def overlap_table(results: Results, overlap: pd.DataFrame) -> Table:
    """Every crop variant of MoCo-v2: how its two crops overlap, whether they show one object, and its mAP."""
    rows = _rows(results, overlap)
    frame = pd.DataFrame(map(flat, rows))
    seeds = ", ".join(map(str, overlap.seed[overlap.crops.isin(frame.crops)].unique()))
    peaks = " and ".join(f"{value} % for {policy}" for policy, value in OVERLAP_PEAKS.items())
    notes = [
        *(f"{sentence}." for sentence in finding(frame, curves(results))),
        DEFINITIONS,
        f"Paper (supplement, figure 7 left, on Open Images): mAP is highest at an overlap of {peaks}. How it defines"
        " the overlap is not public, so the numbers are not compared.",
        f"Pairs are those of the first epochs of a run of seed {seeds}, {int(frame.pairs.max()):,} at most. Nothing"
        " is trained for them.",
        recipes_note(results.of("moco_v2")),
    ]
    *names, n = variant_columns()[1:]
    columns = [*names, *(Column(header, f"{key}_percent") for key, header in HEADERS.items())]
    columns += [Column("Magnification", lambda row: f"{row['magnification']:.2f}"), n]
    columns.append(Column("mAP (%)", "map"))
    return Table(rows, columns, f"{results.title}, overlap of the two crops and mAP of a linear probe", notes)
