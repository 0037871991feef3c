"""When do object crops help? The gain over scene crops by the size and the number of objects, from a grid of studies.

Each study of the grid has images of its own. Where a data set stands among them says beforehand what to expect of
object crops on it, as far as synthetic images can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from oac.data.object_statistics import ObjectStatistics
from oac.report.formats import Column, Row, Table, change, points
from oac.report.results import BOX_NAMES, Results, Variant
from oac.report.variant_tables import recipes_note

BOXES = ("ground_truth", "bing", "random")


class Place(NamedTuple):
    """Where a data set of photos stands."""

    name: str
    statistics: ObjectStatistics
    source: str


PLACES = (
    Place("VOC2007", ObjectStatistics(3.14, 0.333), "2,500 photos of its train list, measured here"),
    Place(
        "ImageNet",
        ObjectStatistics(1.6, 0.60),
        "objects of the photo's class and the root of their mean share of the area, 0.358 (ILSVRC 2012, analysis of"
        " the data)",
    ),
)
OHMS_OBJECTS = 12  # of a photo (paper, section 3); their size is not published


class Regime(NamedTuple):
    """One study of the grid."""

    results: Results
    statistics: ObjectStatistics
    """of its train photos"""

    @property
    def scene(self) -> Variant:
        """What gains are over. Raises ValueError where it is not one variant, trained as long as all others."""
        found = [variant for variant in self.results.of("moco_v2") if variant.policy == "scene-scene"]
        budgets = {(variant.images_seen, variant.training) for variant in self.results.of("moco_v2")}
        if len(found) != 1 or len(budgets) > 1:
            raise ValueError(
                f"study {self.results.study} has no scene-scene variant, or several, or variants of several budgets:"
                " a grid compares object crops with one scene-scene variant at equal budget"
            )
        return found[0]

    def around(self, boxes: str) -> Variant | None:
        """The object-dilate variant with some boxes."""
        variants = self.results.of("moco_v2")
        return next((v for v in variants if (v.policy, v.boxes) == ("object-dilate", boxes)), None)


def regimes_table(regimes: Sequence[Regime]) -> Table:
    """One row for each study and source of boxes: what is gained over scene crops."""
    rows = [
        _row(regime, variant)
        for regime in regimes
        for boxes in BOXES
        if (variant := regime.around(boxes)) is not None
    ]
    columns = [
        Column("Objects a photo", lambda row: f"{row['objects']:.1f}"),
        Column("Their side (% of the photo's)", lambda row: points(100 * row["side"])),
        Column("Boxes", lambda row: BOX_NAMES[row["boxes"]], number=False),
        Column("n", "n"),
        Column("Random initialisation, mAP (%)", "random_init_percent"),
        Column("scene-scene, mAP (%)", "scene"),
        Column("object-dilate, mAP (%)", "dilate"),
        Column("Gain (points), 95 % interval over seeds", lambda row: change(row["gain"])),
    ]
    places = "; ".join(
        f"{place.name} {place.statistics.objects:g} objects a photo, side {100 * place.statistics.side:.0f} %"
        f" ({place.source})"
        for place in PLACES
    )
    notes = [
        finding(regimes) + ".",
        "Gain: mAP of object-dilate less that of scene-scene at equal budget, paired by seed; descriptive, without a"
        " test. Side: mean square root of a box's share of the photo's area. Random boxes have BING's sizes.",
        f"Places of photos: {places}; OHMS {OHMS_OBJECTS} objects a photo, their size is not published.",
        *(f"{_images(regime.statistics)}: {recipes_note(regime.results.of('moco_v2'))}" for regime in regimes),
    ]
    return Table(rows, columns, "Gain of object crops over scene crops by size and number of objects", notes)


def _row(regime: Regime, variant: Variant) -> dict[str, Any]:
    untrained = regime.results.variant("random_init", "none")
    return {
        "study": regime.results.study,
        "objects": regime.statistics.objects,
        "side": regime.statistics.side,
        "boxes": variant.boxes,
        "n": len(set(variant.runs) & set(regime.scene.runs)),
        "random_init_percent": untrained.estimate().mean if untrained else None,
        "scene": regime.scene.estimate(),
        "dilate": variant.estimate(),
        "gain": variant.difference_to(regime.scene),
        # So that means and intervals can be computed again from the CSV.
        "scene_runs": _by_seed(regime.scene),
        "dilate_runs": _by_seed(variant),
    }


def _by_seed(variant: Variant) -> str:
    """The mAP of each seed, in percent: 0 31.5, 1 30.9."""
    return ", ".join(f"{seed} {value!r}" for seed, value in sorted(variant.values().items()))


def finding(regimes: Sequence[Regime]) -> str:
    """Where the gain with BING's boxes is largest and where smallest, and how many intervals exclude 0."""
    gains = [(variant.difference_to(r.scene), r.statistics) for r in regimes if (variant := r.around("bing"))]
    if not gains:
        return "Gain of object crops over scene crops"
    ordered = sorted(gains, key=lambda pair: pair[0].mean)
    (least, few), (most, many) = ordered[0], ordered[-1]
    above = sum(gain.excludes_zero and gain.mean > 0 for gain, _ in gains)

    return (
        f"Crops around BING boxes gain {change(most)} points with {_images(many)}, {change(least)} with"
        f" {_images(few)}; {above} of {len(gains)} intervals lie above 0"
    )


def _images(statistics: ObjectStatistics) -> str:
    """What images show, in words."""
    number = round(statistics.objects)
    return f"{number} object{'s' if number > 1 else ''} of {100 * statistics.side:.0f} % of the side"


def nearest(table: pd.DataFrame, statistics: ObjectStatistics, boxes: str) -> Row:
    """The row of a table of regimes whose images are most like a data set: nearest in both means' logarithms."""
    rows = table[table["boxes"] == boxes]
    if rows.empty:
        raise ValueError(f"the table of regimes has no row of {boxes} boxes")
    distance = np.log(rows["objects"] / statistics.objects) ** 2 + np.log(rows["side"] / statistics.side) ** 2
    return dict(rows.loc[distance.idxmin()])
