from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from oac.report.statistics import Interval, holm, intervals_overlap, paired_p, t_interval, welch_interval

samples = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=3, max_size=8)


def test_hand_computed_interval():
    # mean 2, s = 1, t(2, 0.975) = 4.30265, s / sqrt(3) = 0.57735
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.48414), abs=1e-5)
    assert t_interval([1.0, 2.0, 3.0], level=0.5).half_width == pytest.approx(0.816497 / 3**0.5, abs=1e-5)


@given(samples, st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_is_that_of_scipy(values, level):
    assume(np.std(values) > 0.01)
    interval = t_interval(values, level)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    np.testing.assert_allclose((interval.low, interval.high), (low, high), rtol=1e-9, atol=1e-9)


@given(samples, samples)
def test_difference_is_welchs(first, second):
    assume(np.std(first) > 0.01 and np.std(second) > 0.01)
    interval = welch_interval(first, second)
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose((interval.low, interval.high), (low, high), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("values", [[4.0], [4.0, 6.0]])
def test_fewer_than_three_values_have_no_interval(values):
    interval = t_interval(values)
    assert interval == (np.mean(values), None)
    assert welch_interval(values, [1.0, 2.0, 3.0]) == (np.mean(values) - 2.0, None)
    assert welch_interval([1.0, 2.0, 3.0], values).half_width is None
    with pytest.raises(ValueError, match="needs 3 values"):
        _ = interval.low


def test_equal_values_have_an_interval_of_no_width():
    assert t_interval([5.0] * 3) == (5.0, 0.0)
    assert welch_interval([5.0] * 3, [4.0] * 4) == (1.0, 0.0)


def test_overlap_is_symmetric_and_counts_touching():
    low, touching, apart = Interval(1.0, 0.5), Interval(2.0, 0.5), Interval(2.1, 0.5)
    assert intervals_overlap(low, touching)
    assert intervals_overlap(touching, low)
    assert not intervals_overlap(low, apart)
    assert not intervals_overlap(apart, low)
    assert intervals_overlap(Interval(0.0, 9.0), low)  # one inside the other
    with pytest.raises(ValueError, match="no interval"):
        intervals_overlap(low, Interval(1.0, None))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="no values"):
        t_interval([])
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_interval([1.0, 2.0, 3.0], level=95)


@given(st.lists(st.tuples(*[st.floats(-100, 100).map(lambda value: round(value, 3))] * 2), min_size=3, max_size=8))
def test_paired_p_is_that_of_scipy_and_of_its_definition(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    d = first - second
    assume(np.std(d) > 0.01)
    p = paired_p(first.tolist(), second.tolist())
    assert p == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9, abs=1e-300)
    t = abs(d.mean()) / (d.std(ddof=1) / len(d) ** 0.5)
    assert p == pytest.approx(2 * stats.t.sf(t, len(d) - 1), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 2.0], [2.0, 5.0]), ([], []), ([1.1, 2.1, 3.1], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])],
)
def test_there_is_no_p_of_two_pairs_nor_of_equal_differences(first, second):
    assert paired_p(first, second) is None


def test_pairs_need_two_sides():
    with pytest.raises(ValueError, match="zip"):
        paired_p([1.0, 2.0, 3.0], [1.0, 2.0])


def slow_holm(values):
    """The smallest level at which the step-down procedure rejects each, found by trying all that can matter."""
    tests = sorted(value for value in values if value is not None)
    levels = sorted({min(1.0, k * value) for value in tests for k in range(1, len(tests) + 1)} | {1.0})

    def rejected(level):
        count = 0
        for rank, value in enumerate(tests):
            if value * (len(tests) - rank) > level:
                break
            count += 1
        return tests[:count]

    return [None if v is None else next((a for a in levels if v in rejected(a)), 1.0) for v in values]


@given(st.lists(st.none() | st.floats(0, 1) | st.sampled_from([0.01, 0.02, 0.04]), max_size=7))
def test_holm_is_the_level_at_which_the_procedure_rejects(values):
    assert holm(values) == pytest.approx(slow_holm(values))


def test_holm_of_a_textbook():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not fall below the one before.
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
