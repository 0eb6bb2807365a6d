"""Eigenvalues against numpy.linalg.eigvalsh of dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from keras_sam.sharpness import HessianOperator, hessian_eigenvalues
from keras_sam.sharpness.eigenvalues import extreme_eigenvalues
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import assert_close

DATA = reference.examples()


@pytest.fixture(scope="module")
def dense():
    return np.linalg.eigvalsh(reference.hessian(reference.weights(), *DATA))


def wanted(spectrum, k, which):
    order = {"LA": -spectrum, "SA": spectrum, "LM": -abs(spectrum)}[which]
    return spectrum[np.argsort(order)][:k]


def symmetric(n, seed):
    matrix = np.random.default_rng(seed).normal(size=(n, n))
    return matrix + matrix.T


@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize("k", [1, 3])
def test_of_a_network(dense, k, which):
    values = hessian_eigenvalues(
        reference.perceptron(reference.weights()), DATA, k, which=which, tolerance=1e-8
    )
    assert_close(values, wanted(dense, k, which), 1e-6, each=True)


@pytest.mark.usefixtures("float32")
def test_default_tolerance_in_float32(dense):
    values = hessian_eigenvalues(reference.perceptron(reference.weights()), DATA, 2)
    assert_close(values, wanted(dense, 2, "LA"), 1e-3, each=True)


def test_all_of_them(dense):
    model = reference.perceptron(reference.weights())
    values = hessian_eigenvalues(model, DATA, reference.SIZE)
    assert_close(values, dense[::-1], 1e-8)


@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 10**6),
    which=st.sampled_from(["LA", "SA", "LM"]),
    data=st.data(),
)
def test_within_the_tolerance_of_any_matrix(n, seed, which, data):
    k = data.draw(st.integers(1, n))
    matrix = symmetric(n, seed)
    values = extreme_eigenvalues(aslinearoperator(matrix), k, which, tolerance=1e-3)
    expected = wanted(np.linalg.eigvalsh(matrix), k, which)
    np.testing.assert_allclose(np.sort(values), np.sort(expected), rtol=1e-3, atol=1e-6)


def test_order():
    operator = aslinearoperator(np.diag([1.0, -5.0, 3.0]))
    assert extreme_eigenvalues(operator, 3, "LA").tolist() == [3, 1, -5]
    assert extreme_eigenvalues(operator, 3, "SA").tolist() == [-5, 1, 3]
    assert extreme_eigenvalues(operator, 3, "LM").tolist() == [-5, 3, 1]


@pytest.mark.parametrize("n", [5, 50])
def test_zero_matrix(n):
    assert extreme_eigenvalues(aslinearoperator(np.zeros((n, n))), 2).tolist() == [0, 0]


def test_number_of_products_is_what_the_docstring_says():
    model = reference.perceptron(reference.weights())
    operator = HessianOperator(model, DATA)
    extreme_eigenvalues(operator, 1)
    assert 20 <= operator.products <= 22


def test_same_seed_same_numbers():
    operator = aslinearoperator(symmetric(50, 0))
    first, second = (extreme_eigenvalues(operator, 1, seed=1, tolerance=0.1) for _ in range(2))
    assert first == second
    assert first != extreme_eigenvalues(operator, 1, seed=2, tolerance=0.1)


@pytest.mark.parametrize("k", [0, -1])
def test_k_too_small(k):
    with pytest.raises(ValueError, match=rf"`k` must be >= 1. Received: `k={k}`"):
        extreme_eigenvalues(aslinearoperator(np.eye(3)), k)


def test_k_above_the_number_of_weights():
    model = reference.perceptron(reference.weights())
    with pytest.raises(ValueError, match=r"`k` must not exceed.*, 26. Received: `k=27`"):
        hessian_eigenvalues(model, DATA, k=27)


def test_unknown_order():
    with pytest.raises(ValueError, match=r"`which` must be one of.*Received: `which='largest'`"):
        extreme_eigenvalues(aslinearoperator(np.eye(3)), 1, "largest")


def test_memory_is_checked_before_anything_is_computed(monkeypatch):
    operator = HessianOperator(reference.perceptron(reference.weights()), DATA)
    monkeypatch.setattr("keras_sam.sharpness.memory.available_memory", lambda: 8 * 26 * 23)
    with pytest.raises(ValueError, match=r"Lanczos vectors.*GiB.*Received: `k=1`"):
        extreme_eigenvalues(operator, 1)
    assert operator.products == 0


def test_too_few_products():
    spectrum = np.linspace(1, 1.001, 300)
    with pytest.raises(ValueError, match=r"`max_products` must be larger.*`max_products=30`"):
        extreme_eigenvalues(
            aslinearoperator(np.diag(spectrum)), 2, tolerance=1e-12, max_products=30
        )


def test_infinite_hessian():
    operator = aslinearoperator(np.full((50, 50), np.nan))
    with pytest.raises(ValueError, match=r"`model` must have a finite Hessian"):
        extreme_eigenvalues(operator, 1)
