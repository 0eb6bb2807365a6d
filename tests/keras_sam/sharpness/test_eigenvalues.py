"""Eigenvalues against numpy.linalg.eigvalsh of dense matrices."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from keras_sam.sharpness import (
    HessianOperator,
    LossSurface,
    NotConvergedError,
    hessian_eigenvalues,
)
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


@pytest.mark.parametrize(("n", "seed", "k"), [(45, 1, 10), (48, 47, 10), (125, 186399, 2)])
def test_none_is_passed_over_for_the_next(n, seed, k):
    """Of both ends of the spectrum, a smaller eigenvalue converged first."""
    matrix = symmetric(n, seed)
    values = extreme_eigenvalues(aslinearoperator(matrix), k, "LM", tolerance=1e-3)
    expected = wanted(np.linalg.eigvalsh(matrix), k, "LM")
    np.testing.assert_allclose(np.sort(values), np.sort(expected), rtol=1e-3)


SPECTRA = {
    "equal": np.r_[[2.4898] * 12, [2.2063] * 12, np.linspace(0.1, 2, 60)],
    "pairs": np.repeat(np.linspace(-1, 1, 40), 2),
    "clustered": np.r_[1 + 1e-4 * np.arange(10), np.linspace(-1, 0.9, 60)],
    "singular": np.r_[np.zeros(20), np.linspace(0.05, 5, 20)],
    "negative": -np.repeat(np.linspace(1, 2, 20), 3),
    "rank 3": np.r_[np.zeros(60), [5, 5, 1]],
    "-rank 3": -np.r_[np.zeros(60), [5, 5, 1]],
    "identity": np.full(60, 3.0),
    "one": np.r_[-7.0, np.ones(59)],
    "zero": np.zeros(60),
    "scales": np.r_[1000.0, 1000, 1, 1, 1, 0.1 * np.linspace(-1, 1, 60)],
}


class Operator(LinearOperator):
    """A symmetric matrix of these eigenvalues; its products as of a network in some precision."""

    def __init__(self, spectrum, dtype=np.float64, seed=0):
        random = np.random.default_rng(seed)
        vectors = np.linalg.qr(random.standard_normal((len(spectrum),) * 2))[0]
        matrix = (vectors * spectrum) @ vectors.T
        self.matrix = ((matrix + matrix.T) / 2).astype(dtype)
        self.rounding = np.finfo(dtype).eps * np.abs(spectrum).max()
        self.products = 0
        super().__init__(np.float64, self.matrix.shape)

    def _matvec(self, vector):
        self.products += 1
        return (self.matrix @ np.ravel(vector).astype(self.matrix.dtype)).astype(np.float64)


def assert_promised(values, spectrum, k, which, tolerance=1e-3, dtype=np.float64):
    """|value - lambda_i| <= tolerance * max(|lambda_i|, ||H|| / 1000), or the rounding."""
    spectrum = np.asarray(spectrum)
    expected = wanted(spectrum, k, which)
    if which == "LM":  # Which sign comes first of an equal pair is not said.
        values, expected = np.abs(values), np.abs(expected)
    largest = np.abs(spectrum).max()
    allowed = tolerance * np.maximum(np.abs(expected), largest / 1000)
    assert (
        np.abs(values - expected) <= np.maximum(allowed, 16 * np.finfo(dtype).eps * largest)
    ).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize("name", SPECTRA)
def test_equal_clustered_zero_and_negative_eigenvalues(name, which, dtype):
    for k in (1, 3, 7):
        for tolerance in (1e-3, 1e-6):
            operator = Operator(SPECTRA[name], dtype)
            values = extreme_eigenvalues(operator, k, which, tolerance, max_products=5000)
            assert_promised(values, SPECTRA[name], k, which, tolerance, dtype)


@settings(max_examples=25)
@given(data=st.data(), which=st.sampled_from(["LA", "SA", "LM"]), k=st.integers(1, 6))
def test_few_distinct_eigenvalues(data, which, k):
    """Many copies of each, 0 among them: what one start vector cannot see."""
    distinct = data.draw(st.lists(st.sampled_from([-3.0, -1, -0.01, 0, 0.5, 2, 40]), min_size=1))
    copies = data.draw(st.lists(st.integers(8, 30), min_size=len(distinct), max_size=len(distinct)))
    spectrum = np.repeat(distinct, copies)
    assert_promised(extreme_eigenvalues(Operator(spectrum), k, which), spectrum, k, which)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("features", [2, 40])
def test_linear_regression_with_equal_outputs(features):
    """H = 2/12 x^T x / n for each of 12 outputs: each eigenvalue twelve times; half of them 0."""
    x = np.random.default_rng(0).normal(size=(64, features))
    x[:, features // 2 :] = 0
    model = keras.Sequential([keras.Input((features,)), keras.layers.Dense(12, use_bias=False)])
    model.compile(loss="mse")
    surface = LossSurface(model, (x, np.zeros((64, 12))))
    spectrum = np.repeat(np.linalg.eigvalsh(2 / 12 * x.T @ x / 64), 12)
    for k, which in ((3, "LA"), (1, "SA"), (3, "LM"), (2, "SA")):
        values = hessian_eigenvalues(surface, k=k, which=which)
        assert_promised(values, spectrum, k, which, dtype=np.float32)


def test_no_relative_digits_of_zero_are_asked_for():
    """The smallest eigenvalue of a singular matrix in the products that its neighbours take."""
    operator = Operator(np.r_[np.zeros(100), np.linspace(1, 2, 100)], np.float32)
    (value,) = extreme_eigenvalues(operator, 1, "SA")
    assert abs(value) < 2e-6
    assert operator.products < 60


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
    monkeypatch.setattr("keras_sam.memory.available_memory", lambda: 8 * 26 * 23)
    with pytest.raises(ValueError, match=r"Lanczos vectors.*GiB.*Received: `k=1`"):
        extreme_eigenvalues(operator, 1)
    assert operator.products == 0


def test_too_few_products():
    spectrum = np.linspace(1, 1.001, 300)
    operator = Operator(spectrum)
    with pytest.raises(ValueError, match=r"`max_products` must be larger.*`max_products=30`"):
        extreme_eigenvalues(
            aslinearoperator(np.diag(spectrum)), 2, tolerance=1e-12, max_products=30
        )
    with pytest.raises(NotConvergedError, match=r"0 of 2 eigenvalues converged.*tolerance=1e-12"):
        extreme_eigenvalues(operator, 2, tolerance=1e-12, max_products=30)
    assert 28 <= operator.products <= 30


def test_a_small_tolerance_is_kept():
    spectrum = np.linspace(1, 1.001, 300)
    values = extreme_eigenvalues(Operator(spectrum), 2, tolerance=1e-12)
    assert_promised(values, spectrum, 2, "LA", 1e-12)


@pytest.mark.parametrize("n", [5, 50])
def test_infinite_hessian(n):
    operator = aslinearoperator(np.full((n, n), np.nan))
    with pytest.raises(NotConvergedError, match=r"`model` must have a finite Hessian"):
        extreme_eigenvalues(operator, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tolerance": -1}, ValueError, r"`tolerance` must be finite and > 0.*`tolerance=-1`"),
        ({"tolerance": 0}, ValueError, r"`tolerance` must be finite and > 0.*`tolerance=0`"),
        ({"tolerance": np.nan}, ValueError, r"`tolerance` must be finite and > 0.*nan"),
        ({"tolerance": None}, TypeError, r"`tolerance` must be a number.*None"),
        ({"max_products": 0}, ValueError, r"`max_products` must be >= 1"),
        ({"max_products": 9.5}, TypeError, r"`max_products` must be an int"),
        ({"seed": True}, TypeError, r"`seed` must be an int >= 0.*True"),
        ({"seed": None}, TypeError, r"`seed` must be an int >= 0.*None"),
        ({"seed": -1}, ValueError, r"`seed` must be >= 0"),
        ({"which": []}, ValueError, r"`which` must be one of.*`which=\[\]`"),
        ({"k": True}, TypeError, r"`k` must be an int"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        extreme_eigenvalues(Operator(np.arange(30.0)), **arguments)


def test_large_seeds_are_seeds():
    operator = Operator(np.arange(50.0))
    assert extreme_eigenvalues(operator, seed=2**40) == pytest.approx(49, rel=1e-3)
