"""The titles of figures: what each shows, in a sentence made of its own numbers.

All take the tables and arms that the figures draw. A sentence speaks of means over seeds; where the line it speaks of
has fewer than three seeds it says so, because one seed tells no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from oac.report.formats import points
from oac.report.headline import headline
from oac.report.statistics import SMALLEST_SAMPLE, welch_interval
from oac.report.style import Arm
from oac.report.tables import BOX_NAMES, percent

MARGIN = 0.01  # of the loss of chance; closer to it a run has learnt nothing that its noise does not hide


def highest(arms: Sequence[Arm], study: str) -> str:
    """Which crop line has the highest mean mAP, or top-1 of single labels, and how far above scene crops it is.

    Where the second highest may be as high by Welch's interval, that is said.
    """
    lines, name = [arm for arm in arms if arm.trained], headline(arms[0].rows).name
    if len(lines) < 2:
        return f"{name} of {' and '.join(arm.name for arm in lines or arms)} on {study}"
    best = max(lines, key=_mean)
    scenes = [arm for arm in lines if arm.method == best.method and arm.policy == "scene-scene" and arm is not best]
    title = f"{best.name} has the highest {name} of {len(lines)} lines on {study}"
    over = max(scenes, key=_mean, default=best)
    if scenes:
        title += f", {points(_mean(best) - _mean(over))} points above {over.name}"
    second = max((arm for arm in lines if arm is not best), key=_mean)
    gap = welch_interval(percent(best.rows), percent(second.rows))
    if gap.half_width is not None and gap.low <= 0:
        title += f"; not told apart from {second.name}"
    return title + _caution(min((best, second, over), key=lambda arm: arm.rows.seed.nunique()))


def by_size(arms: Sequence[Arm], bins: Sequence[float]) -> str:
    """From what to what the AP of the best arm goes, from the smallest to the largest objects.

    bins: lower bounds of those with an AP, rising.
    """
    best = _best(arms)
    if best is None or len(bins) < 2:
        return "AP by object size"
    small, large = (100 * float(best.rows[best.rows.low == low].ap.mean()) for low in (bins[0], bins[-1]))
    return (
        f"{best.name}: AP of {points(small)} % where objects are small, of {points(large)} % where they are large"
        f"{_caution(best)}"
    )


def by_frequency(arms: Sequence[Arm]) -> str:
    """Rank correlation of AP and photos per class for the best arm, from three classes on."""
    best = _best(arms)
    if best is None:
        return "AP by photos of a class"
    classes = best.rows.groupby("label").agg(ap=("ap", "mean"), photos=("train_images", "first")).dropna()
    if len(classes) < SMALLEST_SAMPLE or classes.ap.nunique() < 2 or classes.photos.nunique() < 2:
        return f"AP of {best.name} by photos of a class"
    correlation = float(stats.spearmanr(classes.photos, classes.ap).statistic)
    shown = f"{correlation:+.2f}".replace("-", "−")
    return (
        f"{best.name}: rank correlation of AP and photos of a class {shown} over {len(classes)} classes"
        f"{_caution(best)}"
    )


def over_baseline(table: pd.DataFrame, arms: Sequence[Arm]) -> str:
    """In how many classes the arm with the largest mean gain is above the baseline.

    table: AP in percent, a row a class, column 0 of the baseline and column k of arms[k].
    """
    gains = table.drop(columns=0).sub(table[0], axis=0)
    place = int(gains.mean().idxmax())
    above, best = int((gains[place] > 0).sum()), arms[place]
    return f"{best.name} is above {arms[0].name} in {above} of {len(table)} classes{_caution(best)}"


def below_chance(method: str, arms: Sequence[Arm]) -> str:
    """How many runs of a method end with a loss below that of chance: by MARGIN, over the last tenth of a history."""
    ends = [
        run.dropna(subset="loss").tail(max(1, len(run) // 10)) for arm in arms for _, run in arm.rows.groupby("seed")
    ]
    below = sum(end.loss.mean() < (1 - MARGIN) * end.chance.mean() for end in ends)
    runs = "run ends" if len(ends) == 1 else "runs end"
    return f"{method}: {below} of {len(ends)} {runs} more than {100 * MARGIN:.0f} % below the loss of chance"


def found_by(rates: Mapping[str, Mapping[Any, float]]) -> str:
    """What the most boxes that all sources were asked for find, source by source."""
    common = set.intersection(*({int(count) for count in by_count} for by_count in rates.values() if by_count))
    if not common:
        return "Objects found by the first proposals"
    most = max(common)
    found = [
        f"{BOX_NAMES.get(source, source)} {100 * {int(count): rate for count, rate in by_count.items()}[most]:.0f} %"
        for source, by_count in rates.items()
        if by_count
    ]
    boxes = "box finds" if most == 1 else f"{most} boxes find"
    return f"The first {boxes}, of a photo's objects: {', '.join(found)}"


def class_sizes(photos: pd.Series) -> str:
    """How many classes there are, and of how many photos."""
    low, high = int(photos.min()), int(photos.max())
    size = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(photos)} {'class' if len(photos) == 1 else 'classes'} of {size} training photos"


def objects_a_photo(counts: pd.Series) -> str:
    """The mean number of objects, and the share of photos with several."""
    return (
        f"{counts.mean():.1f} objects in a photo on average; {100 * (counts > 1).mean():.0f} % of photos hold several"
    )


def _best(arms: Sequence[Arm]) -> Arm | None:
    """The trained arm with the highest mean AP."""
    trained = [arm for arm in arms if arm.trained and arm.rows.ap.notna().any()]
    return max(trained, key=lambda arm: float(np.nanmean(arm.rows.ap)), default=None)


def _mean(arm: Arm) -> float:
    return float(np.mean(percent(arm.rows)))


def _caution(arm: Arm) -> str:
    seeds = arm.rows.seed.nunique()
    return "" if seeds >= SMALLEST_SAMPLE else f" (n = {seeds}, which tells no order)"
