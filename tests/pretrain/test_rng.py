import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oac.pretrain.rng import permutation, uniform


def test_draws_depend_on_the_counters_and_on_nothing_else():
    epoch, image = np.array([0, 0, 3]), np.array([5, 7, 5])
    together = uniform(1, epoch, image, 4, "crops")
    alone = np.concatenate([uniform(1, epoch[i : i + 1], image[i : i + 1], 4, "crops") for i in range(3)])
    assert (together == alone).all()
    assert (uniform(1, epoch, image, 9, "crops")[:, :4] == together).all(), "more draws must not move the first ones"


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 10**7))
def test_each_counter_matters(seed, epoch, image):
    def draw(s, e, i, purpose="crops"):
        return uniform(s, np.array([e]), np.array([i]), 3, purpose).tolist()

    base = draw(seed, epoch, image)
    assert base != draw(seed + 1, epoch, image)
    assert base != draw(seed, epoch + 1, image)
    assert base != draw(seed, epoch, image + 1)
    assert base != draw(seed, epoch, image, "augment")


def test_draws_are_uniform_and_neighbours_independent():
    u = uniform(0, np.zeros(20_000, int), np.arange(20_000), 4, "crops")
    assert ((u >= 0) & (u < 1)).all()
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    correlation = np.corrcoef(np.concatenate([u[:-1].T, u[1:].T])) - np.eye(8)
    assert np.abs(correlation).max() < 0.03


def test_an_epoch_visits_every_photo_once_and_in_an_order_of_its_own():
    first, second = permutation(0, 0, 100), permutation(0, 1, 100)
    assert sorted(first) == list(range(100))
    assert (first != second).any()
    assert (permutation(0, 0, 100) == first).all()
