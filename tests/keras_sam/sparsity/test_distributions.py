import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sam.sparsity.distributions import DISTRIBUTIONS, erk, global_, kept_count, uniform

SHAPES = st.lists(
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6
)


def test_rounds_halves_up_and_reads_sparsity_as_a_decimal():
    # Python's round gives 2 of 2.5, and floats 0.4999999999999999 for (1 - 0.9) * 5.
    assert [kept_count(0.5, 5), kept_count(0.9, 5), kept_count(0.9, 1000), kept_count(0, 7)] == [
        3,
        1,
        100,
        7,
    ]


@given(st.integers(0, 1000), st.integers(1, 10**9))
def test_kept_count_is_exact(thousandths, size):
    exact = Fraction(1000 - thousandths, 1000) * size
    assert kept_count(thousandths / 1000, size) == math.floor(exact + Fraction(1, 2))


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
@given(shapes=SHAPES, data=st.data())
def test_total_is_exact_and_no_layer_gets_more_than_it_has(name, shapes, data):
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=shape) for shape in shapes]
    for score in scores:  # Some weights are pruned already.
        score[rng.random(score.shape) < data.draw(st.sampled_from([0.0, 0.3, 0.9]))] = -np.inf
    available = [int(np.isfinite(score).sum()) for score in scores]
    kept = data.draw(st.integers(0, sum(available)))
    counts = DISTRIBUTIONS[name](scores, kept)
    assert sum(counts) == kept
    assert all(0 <= count <= most for count, most in zip(counts, available, strict=True))


@pytest.mark.parametrize("distribution", [uniform, erk])
@given(shapes=SHAPES, data=st.data())
def test_no_layer_is_empty_if_there_is_one_weight_for_each(distribution, shapes, data):
    scores = [np.zeros(shape) for shape in shapes]
    kept = data.draw(st.integers(len(shapes), sum(s.size for s in scores)))
    assert min(distribution(scores, kept)) >= 1


@given(shapes=SHAPES, data=st.data())
def test_uniform_is_within_one_of_the_exact_share(shapes, data):
    scores = [np.zeros((10, *shape)) for shape in shapes]
    sizes = np.array([s.size for s in scores])
    kept = data.draw(st.integers(math.ceil(sizes.sum() / sizes.min()), sizes.sum()))
    assert np.all(np.abs(uniform(scores, kept) - kept * sizes / sizes.sum()) < 1)


def test_uniform_gives_what_is_left_over_to_the_largest_remainder():
    # Shares of 7 kept: 7 * 5/20 = 1.75, 7 * 10/20 = 3.5, 1.75; the floors 1, 3, 1 leave two over.
    assert uniform([np.zeros(5), np.zeros(10), np.zeros(5)], 7) == [2, 3, 2]


def test_ties_of_remainders_go_to_the_first_layers():
    # Shares of 5 kept of 3 times 6: 1 2/3 each; the floors leave two over.
    assert uniform([np.zeros(6)] * 3, 5) == [2, 2, 1]
    # Shares of 1 kept: 1/3 each.
    assert uniform([np.zeros(6)] * 3, 1) == [1, 0, 0]
    # Equal remainders of unequal shares, 4.5, 1.5 and 9 of 15.
    assert uniform([np.zeros(6), np.zeros(2), np.zeros(12)], 15) == [5, 1, 9]


def erk_densities(shapes, kept):
    """Independent of the package: bisection for the factor that makes the densities fit."""
    raw = np.array([sum(shape) / math.prod(shape) for shape in shapes])
    sizes = np.array([math.prod(shape) for shape in shapes])
    low, high = 0.0, 2.0 / raw.min()
    for _ in range(200):
        middle = (low + high) / 2
        too_many = (np.minimum(1.0, middle * raw) * sizes).sum() > kept
        low, high = (low, middle) if too_many else (middle, high)
    return np.minimum(1.0, low * raw)


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8, 0.9, 0.98])
def test_erk_densities(sparsity):
    # The kernels of LeNet-5, whose first and last layers are capped at 1 for low sparsity.
    shapes = [(5, 5, 1, 6), (5, 5, 6, 16), (400, 120), (120, 84), (84, 10)]
    sizes = np.array([math.prod(shape) for shape in shapes])
    kept = kept_count(sparsity, int(sizes.sum()))
    expected = erk_densities(shapes, kept) * sizes
    counts = np.array(erk([np.zeros(shape) for shape in shapes], kept))
    assert np.all(np.abs(counts - expected) < 1)
    assert (counts[0] == sizes[0]) == (expected[0] > sizes[0] - 1e-6)


def test_global_takes_the_highest_scores_wherever_they_are():
    assert global_([np.array([5.0, 1.0]), np.array([4.0, 3.0, 2.0])], 3) == [1, 2]


def test_global_ties_go_to_the_first_layer():
    assert global_([np.zeros(3), np.ones(1), np.zeros(3)], 3) == [2, 1, 0]
