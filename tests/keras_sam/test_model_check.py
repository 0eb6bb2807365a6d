"""`check_model` against models that are right and wrong."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam.model_check import check_model

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.zeros((8, 3), "float32")


def compiled(*hidden):
    net = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(3)])
    net.compile("sgd", "mse")
    return net


def test_a_right_model_passes_and_is_left_as_it_was():
    net = compiled(layers.Dense(5, activation="tanh"), layers.BatchNormalization())
    before = [np.array(ops.convert_to_numpy(v)) for v in net.variables]
    check = check_model(net, (X, Y))
    assert check.loss < 1e-5
    assert check.moved_loss < 1e-5
    assert check.slope < 1e-2
    for old, variable in zip(before, net.variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))


class Doubling(layers.Layer):
    """Computes otherwise where its weights are handed to it."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        handed = keras.src.backend.common.stateless_scope.in_stateless_scope()
        return x * self.kernel * (2.0 if handed else 1.0)


def test_a_model_that_computes_otherwise_is_told():
    with pytest.raises(ValueError, match="`model` must compute.*Received: ModelCheck"):
        check_model(compiled(Doubling()), (X, Y))


def test_strided_pointwise_convolutions_are_named(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    net = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(3, 1, strides=2, name="bad"),
            layers.Conv2D(3, 3, strides=2, padding="same"),
            layers.Conv2D(3, 1),
        ]
    )
    from keras_sam.convolution_check import strided_pointwise_convolutions

    found = strided_pointwise_convolutions(net)
    assert found == (["bad"] if keras.backend.backend() == "tensorflow" else [])
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert strided_pointwise_convolutions(net) == []
