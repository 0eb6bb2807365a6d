import keras
import numpy as np
import pytest

from keras_sam.optimizers import SGD


def numpy_sgd(w, gradients, lr, momentum, decay, nesterov):
    m = np.zeros_like(w)
    for g in gradients:
        g = g + decay * w
        m = momentum * m - lr * g
        w = w + (momentum * m - lr * g if nesterov else m)
    return w


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_several_steps_equal_numpy(momentum, nesterov):
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=(3, 2)), rng.normal(size=(5, 3, 2))
    variable = keras.Variable(w.astype("float32"))
    optimizer = SGD(0.1, momentum=momentum, nesterov=nesterov, weight_decay=0.05)
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32")], [variable])
    expected = numpy_sgd(w, gradients, 0.1, momentum, 0.05, nesterov and momentum > 0)
    np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [None, 0.0])
def test_without_decay_it_is_keras_sgd(weight_decay):
    results = []
    for make in (
        lambda: SGD(0.1, 0.9, weight_decay=weight_decay),
        lambda: keras.optimizers.SGD(0.1, 0.9),
    ):
        variable, optimizer = keras.Variable([1.0, -2.0]), make()
        for _ in range(3):
            optimizer.apply([keras.ops.convert_to_tensor([0.3, 0.7])], [variable])
        results.append(np.asarray(variable))
    np.testing.assert_array_equal(*results)


def test_decay_passes_through_the_momentum_unlike_keras_own():
    ours, decoupled = keras.Variable([1.0]), keras.Variable([1.0])
    zero = keras.ops.zeros(1)
    a = SGD(0.1, momentum=0.9, weight_decay=0.5)
    b = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(2):
        a.apply([zero], [ours])
        b.apply([zero], [decoupled])
    # m1 = -0.05, w1 = 0.95; m2 = 0.9 * -0.05 - 0.05 * 0.95 = -0.0925, w2 = 0.8575
    np.testing.assert_allclose(ours, [0.8575], rtol=1e-6)
    np.testing.assert_allclose(decoupled, [0.95**2], rtol=1e-6)


def test_excluded_weights_do_not_decay():
    kernel, bias = keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")
    optimizer = SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([keras.ops.zeros(1)] * 2, [kernel, bias])
    np.testing.assert_allclose([float(kernel[0]), float(bias[0])], [0.95, 1.0], rtol=1e-6)


def test_serialisation_round_trip():
    optimizer = SGD(0.2, momentum=0.8, nesterov=True, weight_decay=0.01, clipnorm=1.0)
    config = keras.optimizers.serialize(optimizer)
    restored = keras.optimizers.deserialize(config)
    assert isinstance(restored, SGD)
    assert restored.get_config() == optimizer.get_config()


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_bad_weight_decay(value):
    with pytest.raises(ValueError, match="`weight_decay` must be finite.*Received"):
        SGD(weight_decay=value)


def test_weight_decay_must_be_a_number():
    with pytest.raises(TypeError, match="`weight_decay` must be a number.*Received"):
        SGD(weight_decay="0.1")
