"""Means, intervals and differences over seeds.

One rule decides about a difference wherever it is printed. Contrasts that a study declares are tested: one is
significant where its p, adjusted for all of them after Holm, is below 0.05. Every other difference is descriptive:
it has an interval, which excludes 0 or does not, and no p; but for the effects of the audit, a family of its own.
An interval is given from three values on: of two, Student's t with one degree of freedom says next to nothing, and
of one there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

SMALLEST_SAMPLE = 3
LEVEL = 0.95  # of every confidence interval
ALPHA = 1 - LEVEL  # an adjusted p below it is significant
MOST_FLIPPED = 16  # pairs whose 2^n signs are all tried
ROUNDING = 1e-12  # of the largest value; differences closer to each other than that are equal


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its confidence interval (None: no interval)."""

    mean: float
    half_width: float | None

    @property
    def low(self) -> float:
        """Lower end; ValueError where there is no interval."""
        return self.mean - self._width()

    @property
    def high(self) -> float:
        """Upper end; ValueError where there is no interval."""
        return self.mean + self._width()

    def holds(self, value: float) -> bool:
        """Whether the interval contains a value; ValueError where there is no interval."""
        return self.low <= value <= self.high

    def _width(self) -> float:
        if self.half_width is None:
            raise ValueError(f"there is no interval around {self.mean}: it needs {SMALLEST_SAMPLE} values or more")
        return self.half_width


@dataclass(frozen=True)
class Difference(Interval):
    """A difference of two means over seeds.

    p: two-sided p of the t-test; None without an interval and without a spread. n: pairs, or the fewer runs of both
    sides where seeds do not pair. paired: whether it was taken seed by seed. p_flip: of the exact sign-flip test,
    which assumes no normal distribution; None where seeds do not pair. p_holm: p adjusted for the contrasts that are
    tested with it, by `adjusted`; None for a descriptive difference.
    """

    p: float | None
    n: int
    paired: bool
    p_flip: float | None = None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether it was tested and its adjusted p is below 0.05."""
        return self.p_holm is not None and self.p_holm < ALPHA

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and it excludes 0."""
        return self.half_width is not None and not self.holds(0.0)

    @property
    def verdict(self) -> str:
        """What it says, in words."""
        if self.half_width is None:
            return "single seed, not ranked" if self.n == 1 else "inconclusive"
        if self.p_holm is None:
            return f"interval {'excludes' if self.excludes_zero else 'includes'} 0"
        return "significant difference" if self.significant else "no significant difference"


NO_ESTIMATE = Interval(float("nan"), None)
NO_DIFFERENCE = Difference(float("nan"), None, None, 0, paired=False)
"""What stands where there is nothing to compare."""


def t_interval(values: Iterable[float]) -> Interval:
    """Mean and Student's 95 % t-interval of independent values, in their unit; no interval below three values."""
    sample = list(values)
    if not sample:
        raise ValueError("there is no mean of no values")
    if len(sample) < SMALLEST_SAMPLE:
        return Interval(fmean(sample), None)
    if _is_constant(sample, sample):
        return Interval(fmean(sample), 0.0)
    return Interval(fmean(sample), _half_width(stats.ttest_1samp(sample, 0.0)))


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Compare two samples of values by seed: mean of first - second, in their unit, with a 95 % confidence interval.

    From three common seeds on it is the paired t-interval over these. Where seeds do not pair it is Welch's, if each
    side has three. Otherwise there is no interval, and the mean is over the common seeds, or the difference of the
    means where there is none. Raises ValueError where a side has no value.
    """
    if not first or not second:
        raise ValueError("there is no difference to a side without values")
    seeds = sorted(set(first) & set(second))
    fewest = min(len(first), len(second))
    paired = len(seeds) >= SMALLEST_SAMPLE or (bool(seeds) and fewest < SMALLEST_SAMPLE)
    if paired:
        ours, others = ([side[seed] for seed in seeds] for side in (first, second))
        changes = [a - b for a, b in zip(ours, others, strict=True)]
        mean, n, constant = fmean(changes), len(seeds), _is_constant(changes, [*ours, *others])
    else:
        ours, others = list(first.values()), list(second.values())
        mean, n = fmean(ours) - fmean(others), fewest
        constant = _is_constant(ours, ours) and _is_constant(others, others)
    if n < SMALLEST_SAMPLE:
        return Difference(mean, None, None, n, paired)
    if constant:
        return Difference(mean, 0.0, None, n, paired)
    if not paired:
        test = stats.ttest_ind(ours, others, equal_var=False)
        return Difference(mean, _half_width(test), float(test.pvalue), n, paired)
    test = stats.ttest_rel(ours, others)
    return Difference(mean, _half_width(test), float(test.pvalue), n, paired, sign_flip(changes))


def sign_flip(changes: Sequence[float]) -> float | None:
    """Two-sided p of the exact sign-flip test of paired differences; None for more than MOST_FLIPPED of them.

    Without an effect each difference is as likely with the other sign (Fisher's randomisation test), so p is the
    share of all 2^n signs whose mean is as far from 0 or farther. It is 2 / 2^n at least: 0.01 takes eight pairs.
    """
    if len(changes) > MOST_FLIPPED:
        return None
    test = stats.permutation_test(
        (changes,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True, alternative="two-sided"
    )
    return float(test.pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number after Holm (1979): the k-th smallest of m times m - k + 1, never decreasing.

    The chance that any of them is at most a without there being a difference is at most a, however they depend on
    each other. None is no test: it stays and does not count.
    """
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        adjusted[place] = largest
    return adjusted


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences with p adjusted for all of them."""
    p_holm = holm([change.p for change in differences])
    return [replace(change, p_holm=p) for change, p in zip(differences, p_holm, strict=True)]


def adjusted_columns(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a table with the p of each column of differences adjusted for all of that column."""
    found = [dict(row) for row in rows]
    for key in [key for key, value in found[0].items() if isinstance(value, Difference)]:
        for row, change in zip(found, adjusted([row[key] for row in found]), strict=True):
            row[key] = change
    return found


@dataclass(frozen=True)
class Power:
    """How small an effect paired comparisons of so many seeds can tell.

    spread: root mean square of the standard deviations over seeds of the differences, in their unit; n: the number of
    seeds that most comparisons have; half_width: of a 95 % t-interval with spread and n; needed: seeds for `aim`.
    """

    comparisons: int
    spread: float
    n: int
    half_width: float
    aim: float
    needed: int


def power(changes: Sequence[Sequence[float]], aim: float) -> Power | None:
    """What some comparisons, each a sample of differences by seed, can tell; None where none has an interval.

    aim: the half-width that is wanted, above 0.
    """
    samples = [sample for sample in changes if len(sample) >= SMALLEST_SAMPLE]
    if not samples:
        return None
    spread = float(np.sqrt(np.mean([np.var(sample, ddof=1) for sample in samples])))
    n = int(stats.mode([len(sample) for sample in samples]).mode)

    def half_width(seeds: int) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1)) * spread / seeds**0.5

    needed = SMALLEST_SAMPLE
    while half_width(needed) > aim:
        needed += 1
    return Power(len(samples), spread, n, half_width(n), aim, needed)


def _is_constant(values: Sequence[float], inputs: Sequence[float]) -> bool:
    """Whether values are equal but for the rounding of the inputs that they are made of."""
    return max(values) - min(values) <= ROUNDING * max(map(abs, inputs))


def _half_width(test: Any) -> float:
    """Half of the confidence interval of one of scipy's t-tests."""
    low, high = test.confidence_interval(LEVEL)
    return float(high - low) / 2
