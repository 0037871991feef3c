"""Which figure is drawn from which files: what `workflow/scripts/draw.py` looks its output up in.

docs/guide.md says what a new figure needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from oac.csv_tables import read_table
from oac.report.ablation_figure import ablation_figure
from oac.report.audit_figure import audit_figure
from oac.report.data_figures import images_per_class, objects_per_image
from oac.report.figures import ap_by_frequency, ap_by_size, map_by_policy, tables_by_variant
from oac.report.loading import read_histories, read_results, run_of
from oac.report.overlap_figure import overlap_figure
from oac.report.per_class import ap_per_class
from oac.report.proposal_comparison import comparison_curves, recall_curve
from oac.report.results import Variant
from oac.report.style import readable
from oac.report.training_curves import histories, training_curves

ABLATION = "ablation_"  # starts the names of the figures of ablations, each of which ends in its option

Names = Sequence[str] | None
"""The crop variants that a figure with a curve for each shows; None takes the first ones."""


def draw(name: str, files: Any, names: Names = None) -> Figure:
    """Draw a figure of FIGURES, or ABLATION with an option. files: the inputs of its rule, by name.

    Raises ValueError for another name.
    """
    if name.startswith(ABLATION):
        return ablation_figure(read_results(files.metrics), name.removeprefix(ABLATION))
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}: there are {', '.join(FIGURES)} and {ABLATION}{{option}}")
    return FIGURES[name](files, names)


def _ap(files: Any, names: Names) -> tuple[list[Variant], dict[str, pd.DataFrame]]:
    """The variants to show, and the AP tables of their runs."""
    tables = tables_by_variant({run_of(path): read_table(path) for path in files.tables})
    return readable(read_results(files.metrics).variants, names), tables


def _histories(files: Any, names: Names) -> tuple[list[Variant], dict[str, pd.DataFrame]]:
    """The variants to show, and the histories of their runs."""
    variants, tables = histories(read_histories(files.histories))
    return readable(variants, names), tables


def _training_boxes(files: Any) -> tuple[pd.DataFrame, list[str]]:
    """The boxes of the subset, and the ids of its training photos."""
    images = pd.read_parquet(files.images)
    return pd.read_parquet(files.boxes), images.loc[images["split"] == "train", "image_id"].tolist()


def _recall(files: Any) -> tuple[dict[str, Mapping[str, float]], float]:
    """Detection rates of each source, means over the photos of the test split, and the IoU of a detection."""
    recall = json.loads(Path(files.recall).read_text(encoding="utf-8"))
    # No source was trained on the boxes of the test split.
    return {source: entry["image"] for source, entry in recall["splits"]["test"].items()}, recall["iou"]


FIGURES: dict[str, Callable[[Any, Names], Figure]] = {
    "map_by_policy": lambda files, _: map_by_policy(read_results(files.metrics)),
    "ap_per_class": lambda files, names: ap_per_class(*_ap(files, names)),
    "ap_by_size": lambda files, names: ap_by_size(*_ap(files, names)),
    "ap_by_frequency": lambda files, names: ap_by_frequency(*_ap(files, names)),
    "audit": lambda files, _: audit_figure(read_results(files.metrics)),
    "overlap": lambda files, _: overlap_figure(read_results(files.metrics), read_table(files.overlap)),
    "training_curves": lambda files, names: training_curves(*_histories(files, names)),
    "images_per_class": lambda files, _: images_per_class(read_table(files.classes)),
    "objects_per_image": lambda files, _: objects_per_image(*_training_boxes(files)),
    "recall": lambda files, _: recall_curve(*_recall(files)),
    "comparison": lambda files, _: comparison_curves(read_table(files.comparison)),
}
