from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from oac.report.statistics import Interval, intervals_overlap, t_interval, welch_interval

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
