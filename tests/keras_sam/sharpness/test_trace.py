"""Hutchinson's estimate against the exact trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from keras_sam.sharpness import Estimate, HessianOperator, hessian_trace
from keras_sam.sharpness.trace import estimated_trace
from tests.keras_sam.sharpness import reference

DATA = reference.examples()


def test_of_a_network_within_four_standard_errors():
    exact = np.trace(reference.hessian(reference.weights(), *DATA))
    model = reference.perceptron(reference.weights())
    estimate = hessian_trace(model, DATA, num_samples=200)
    assert 0 < estimate.standard_error < 0.2 * exact
    assert abs(estimate.value - exact) < 4 * estimate.standard_error


@given(diagonal=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_exact_for_diagonal_matrices(diagonal, seed):
    estimate = estimated_trace(aslinearoperator(np.diag(diagonal)), 2, seed)
    assert estimate.value == pytest.approx(sum(diagonal), abs=1e-9)
    assert estimate.standard_error == pytest.approx(0, abs=1e-9)


def test_standard_error_is_the_spread_of_estimates():
    matrix = np.random.default_rng(0).normal(size=(30, 30))
    operator = aslinearoperator(matrix + matrix.T)
    estimates = [estimated_trace(operator, 20, seed) for seed in range(300)]
    spread = np.std([estimate.value for estimate in estimates])
    reported = np.mean([estimate.standard_error for estimate in estimates])
    assert reported == pytest.approx(spread, rel=0.15)


def test_one_product_for_each_sample():
    operator = HessianOperator(reference.perceptron(reference.weights()), DATA)
    estimated_trace(operator, 7, seed=0)
    assert operator.products == 7


def test_estimate_by_hand():
    # The sample variance of 1, 2, 6 is (4 + 1 + 9) / 2 = 7.
    assert Estimate.of([1, 2, 6]) == (3.0, pytest.approx((7 / 3) ** 0.5))


def test_one_sample_has_no_standard_error():
    with pytest.raises(ValueError, match=r"`num_samples` must be >= 2. Received: `num_samples=1`"):
        hessian_trace(reference.perceptron(reference.weights()), DATA, num_samples=1)


@pytest.mark.parametrize("samples", [[], [1.0], 3.0, None, "ab", [[1.0, 2.0]]])
def test_what_has_no_spread(samples):
    with pytest.raises((TypeError, ValueError), match=r"`samples` must be"):
        Estimate.of(samples)


@pytest.mark.parametrize("seed", [None, True, -1, 0.5])
def test_bad_seeds(seed):
    with pytest.raises((TypeError, ValueError), match=r"`seed` must be"):
        hessian_trace(reference.perceptron(reference.weights()), DATA, seed=seed)
