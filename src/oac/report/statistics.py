"""Means, intervals and differences over seeds.

An interval is given from three values on: of two, Student's t with one degree of freedom says next to
nothing, and of one there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, variance
from typing import NamedTuple

from scipy import stats

SMALLEST_SAMPLE = 3


class Interval(NamedTuple):
    """A mean, or difference of means, and the half width of its confidence interval (None: no interval)."""

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

    def _width(self) -> float:
        if self.half_width is None:
            raise ValueError(f"there is no interval around {self.mean}: it needs {SMALLEST_SAMPLE} values or more")
        return self.half_width


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student's t interval of independent values, the unit of both being that of the values.

    half_width = t(n - 1, (1 + level) / 2) * s / sqrt(n), s the sample standard deviation; None for n < 3.
    """
    _check(values, level)
    n = len(values)
    if n < SMALLEST_SAMPLE:
        return Interval(fmean(values), None)
    quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
    return Interval(fmean(values), quantile * sqrt(variance(values) / n))


def welch_interval(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval:
    """mean(first) - mean(second) and Welch's interval, which does not assume equal variances.

    The degrees of freedom are those of Welch and Satterthwaite; no interval where either sample has n < 3.
    """
    _check(first, level)
    _check(second, level)
    difference = fmean(first) - fmean(second)
    if min(len(first), len(second)) < SMALLEST_SAMPLE:
        return Interval(difference, None)
    a, b = variance(first) / len(first), variance(second) / len(second)
    if a + b == 0:
        return Interval(difference, 0.0)
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return Interval(difference, float(stats.t.ppf((1 + level) / 2, freedom)) * sqrt(a + b))


def paired_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p of Student's paired t test of first against second, value by value.

    None below three pairs, and where all differences are equal but for rounding, which leaves nothing to test them
    by. Raises ValueError where the lengths differ.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    if len(differences) < SMALLEST_SAMPLE:
        return None
    rounding = 1e-12 * max(map(abs, [*first, *second]))
    if max(differences) - min(differences) <= rounding:
        return None
    return float(stats.ttest_rel(first, second).pvalue)


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


def intervals_overlap(first: Interval, second: Interval) -> bool:
    """Whether two intervals have a point in common; ValueError where one of them is missing."""
    return first.low <= second.high and second.low <= first.high


def _check(values: Sequence[float], level: float) -> None:
    if len(values) == 0:
        raise ValueError("there is no mean of no values")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
