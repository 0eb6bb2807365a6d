import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_sam.loss_function import loss_function, state_variables
from tests.keras_sam import reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 3)).astype("float32")


def build():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.BatchNormalization(momentum=0.9, center=False, scale=False),
            layers.Dropout(0.5, seed=5),
            layers.Dense(3),
        ]
    )
    model.compile(loss="mse", metrics=["mae"])
    return model


def values(variables):
    return [ops.convert_to_tensor(v) for v in variables]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_changes_and_the_values_given_count(training):
    model = build()
    loss_fn = loss_function(model, training=training)
    before = [ops.convert_to_numpy(v) for v in model.variables]
    kernel = RNG.normal(size=(4, 3)).astype("float32")
    state = state_variables(model)
    loss, outcome = loss_fn(
        [ops.convert_to_tensor(kernel), ops.zeros(3)], values(state), (X, Y, None)
    )
    y_pred, new_state = outcome.predictions, outcome.state
    for old, variable in zip(before, model.variables):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))
    prediction = ops.convert_to_numpy(y_pred)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loss), ((prediction - Y) ** 2).mean(), rtol=1e-5
    )
    if training:
        changed = {
            v.name: ops.convert_to_numpy(n) for v, n in zip(state, new_state) if n is not None
        }
        assert set(changed) == {"moving_mean", "moving_variance", "seed_generator_state"}
        np.testing.assert_allclose(changed["moving_mean"], 0.1 * X.mean(0), rtol=1e-4, atol=1e-7)
    else:
        assert all(n is None for n in new_state)
        expected = (
            X / np.sqrt(1.001) @ kernel
        )  # Fresh statistics: mean 0, variance 1, epsilon 1e-3.
        np.testing.assert_allclose(prediction, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            ops.convert_to_numpy(loss),
            reference.loss([kernel.astype("float64")], X / np.sqrt(1.001), Y),
            rtol=1e-4,
        )


def test_the_same_state_gives_the_same_dropout():
    model = build()
    loss_fn, state = loss_function(model), values(state_variables(model))
    weights = values(model.trainable_variables)
    losses = [float(loss_fn(weights, state, (X, Y, None))[0]) for _ in range(2)]
    assert losses[0] == losses[1]


def test_state_variables_are_each_there_once():
    model = build()
    model.evaluate(X, Y, verbose=0)
    state = state_variables(model)
    assert len({id(v) for v in state}) == len(state)
    assert not {id(v) for v in state} & {id(v) for v in model.trainable_variables}
    assert {id(v) for v in model.metrics_variables} <= {id(v) for v in state}
