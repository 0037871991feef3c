"""The titles of figures: what each shows, in a sentence made of its own numbers.

All take what the figures draw. A sentence speaks of means over seeds and describes: where the interval of a
difference includes 0 it says so; which differences are significant is said in the verdicts alone. Where the variant
that a title speaks of has fewer than three seeds, it says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from oac.report.formats import p_words, points, signed_share
from oac.report.results import BOX_NAMES, Results, Variant
from oac.report.statistics import SMALLEST_SAMPLE

MARGIN = 0.01  # of the loss of chance; closer to it a run has learnt nothing that its noise does not hide
CORRELATED = 8  # classes; a rank correlation of fewer says next to nothing
CAUTIONS = {1: " (single seed, not ranked)", 2: " (two seeds, inconclusive)"}

Tables = Mapping[str, pd.DataFrame]
"""Of each variant, by its key, a table with the rows of all its runs and the column seed."""


def highest(results: Results) -> str:
    """Which variant has the highest mean mAP, or top-1 of single labels, and how far above scene crops it is.

    Where the interval of the difference to scene crops, or of that to the second highest, includes 0, that is said.
    Of several budgets the commonest is spoken of.
    """
    key, name, study = results.metric.key, results.metric.name, results.title
    ranked = sorted(results.variants, key=lambda variant: -variant.estimate(key).mean)
    every = [variant for variant in ranked if not variant.is_reference]
    budget = Counter(variant.images_seen for variant in every).most_common(1)[0][0] if every else 0
    rivals = [variant for variant in every if variant.images_seen == budget]
    if len(rivals) < 2:
        return f"{study}: {name} of {' and '.join(variant.name for variant in rivals or results.variants)}"
    best, second = rivals[:2]
    title = f"{study}: {best.name} has the highest {name} of {len(rivals)} variants"
    title += f" with {budget:,} images seen" if len(rivals) < len(every) else ""
    scenes = [other for other in rivals[1:] if other.method == best.method and other.policy == "scene-scene"]
    # Of several the one that other tables compare with, and not the one with the highest mAP.
    scenes.sort(key=lambda other: (other.crops != "scene-scene", results.variants.index(other)))
    for over in scenes[:1]:
        gain = best.difference_to(over, key)
        title += f", {points(gain.mean)} points above {over.name}"
        title += f" ({gain.verdict})" if best.n >= SMALLEST_SAMPLE and not gain.excludes_zero else ""
    if best.n < SMALLEST_SAMPLE:
        return title + CAUTIONS[best.n]
    lead = best.difference_to(second, key)
    if lead.excludes_zero or second in scenes[:1]:
        return title
    return f"{title}; against {second.name}: {lead.verdict}"


def by_size(variants: Sequence[Variant], tables: Tables, bins: Sequence[float]) -> str:
    """From what to what the AP of the best variant goes, from the smallest to the largest objects.

    bins: lower bounds of those with an AP, rising.
    """
    best = _best(variants, tables)
    if best is None or len(bins) < 2:
        return "AP by object size"
    rows = tables[best.key]
    small, large = (100 * float(rows[rows.low == low].ap.mean()) for low in (bins[0], bins[-1]))
    sizes = f"{points(small)} % where objects are small, of {points(large)} % where they are large"
    return f"{best.name}: AP of {sizes}{_caution(best, tables)}"


def by_frequency(variants: Sequence[Variant], tables: Tables) -> str:
    """Rank correlation of AP and photos per class for the best variant, from CORRELATED classes on."""
    best = _best(variants, tables)
    if best is None:
        return "AP by photos of a class"
    classes = tables[best.key].groupby("label").agg(ap=("ap", "mean"), photos=("train_images", "first")).dropna()
    if len(classes) < CORRELATED or classes.ap.nunique() < 2 or classes.photos.nunique() < 2:
        return f"AP of {best.name} by photos of a class"
    found = stats.spearmanr(classes.photos, classes.ap)
    correlation = f"{signed_share(float(found.statistic))} over {len(classes)} classes{p_words(found.pvalue)}"
    shown = f"rank correlation of AP and photos of a class {correlation}"
    return f"{best.name}: {shown}{_caution(best, tables)}"


def over_baseline(table: pd.DataFrame, variants: Sequence[Variant]) -> str:
    """In how many classes the variant with the largest mean gain is above the baseline.

    table: AP in percent, a row a class, column 0 of the baseline and column k of variants[k].
    """
    gains = table.drop(columns=0).sub(table[0], axis=0)
    place = int(gains.mean().idxmax())
    above, best = int((gains[place] > 0).sum()), variants[place]
    return f"{best.name} is above {variants[0].name} in {above} of {len(table)} classes{CAUTIONS.get(best.n, '')}"


def below_chance(method: str, runs: Sequence[pd.DataFrame]) -> str:
    """How many runs of a method end with a loss below that of chance: by MARGIN, over the last tenth of a history."""
    ends = [run.dropna(subset="loss").tail(max(1, len(run) // 10)) for run in runs]
    below = sum(end.loss.mean() < (1 - MARGIN) * end.chance.mean() for end in ends)
    end = "run ends" if len(ends) == 1 else "runs end"
    return f"{method}: {below} of {len(ends)} {end} more than {100 * MARGIN:.0f} % below the loss of chance"


def recall(rates: Mapping[str, Mapping[Any, float]]) -> str:
    """What the most boxes that all sources were asked for find, source by source."""
    known = {source: {int(count): rate for count, rate in found.items()} for source, found in rates.items()}
    common = set.intersection(*(set(rate_of) for rate_of in known.values()))
    if not common:
        return "Objects found by the first proposals"
    most = max(common)
    shares = [f"{BOX_NAMES.get(source, source)} {100 * rate_of[most]:.0f} %" for source, rate_of in known.items()]
    boxes = "box finds" if most == 1 else f"{most:,} boxes find"
    return f"The first {boxes}, of a photo's objects: {', '.join(shares)}"


def class_sizes(photos: pd.Series) -> str:
    """How many classes there are, and of how many photos."""
    low, high = int(photos.min()), int(photos.max())
    size = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(photos)} {'class' if len(photos) == 1 else 'classes'} of {size} training photos"


def objects_per_image(counts: pd.Series) -> str:
    """The mean number of objects, and the share of photos with several."""
    return (
        f"{counts.mean():.1f} objects in a photo on average; {100 * (counts > 1).mean():.0f} % of photos hold several"
    )


def _best(variants: Sequence[Variant], tables: Tables) -> Variant | None:
    """The variant with the highest mean AP that is no reference."""
    means = {variant.key: tables[variant.key].ap.mean() for variant in variants if not variant.is_reference}
    known = [variant for variant in variants if pd.notna(means.get(variant.key))]
    return max(known, key=lambda variant: means[variant.key], default=None)


def _caution(variant: Variant, tables: Tables) -> str:
    return CAUTIONS.get(tables[variant.key].seed.nunique(), "")
