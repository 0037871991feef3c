"""Which figure is drawn from which files: what `workflow/scripts/draw.py` looks its output up in.

CONTRIBUTING.md says what a new figure needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from oac.csv_tables import read_table
from oac.report.ablation_figure import ablation_figure
from oac.report.audit_figure import audit_figure
from oac.report.data_figures import images_per_class, objects_per_image
from oac.report.figures import ap_by_frequency, ap_by_size, map_by_policy, tables_by_variant
from oac.report.loading import read_histories, read_results, run_of
from oac.report.overlap_figure import overlap_figure
from oac.report.parts import OPTION
from oac.report.per_class import ap_per_class
from oac.report.proposal_comparison import comparison_curves, recall_curve
from oac.report.results import Names, Results, Variant
from oac.report.style import entitle, styled, wrapped
from oac.report.training_curves import histories, training_curves
from oac.report.variant_style import readable

PANEL_TITLE = 78  # characters of a line over a panel, which begins to the right of the figure's edge


class Shown(NamedTuple):
    """What a study file says of its figures."""

    variants: Sequence[str] | None
    """The crop variants that a figure with a curve for each shows; None takes the first ones."""
    names: Names


@styled()
def draw(name: str, files: Any, variants: Sequence[str] | None = None, names: Names | None = None) -> Figure:
    """Draw a figure of FIGURES, or OPTION with an option.

    files: the inputs of its rule, by name; variants, names: of `Shown`. Raises ValueError for another name.
    """
    shown = Shown(variants, names or Names())
    if name.startswith(OPTION):
        return ablation_figure(_results(files, shown), name.removeprefix(OPTION))
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}: there are {', '.join(FIGURES)} and {OPTION}{{option}}")
    figure = FIGURES[name](files, shown)
    if shown.names.title:
        _name_study(figure, shown.names.title)
    return figure


def _name_study(figure: Figure, study: str) -> None:
    """Begin the title with the study's, which figures that are drawn from other tables than metrics do not know."""
    title, first = figure.get_suptitle().replace("\n", " "), figure.axes[0] if figure.axes else None
    if not title and first:
        first.set_title(wrapped(f"{study}, {first.get_title(loc='left')}", PANEL_TITLE), loc="left")
    elif not title.startswith(study):
        entitle(figure, f"{study}: {title}")


def _results(files: Any, shown: Shown) -> Results:
    return read_results(files.metrics, names=shown.names)


def _ap(files: Any, shown: Shown) -> tuple[list[Variant], dict[str, pd.DataFrame]]:
    """The variants to show, and the AP tables of their runs."""
    tables = tables_by_variant({run_of(path): read_table(path) for path in files.tables})
    return readable(_results(files, shown).variants, shown.variants), tables


def _histories(files: Any, shown: Shown) -> tuple[list[Variant], dict[str, pd.DataFrame]]:
    """The variants to show, and the histories of their runs."""
    variants, tables = histories(read_histories(files.histories), shown.names)
    return readable(variants, shown.variants), tables


def _training_boxes(files: Any) -> tuple[pd.DataFrame, list[str]]:
    """The boxes of the subset, and the ids of its training photos."""
    images = pd.read_parquet(files.images)
    return pd.read_parquet(files.boxes), images.loc[images["split"] == "train", "image_id"].tolist()


def _recall(files: Any) -> tuple[dict[str, Mapping[str, float]], float]:
    """Detection rates of each source, means over the photos of the test split, and the IoU of a detection."""
    recall = json.loads(Path(files.recall).read_text(encoding="utf-8"))
    # No source was trained on the boxes of the test split.
    return {source: entry["image"] for source, entry in recall["splits"]["test"].items()}, recall["iou"]


FIGURES: dict[str, Callable[[Any, Shown], Figure]] = {
    "map_by_policy": lambda files, shown: map_by_policy(_results(files, shown)),
    "ap_per_class": lambda files, shown: ap_per_class(*_ap(files, shown)),
    "ap_by_size": lambda files, shown: ap_by_size(*_ap(files, shown)),
    "ap_by_frequency": lambda files, shown: ap_by_frequency(*_ap(files, shown)),
    "audit": lambda files, shown: audit_figure(_results(files, shown)),
    "overlap": lambda files, shown: overlap_figure(_results(files, shown), read_table(files.overlap), shown.variants),
    "training_curves": lambda files, shown: training_curves(*_histories(files, shown)),
    "images_per_class": lambda files, _: images_per_class(read_table(files.classes)),
    "objects_per_image": lambda files, _: objects_per_image(*_training_boxes(files)),
    "recall": lambda files, _: recall_curve(*_recall(files)),
    "comparison": lambda files, _: comparison_curves(read_table(files.comparison)),
}
