from __future__ import annotations

import itertools
import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from oac.report.statistics import MOST_FLIPPED, Interval, adjusted, difference, holm, power, sign_flip, t_interval

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
samples = st.lists(numbers, min_size=3, max_size=8)


def by_seed(values, first=0):
    return dict(enumerate(values, first))


def test_hand_computed_interval():
    # mean 2, s = 1, t(2, 0.975) = 4.30265, s / sqrt(3) = 0.57735
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.half_width) == pytest.approx((2.0, 2.48414), abs=1e-5)


@given(samples)
def test_interval_is_that_of_scipy_and_of_its_definition(values):
    assume(np.std(values) > 0.01)
    interval = t_interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((interval.low, interval.high), (low, high), rtol=1e-9, atol=1e-9)
    width = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    assert interval.half_width == pytest.approx(width, rel=1e-6)


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8))
def test_a_difference_over_common_seeds_is_scipys_paired_one(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    d = first - second
    assume(np.std(d) > 0.01)
    # Runs of other seeds than the common ones, and their order, do not matter.
    ours = {99: 7.0, **by_seed(first.tolist())}
    found = difference(ours, dict(reversed(by_seed(second.tolist()).items())))
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose((found.low, found.high), (low, high), rtol=1e-9, atol=1e-9)
    assert (found.n, found.paired) == (len(d), True)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    t = abs(d.mean()) / (d.std(ddof=1) / len(d) ** 0.5)
    assert found.p == pytest.approx(2 * stats.t.sf(t, len(d) - 1), rel=1e-6, abs=1e-12)


@given(samples, samples, st.integers(0, 2))
def test_where_seeds_do_not_pair_the_difference_is_welchs(first, second, common):
    assume(np.std(first) > 0.01 and np.std(second) > 0.01)
    found = difference(by_seed(first), by_seed(second, first=len(first) - common))
    expected = stats.ttest_ind(first, second, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose((found.low, found.high), (low, high), rtol=1e-9, atol=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert (found.n, found.paired) == (min(len(first), len(second)), False)


@given(samples, samples)
def test_the_interval_excludes_zero_where_p_is_small(first, second):
    assume(np.std(np.subtract(first[:3], second[:3])) > 0.01)
    found = difference(by_seed(first[:3]), by_seed(second[:3]))
    assert found.excludes_zero == (found.low > 0 or found.high < 0)
    assert found.excludes_zero == (found.p < 0.05)
    assert not found.significant, "it was not declared"
    back = difference(by_seed(second[:3]), by_seed(first[:3]))
    assert back.mean == pytest.approx(-found.mean)
    assert (back.excludes_zero, back.verdict) == (found.excludes_zero, found.verdict)


@pytest.mark.parametrize("values", [[4.0], [4.0, 6.0]])
def test_fewer_than_three_values_have_no_interval(values):
    interval = t_interval(values)
    assert interval == Interval(np.mean(values), None)
    with pytest.raises(ValueError, match="needs 3 values"):
        _ = interval.low
    three = by_seed([1.0, 2.0, 3.0])
    for first, second in ((by_seed(values), three), (three, by_seed(values))):
        found = difference(first, second)
        assert (found.half_width, found.p, found.p_flip, found.excludes_zero) == (None, None, None, False)
        assert (found.n, found.paired) == (len(values), True)
    changes = np.subtract(values, [1.0, 2.0][: len(values)])
    assert difference(by_seed(values), three).mean == pytest.approx(changes.mean()), "over the common seeds"
    apart = difference(by_seed(values, first=7), three)
    assert (apart.mean, apart.half_width, apart.paired) == (np.mean(values) - 2.0, None, False)


def test_what_a_difference_says():
    one, two, three = by_seed([1.0]), by_seed([1.0, 2.0]), by_seed([1.0, 2.0, 4.0])
    far = by_seed([11.0, 12.1, 14.2])
    assert difference(far, one).verdict == "single seed, not ranked"
    assert difference(far, two).verdict == "inconclusive"
    clear, none = difference(far, three), difference(by_seed([4.0, 2.0, 1.0]), three)
    assert (clear.verdict, none.verdict) == ("interval excludes 0", "interval includes 0")
    tested = [change.verdict for change in adjusted([clear, none])]
    assert tested == ["significant difference", "no significant difference"]


def test_holm_decides_about_a_declared_difference_and_not_its_interval():
    barely = difference(by_seed([2.0, 2.9, 4.2]), by_seed([0.0, 0.0, 0.1]))
    assert 0.025 < barely.p < 0.05
    assert barely.excludes_zero
    (alone,) = adjusted([barely])
    assert alone.significant
    assert not any(change.significant for change in adjusted([barely] * 2))


@given(st.lists(numbers, min_size=3, max_size=9))
def test_the_sign_flip_test_is_that_of_trying_all_signs(values):
    assume(np.std(values) > 0.01)
    observed = abs(sum(values))
    means = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=len(values))]
    share = np.mean([mean >= observed - 1e-9 for mean in means])
    assert sign_flip(values) == pytest.approx(share)
    assert difference(by_seed(values), by_seed([0.0] * len(values))).p_flip == pytest.approx(share)


def test_eight_pairs_of_one_sign_are_below_one_percent_and_four_can_never_be():
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]) == 2 / 2**8
    assert sign_flip([1.0, 2.0, 3.0, 4.0]) == 2 / 2**4
    assert sign_flip([1.0] * (MOST_FLIPPED + 1)) is None


def test_equal_values_have_an_interval_of_no_width():
    assert t_interval([5.0] * 3) == Interval(5.0, 0.0)
    apart = difference(by_seed([5.0] * 3), by_seed([4.0] * 4, first=9))
    assert (apart.mean, apart.half_width, apart.p, apart.excludes_zero) == (1.0, 0.0, None, True)
    same = difference(by_seed([5.0, 6.0, 7.0]), by_seed([5.0, 6.0, 7.0]))
    assert (same.mean, same.half_width, same.p, same.excludes_zero) == (0.0, 0.0, None, False)
    # 1.1 - 1.0 and 2.1 - 2.0 are not equal to the bit.
    alike = difference(by_seed([1.1, 2.1, 3.1]), by_seed([1.0, 2.0, 3.0]))
    assert (alike.half_width, alike.p, alike.excludes_zero) == (0.0, None, True)


def test_an_interval_holds_its_ends():
    interval = Interval(1.0, 0.5)
    assert [interval.holds(value) for value in (0.49, 0.5, 1.2, 1.5, 1.51)] == [False, True, True, True, False]
    with pytest.raises(ValueError, match="no interval"):
        Interval(1.0, None).holds(1.0)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="no values"):
        t_interval([])
    for sides in (({}, by_seed([1.0])), (by_seed([1.0]), {})):
        with pytest.raises(ValueError, match="without values"):
            difference(*sides)


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


@pytest.mark.parametrize(("aim", "scale"), [(2.0, 1.0), (0.5, 1.0), (2.0, 0.01)])
def test_power_is_that_of_the_pooled_spread(aim, scale):
    samples = [
        [scale * value for value in sample] for sample in ([1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 6.0, 1.0], [1, 2, 4], [9])
    ]
    found = power(samples, aim)
    spread = math.sqrt(fmean(stdev(sample) ** 2 for sample in samples[:3]))
    assert (found.comparisons, found.n) == (3, 4), "one value has no spread"
    assert found.spread == pytest.approx(spread)

    def width(n):
        return stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)

    assert found.half_width == pytest.approx(width(4))
    assert found.needed == next(n for n in range(3, 10_000) if width(n) <= aim)
    assert power([[1.0, 2.0], []], aim) is None
