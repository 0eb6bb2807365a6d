"""s_k against dense per-example Hessians."""

import sys

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from keras_sam.sharpness import (
    LossSurface,
    MomentDeviation,
    hessian_eigenvalues,
    non_uniformity,
)
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import DOUBLE, assert_close


def dense(hessians, k):
    mean = hessians.mean(axis=0)
    moment = np.mean([np.linalg.matrix_power(h, k) for h in hessians], axis=0)
    largest = np.linalg.eigvalsh(moment - np.linalg.matrix_power(mean, k))[-1]
    return np.sign(largest) * abs(largest) ** (1 / k)


@pytest.mark.parametrize(
    ("k", "labels"),
    [
        *((2, True), (3, False)),
        *(
            pytest.param(*rest, marks=pytest.mark.slow)
            for rest in ((2, False), (3, True), (4, False), (4, True))
        ),
    ],
)
def test_against_dense(k, labels):
    data = reference.examples(labels=labels)
    w = reference.weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if labels else "mse"
    model = reference.perceptron(w, loss)
    expected = dense(reference.example_hessians(w, *data), k)
    value = non_uniformity(model, data, k, tolerance=1e-8, batch_size=4)
    assert_close(value, expected, 1e-6)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("k", [2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_default_tolerance_in_float32(k):
    data = reference.examples()
    w = reference.weights()
    expected = dense(reference.example_hessians(w, *data), k)
    value = non_uniformity(reference.perceptron(w), data, k)
    assert value == pytest.approx(expected, rel=1e-3 / k + 1e-5)


def test_pruned_weights_do_not_count():
    data = reference.examples()
    model = reference.perceptron(reference.weights())
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    mask = np.arange(reference.INPUTS * reference.HIDDEN).reshape(reference.SHAPES[0]) % 3 > 0
    sam.masks = [mask, None, None, None]
    kept = np.concatenate([mask.ravel(), np.ones(reference.SIZE - mask.size, bool)])
    hessians = reference.example_hessians(reference.weights() * kept, *data)
    expected = dense(hessians[:, kept][:, :, kept], 2)
    assert_close(non_uniformity(sam, data, tolerance=1e-8), expected, 1e-6)


def cubic_root_net(x):
    """A single weight, whose loss x w has the Hessian 0, or (x w)^4 / 12 the Hessian x^4 w^2."""
    inputs = keras.Input((1,))
    dense_layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, dense_layer(inputs))
    model.set_weights([np.ones((1, 1))])
    model.compile(loss=lambda y, z: y * z**2 / 2)
    return model, (np.ones((len(x), 1)), np.array(x).reshape(-1, 1))


def test_odd_moments_of_negative_hessians_have_a_negative_root():
    # H_i = -3 and 1: mean -1, mean of cubes -13, -13 + 1 = -12.
    model, data = cubic_root_net([-3.0, 1.0])
    assert_close(non_uniformity(model, data, k=3), -(12 ** (1 / 3)))
    assert_close(non_uniformity(model, data, k=2), 2.0)  # (9 + 1) / 2 - 1 = 2^2


@pytest.mark.parametrize("k", [2, 3, 4])
def test_equal_examples_are_uniform(k):
    model, data = cubic_root_net([2.0, 2.0, 2.0])
    assert non_uniformity(model, data, k) == pytest.approx(0.0, abs=1e-5 if DOUBLE else 1e-2)


@pytest.mark.parametrize("k", [2, 4])
def test_even_moments_of_equal_examples_are_never_negative(k):
    """What rounding makes of 0 has either sign, and a negative number has no real even root."""
    data = reference.examples()
    alike = tuple(np.repeat(part[:1], 3, axis=0) for part in data)
    surface = LossSurface(reference.perceptron(reference.weights()), alike)
    largest = abs(hessian_eigenvalues(surface, which="LM")[0])
    value = non_uniformity(surface, k=k)
    assert isinstance(value, float)
    assert 0 <= value < (64 * surface.precision) ** (1 / k) * largest


def test_rounding_below_zero_counts_as_zero(monkeypatch):
    model, data = cubic_root_net([2.0, 2.0])
    module = sys.modules["keras_sam.sharpness.non_uniformity"]
    monkeypatch.setattr(module, "extreme_eigenvalues", lambda *_: np.array([-1e-17]))
    assert non_uniformity(model, data, k=2) == 0.0
    assert non_uniformity(model, data, k=4) == 0.0
    assert non_uniformity(model, data, k=3) == pytest.approx(-(1e-17 ** (1 / 3)))


@pytest.mark.skipif(not DOUBLE, reason="Keras computes in float32 there")
def test_a_small_tolerance_in_float64():
    data = reference.examples()
    model = reference.perceptron(reference.weights())
    surface = LossSurface(model, data)
    # The same operator as a dense matrix: what is left is the tolerance alone.
    for k in (2, 3):
        matrix = MomentDeviation(surface, k=k) @ np.eye(reference.SIZE)
        expected = np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1] ** (1 / k)
        assert non_uniformity(surface, k=k, tolerance=1e-12) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tolerance", [-1, 0, np.nan])
def test_bad_tolerances(tolerance):
    model, data = cubic_root_net([1.0, 2.0])
    with pytest.raises(ValueError, match=r"`tolerance` must be finite and > 0. Received"):
        non_uniformity(model, data, tolerance=tolerance)


def test_products_are_symmetric():
    data = reference.examples()
    operator = MomentDeviation(reference.perceptron(reference.weights()), data, 3)
    random = np.random.default_rng(0)
    u, v = random.normal(size=(2, reference.SIZE))
    assert_close(u @ (operator @ v), v @ (operator @ u), 1e-9)


def test_bad_arguments(monkeypatch):
    data = reference.examples()
    model = reference.perceptron(reference.weights())
    with pytest.raises(ValueError, match=r"`k` must be >= 2. Received: `k=1`"):
        non_uniformity(model, data, k=1)
    with pytest.raises(ValueError, match=r"`training` must be False.*`training=True`"):
        non_uniformity(model, data, training=True)
    monkeypatch.setattr("keras_sam.sharpness.loss_surface.VECTORS_PER_EXAMPLE", 10**14)
    with pytest.raises(ValueError, match=r"product of one example, of 26 weights, would need"):
        non_uniformity(model, data)
