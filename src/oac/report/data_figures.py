"""What a study's subset holds, as figures: photos of each class, and objects of each photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oac.report import findings
from oac.report.per_class import NAMED_CLASSES
from oac.report.style import NEUTRAL, SMALL, count_axis, entitle, name_rows, one_panel, require, styled

TAIL = 0.99  # quantile of objects per photo from which on the histogram pools


@styled()
def images_per_class(classes: pd.DataFrame) -> Figure:
    """Training photos of each class, most frequent first: named bars up to 40 classes, else a curve on a log axis.

    classes: classes.csv (label, name, train_images, train_boxes). Raises ValueError where it has no row.
    """
    require("classes", classes)
    ranked = classes.sort_values("train_images", ascending=False, kind="stable", ignore_index=True)
    named = len(ranked) <= NAMED_CLASSES
    figure, axes = one_panel(0.8 + 0.2 * len(ranked) if named else 3.4)
    entitle(figure, findings.class_sizes(ranked.train_images))
    if not named:
        _rank_curve(axes, ranked)
        return figure
    bars = axes.barh(range(len(ranked)), ranked.train_images, color=NEUTRAL, height=0.7)
    axes.bar_label(bars, [f"{count:,}" for count in ranked.train_images], padding=3, fontsize=SMALL)
    name_rows(axes, ranked.name)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training photos")
    return figure


def _rank_curve(axes: Axes, ranked: pd.DataFrame) -> None:
    """Photos over rank, with the most frequent, the middle and the rarest class named."""
    axes.plot(ranked.index + 1, ranked.train_images, color=NEUTRAL)
    axes.set_yscale("log")
    for place in (0, len(ranked) // 2, len(ranked) - 1):
        at, name = (place + 1, ranked.train_images[place]), ranked.name[place]
        axes.plot(*at, "o", color=NEUTRAL, ms=4)
        aside, ha, va = ((-6, -4), "right", "top") if place == len(ranked) - 1 else ((6, 4), "left", "bottom")
        words = f"{name}: {at[1]:,}"
        axes.annotate(words, at, aside, textcoords="offset points", ha=ha, va=va, fontsize=SMALL)
    axes.margins(y=0.12)
    count_axis(axes.yaxis, ranked.train_images)
    axes.set_xlabel(f"rank of the class (of {len(ranked)})")
    axes.set_ylabel("training photos")


@styled()
def objects_per_image(boxes: pd.DataFrame, image_ids: Sequence[str]) -> Figure:
    """Share of the photos with so many boxes; the last bar pools the hundredth with the most.

    boxes: boxes.parquet. image_ids: the photos to count, also those without a box. Raises ValueError where there is
    none.
    """
    counts = boxes.image_id.value_counts().reindex(image_ids, fill_value=0)
    require("photos", counts)
    last = max(int(np.ceil(counts.quantile(TAIL))), 1)
    share = np.bincount(np.minimum(counts, last), minlength=last + 1) / len(counts)
    first = int(np.flatnonzero(share)[0])
    figure, axes = one_panel(2.8)
    axes.bar(np.arange(first, last + 1), 100 * share[first:], color=NEUTRAL, width=0.8)
    axes.axvline(counts.mean(), color="black", lw=1.0, ls="--")
    label = f"  mean {counts.mean():.1f}"
    axes.text(counts.mean(), 1.02, label, transform=axes.get_xaxis_transform(), va="bottom", fontsize=SMALL)
    axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
    pooled = f"; the last bar is {last} and more" if counts.max() > last else ""
    axes.set_xlabel(f"objects in a photo ({len(counts):,} photos{pooled})")
    axes.set_ylabel("photos (%)")
    entitle(figure, findings.objects_per_image(counts))
    return figure
