"""Mixed precision on every backend that runs it on a CPU."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel
from tests.keras_sam import reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")


def half(policy="mixed_float16", rho=0.5, optimizer=None, **kwargs):
    keras.utils.set_random_seed(1)
    policy = keras.dtype_policies.DTypePolicy(policy)
    # A model's own policy, not the global one, decides on loss scaling.
    inputs = keras.Input((4,))
    net = keras.Model(inputs, layers.Dense(3, dtype=policy)(inputs))
    net.dtype_policy = policy
    sam = SAMModel(net, rho=rho, **kwargs)
    sam.compile(optimizer or keras.optimizers.SGD(0.1), "mse")
    return sam


def test_float16_gets_a_loss_scale_as_a_plain_model_does():
    assert isinstance(half().optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(half("mixed_bfloat16").optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("variant", [{}, {"normalize": False}, {"adaptive": True}])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_step_is_that_of_float32_within_its_precision(policy, variant):
    sam = half(policy, **variant)
    w = [np.asarray(v, "float64") for v in sam.trainable_variables]
    sam.train_on_batch(X, Y)
    g = reference.sam_gradients(w, X, Y, 0.5, **variant)
    tolerance = 2e-3 if policy == "mixed_float16" else 2e-2
    for variable, a, b in zip(sam.trainable_variables, w, g, strict=True):
        assert variable.dtype == "float32"
        np.testing.assert_allclose(variable, a - 0.1 * b, atol=tolerance)


@pytest.mark.parametrize("variant", [{}, {"normalize": False}, {"adaptive": True}])
def test_the_loss_scale_cancels_out_of_the_perturbation(variant):
    results = []
    for scale in (1.0, 2.0**10):
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1), initial_scale=scale
        )
        sam = half(optimizer=optimizer, **variant)
        sam.train_on_batch(X, Y)
        results.append(np.asarray(sam.trainable_variables[0]))
    # Float16 rounds alike at any power of two, short of under- and overflow.
    np.testing.assert_allclose(*results, atol=2e-5)


def test_a_fixed_loss_scale_factor_cancels_too():
    results = []
    for factor in (None, 64.0):
        keras.utils.set_random_seed(1)
        sam = SAMModel(keras.Sequential([keras.Input((4,)), layers.Dense(3)]), 0.5, normalize=False)
        sam.compile(keras.optimizers.SGD(0.1, loss_scale_factor=factor), "mse")
        sam.train_on_batch(X, Y)
        results.append(np.asarray(sam.trainable_variables[0]))
    np.testing.assert_allclose(*results, rtol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_an_overflow_skips_the_step_and_leaves_the_weights_clean(rho):
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**30
    )
    sam = half(rho=rho, optimizer=optimizer)
    before = [np.asarray(v) for v in sam.trainable_variables]
    sam.train_on_batch(X, Y)
    for variable, old in zip(sam.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
    assert float(optimizer.dynamic_scale) == 2.0**29
    assert int(optimizer.iterations) == 0


class Forgetful(layers.Layer):
    """Makes zeros of what is not finite, with zero gradient: it hides a spoiled layer before it."""

    def call(self, x):
        return keras.ops.where(keras.ops.isfinite(x), x, keras.ops.zeros_like(x))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_an_overflow_that_the_second_pass_hides_is_still_seen():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    net = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, dtype=policy, use_bias=False, kernel_initializer="zeros"),
            Forgetful(dtype=policy),
            layers.Dense(3, dtype=policy),
        ]
    )
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=128.0)
    sam = SAMModel(net, rho=0.5, normalize=False)
    sam.compile(optimizer, "mse")
    before = [np.asarray(v) for v in net.trainable_variables]
    # The first kernel's gradient, x^T delta W^T, is beyond float16; the second layer's is not.
    sam.train_on_batch(np.full((8, 4), 1e4, "float32"), Y)
    for old, variable in zip(before, net.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    assert int(optimizer.iterations) == 0
    assert float(optimizer.dynamic_scale) == 64.0
