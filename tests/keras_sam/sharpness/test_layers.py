"""Hessian-vector products of every kind of layer, against differences of gradients in float64.

Some of the layers need more than automatic differentiation gives: TensorFlow's moments stop a
gradient that second derivatives need, and its loops have no forward derivative.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam.sharpness import LossSurface
from tests.keras_sam.sharpness.precision import DOUBLE, assert_close

BATCH = 5


@keras.saving.register_keras_serializable(package="tests")
class Condition(layers.Layer):
    """One of two dense layers, by the sign of the inputs' sum."""

    def build(self, shape):
        self.up, self.down = layers.Dense(4), layers.Dense(4)
        self.up.build(shape)
        self.down.build(shape)

    def call(self, x):
        return ops.cond(
            ops.sum(x) > 0, lambda: ops.tanh(self.up(x)), lambda: ops.sigmoid(self.down(x))
        )


def attention(x):
    return layers.MultiHeadAttention(2, 3)(x, x)


def on_and_off(shape, dtype=None):
    """Biases that switch every second unit of a ReLU off, and bring none near its kink."""
    return ops.cast(ops.where(ops.arange(shape[0]) % 2 == 0, 4, -4), dtype)


NETS = {
    "dense": ((6,), lambda x: layers.Dense(4, activation="gelu")(x)),
    "relu": (
        (6,),
        lambda x: layers.Dense(8, activation="relu", bias_initializer=on_and_off)(x),
    ),
    "swish": ((6,), lambda x: layers.Dense(4, activation="swish")(x)),
    "dropout": ((6,), lambda x: layers.Dropout(0.5)(layers.Dense(9, activation="tanh")(x))),
    "layer_norm": ((6,), lambda x: layers.LayerNormalization()(layers.Dense(4)(x))),
    "group_norm": ((6,), lambda x: layers.GroupNormalization(2)(layers.Dense(6)(x))),
    "rms_norm": ((6,), lambda x: layers.RMSNormalization()(layers.Dense(4)(x))),
    "batch_norm": ((6,), lambda x: layers.BatchNormalization()(layers.Dense(4)(x))),
    "conv": (
        (6, 6, 2),
        lambda x: layers.MaxPooling2D()(
            layers.BatchNormalization()(layers.Conv2D(3, 3, activation="tanh")(x))
        ),
    ),
    "depthwise": ((4, 4, 2), lambda x: layers.DepthwiseConv2D(2, activation="tanh")(x)),
    "average_pool": ((4, 4, 2), lambda x: layers.AveragePooling2D(2)(layers.Conv2D(3, 1)(x))),
    "attention": ((4, 6), attention),
    "embedding": ("tokens", lambda x: layers.Embedding(7, 3)(x)),
    "lstm": ((4, 3), lambda x: layers.LSTM(3)(x)),
    "gru": ((4, 3), lambda x: layers.GRU(3)(x)),
    "condition": ((6,), lambda x: Condition()(x)),
}
DIFFERENT_IN_TRAINING = ("dropout", "batch_norm", "conv")
# The kinds of vectorisation: dense, of moments, of sparse gradients, none at all.
QUICK = ("dense", "layer_norm", "embedding", "condition")


def surface(name, training=False):
    shape, body = NETS[name]
    random = np.random.default_rng(0)
    if shape == "tokens":
        inputs, x = keras.Input((5,), dtype="int32"), random.integers(0, 7, (BATCH, 5))
    else:
        inputs, x = keras.Input(shape), random.normal(size=(BATCH, *shape))
    outputs = layers.Dense(3)(layers.Flatten()(body(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return LossSurface(model, (x, random.integers(0, 3, BATCH)), training=training)


@pytest.mark.parametrize(
    ("name", "training"),
    [
        *((name, False) for name in NETS),
        *((name, True) for name in DIFFERENT_IN_TRAINING),
        *(
            pytest.param(name, True, marks=pytest.mark.slow)
            for name in NETS
            if name not in DIFFERENT_IN_TRAINING
        ),
    ],
)
def test_product_is_the_derivative_of_the_gradient(name, training):
    s = surface(name, training)
    v = np.random.default_rng(1).normal(size=s.size)
    step = 1e-6 if DOUBLE else 1e-3
    ahead, behind = (s.gradient(s.weights + sign * step * v)[1] for sign in (1, -1))
    assert_close(s.hessian_product(v), (ahead - behind) / (2 * step), 1e-7 if DOUBLE else 1e-2)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETS]
)
def test_products_of_single_examples_are_those_of_batches_of_one(name):
    s = surface(name)
    v = np.random.default_rng(1).normal(size=s.size)
    singles = [single for _, single in s.groups(1)]
    expected = np.mean(
        [single.hessian_product(single.hessian_product(v)) for single in singles], axis=0
    )
    assert_close(s.mean_example_power(v, 2), expected, 1e-10)
