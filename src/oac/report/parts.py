"""What a report consists of: its sections in the order of a paper, and of each figure and table where it stands.

The study's page and the menu of Snakemake's own report are made from this. A figure's finding is its title; the text
here says how to read it.
"""

from __future__ import annotations

from typing import NamedTuple

FOUND, DATA, CROPS, TRAINING, RESULTS = "What was found", "Data", "Proposals and crops", "Training", "Results"
AUDIT, ABLATIONS, PAPER, RUNS = "Audit", "Ablations", "The paper's numbers", "Runs"
SECTIONS = (FOUND, DATA, CROPS, TRAINING, RESULTS, AUDIT, ABLATIONS, PAPER, RUNS)

OPTION = "ablation_"  # starts the names of the ablations' tables and figures, each of which ends in its option
SHEET = "crops_"  # starts the names of the figures of crops, each of which ends in its crop variant

_BARS = "Bars are 95 % t-intervals over seeds, from three seeds on."


class Part(NamedTuple):
    """A figure or a table."""

    section: str
    label: str
    """its name in a menu"""
    reading: str = ""
    """how to read it; tables have notes for that"""
    folded: bool = False
    """whether it is one click off, for it is provenance"""


FIGURES = {
    "map_by_policy": Part(
        RESULTS, "mAP of every variant", "A variant is a method with one way of cropping. " + _BARS
    ),
    "images_per_class": Part(DATA, "Images per class", "Train split, after the filters."),
    "objects_per_image": Part(DATA, "Objects per image", "Train split, after the filters."),
    "recall": Part(
        CROPS,
        "Recall of the proposals",
        "Share of a photo's ground-truth boxes that the first N proposals find at an IoU of 0.5, mean over the test"
        " photos, for the sources in use and for boxes of BING's sizes at random places.",
    ),
    SHEET: Part(
        CROPS,
        "Crops of each variant",
    ),
    "training_curves": Part(
        TRAINING,
        "Training curves",
        "Loss with its chance level (dashed), and the spread of the features, which is 0 when they have collapsed."
        " Scene crops of methods whose crops all have one colour are dash-dotted.",
    ),
    "ap_per_class": Part(
        RESULTS,
        "AP of every class",
        "Means over seeds; where there are bars, they are the 95 % t-interval of a class's AP, and no interval of the"
        " difference of two variants, which share their seeds.",
    ),
    "ap_by_size": Part(
        RESULTS,
        "AP by object size (figure 3, left)",
        "Mean AP by the area of the largest object of a class in the photo. " + _BARS,
    ),
    "ap_by_frequency": Part(
        RESULTS,
        "AP by images per class (figure 3, right)",
        "Small points are classes, the curve joins means of groups of classes. " + _BARS,
    ),
    "audit": Part(
        AUDIT,
        "Effect of each option of the audit",
        "An option is compared twice: with the other options mostly as published, and mostly as released. Bars are"
        " 95 % t-intervals over the seeds of both variants; docs/audit.md describes the options.",
    ),
    OPTION: Part(
        ABLATIONS,
        "mAP by the value of an option",
        "Variants differ in the option and in nothing else; the reference has the paper's value. " + _BARS,
    ),
    "overlap": Part(
        ABLATIONS,
        "mAP by overlap of the two crops (figure 7, left)",
        "Overlap is the mean intersection over union (IoU) of the two crops; beside it is the share of the smaller"
        " crop that lies in the other. One object in both: at least half of one ground-truth box lies in both crops."
        " Variants that differ in the scale of their scene crops only are joined. " + _BARS,
    ),
}
TABLES = {
    "crops": Part(RESULTS, "Table of the crop variants"),
    "methods": Part(RESULTS, "Table of the methods"),
    "pairs": Part(RESULTS, "Table of paired tests"),
    "audit": Part(AUDIT, "Table of the audit"),
    OPTION: Part(ABLATIONS, "Table of an option"),
    "overlap": Part(ABLATIONS, "Table of the overlap of the two crops"),
    "paper": Part(PAPER, "Table of the paper's numbers"),
    "runs": Part(RUNS, "Recipes, cost, commands of every run", folded=True),
}


def figure(name: str, main: str = "") -> Part:
    """The part that a figure is, by the name of its file.

    main: the table that the page of the study opens with. It opens with the figure of that name too; without one,
    with the mAP of every variant.
    """
    part = _named(name, FIGURES)
    return part._replace(section=FOUND) if name == (main if main in FIGURES else "map_by_policy") else part


def table(name: str, main: str = "") -> Part:
    """The part that a table is, by the name of its file; main: the one that the page of the study opens with."""
    part = _named(name, TABLES)
    return part._replace(section=FOUND) if name == main else part


def _named(name: str, parts: dict[str, Part]) -> Part:
    start = next((start for start in (OPTION, SHEET) if name.startswith(start)), name)
    part = parts[start]
    return part if start == name else part._replace(label=f"{part.label}: {name.removeprefix(start)}")
