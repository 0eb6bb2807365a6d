"""Lanczos quadrature against dense spectra: moments, and the density itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from keras_sam.sharpness import HessianOperator, SpectralDensity, hessian_density
from keras_sam.sharpness.density import estimated_density
from tests.keras_sam.sharpness import reference

DATA = reference.examples()


def symmetric(n, seed):
    matrix = np.random.default_rng(seed).normal(size=(n, n))
    return (matrix + matrix.T) / np.sqrt(n)


def gaussians(grid, spectrum, width):
    distance = (grid[:, None] - spectrum) / width
    return np.exp(-(distance**2) / 2).mean(axis=1) / (width * np.sqrt(2 * np.pi))


@given(n=st.integers(1, 40), steps=st.integers(1, 50), seed=st.integers(0, 10**6))
def test_quadratures_are_exact_for_polynomials(n, steps, seed):
    matrix = symmetric(n, seed)
    density = estimated_density(aslinearoperator(matrix), 2, steps, seed)
    random = np.random.default_rng(seed)
    for nodes, weights in zip(density.nodes, density.weights, strict=True):
        z = random.standard_normal(n)
        z /= np.linalg.norm(z)
        assert weights.min() >= 0
        for power in range(min(2 * steps, 8)):
            expected = z @ np.linalg.matrix_power(matrix, power) @ z
            assert (weights * nodes**power).sum() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_density_of_a_network_within_its_standard_error():
    spectrum = np.linalg.eigvalsh(reference.hessian(reference.weights(), *DATA))
    model = reference.perceptron(reference.weights())
    density = hessian_density(model, DATA, num_samples=150, steps=26)
    grid = np.linspace(spectrum[0], spectrum[-1], 40)
    width = 0.05 * (spectrum[-1] - spectrum[0])
    value, error = density.smoothed(grid, width)
    expected = gaussians(grid, spectrum, width)
    assert (abs(value - expected) < 4.5 * error + 1e-6).all()
    assert error.max() < 0.1 * expected.max()
    for power in (1, 2, 3):
        moment = density.moment(power)
        assert abs(moment.value - (spectrum**power).mean()) < 4 * moment.standard_error


def test_extremes_appear_long_before_all_steps():
    matrix = np.diag([*np.linspace(-1, 1, 300), 10.0])
    density = estimated_density(aslinearoperator(matrix), 2, 30, seed=0)
    np.testing.assert_allclose(density.nodes.max(axis=1), 10, rtol=1e-9)


@pytest.mark.parametrize("matrix", [np.zeros((6, 6)), np.eye(6), np.diag([1.0] * 5 + [2.0])])
def test_few_distinct_eigenvalues_end_the_recursion(matrix):
    density = estimated_density(aslinearoperator(matrix), 3, 6, seed=0)
    np.testing.assert_allclose(density.weights.sum(axis=1), 1)
    assert density.moment(1).value == pytest.approx(np.trace(matrix) / 6, abs=0.3)
    assert {round(float(v), 6) for v in density.nodes.ravel()} == set(np.diag(matrix))


@pytest.mark.usefixtures("float32")
def test_float32_network():
    spectrum = np.linalg.eigvalsh(reference.hessian(reference.weights(), *DATA))
    model = reference.perceptron(reference.weights())
    density = hessian_density(model, DATA, num_samples=2, steps=26)
    np.testing.assert_allclose(density.nodes.max(axis=1), spectrum[-1], rtol=1e-5)


def test_smoothed_by_hand():
    density = SpectralDensity(np.array([[0.0, 1.0]] * 2), np.array([[0.25, 0.75], [0.75, 0.25]]))
    value, error = density.smoothed(np.array([0.0]), width=1.0)
    peak, side = 1 / np.sqrt(2 * np.pi), np.exp(-0.5) / np.sqrt(2 * np.pi)
    first, second = 0.25 * peak + 0.75 * side, 0.75 * peak + 0.25 * side
    assert value[0] == pytest.approx((first + second) / 2)
    assert error[0] == pytest.approx(abs(first - second) / 2)


def test_one_product_for_each_step():
    operator = HessianOperator(reference.perceptron(reference.weights()), DATA)
    estimated_density(operator, 3, 4, seed=0)
    assert operator.products == 12


def test_bad_arguments(monkeypatch):
    operator = aslinearoperator(np.eye(50))
    with pytest.raises(ValueError, match=r"`num_samples` must be >= 2"):
        estimated_density(operator, 1, 3, 0)
    with pytest.raises(ValueError, match=r"`steps` must be >= 1. Received: `steps=0`"):
        estimated_density(operator, 2, 0, 0)
    density = estimated_density(operator, 2, 3, 0)
    with pytest.raises(ValueError, match=r"`width` must be finite and > 0. Received: `width=0`"):
        density.smoothed(np.zeros(1), 0)
    for seed, error in ((None, TypeError), (True, TypeError), (-1, ValueError)):
        with pytest.raises(error, match=r"`seed` must be"):
            estimated_density(operator, 2, 3, seed)
    for power, error in ((-1, ValueError), (0.5, TypeError)):
        with pytest.raises(error, match=r"`power` must be"):
            density.moment(power)
    for grid, error in (("a", TypeError), (None, TypeError), (0.5, ValueError)):
        with pytest.raises(error, match=r"`grid` must be"):
            density.smoothed(grid, 1.0)
    monkeypatch.setattr("keras_sam.memory.available_memory", lambda: 8 * 50 * 10)
    with pytest.raises(ValueError, match=r"Lanczos vectors would need.*Received: `steps=20`"):
        estimated_density(operator, 2, 20, 0)
