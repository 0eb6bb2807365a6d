"""Keras's private names that the package leans on. A Keras that changes them fails here first."""

import inspect

import keras
import numpy as np
from keras import layers

from keras_sam.backend import keras_internals

X, Y = np.ones((2, 4), "float32"), np.zeros((2, 3), "float32")


class TwoHeads(keras.Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = layers.Dense(3), layers.Dense(3)
        self.own = keras.metrics.Mean(name="own")

    def call(self, x):
        return {"a": self.a(x), "b": self.b(x)}


def test_build_from_batch_creates_model_loss_metrics_and_optimizer():
    model = TwoHeads()
    model.compile("adam", {"a": "mse", "b": "mse"}, metrics={"a": "mae"})
    keras_internals.build_from_batch(model, (X, {"a": Y, "b": Y}, None))
    assert len(model.trainable_variables) == 4
    assert model.optimizer.built
    # The loss, its two parts, mae of "a" and the model's own: a sum and a count each.
    assert len(model.metrics_variables) == 10


def test_lend_compiled_loss():
    lender, borrower = TwoHeads(), TwoHeads()
    lender.compile("sgd", {"a": "mse", "b": "mse"})
    keras_internals.lend_compiled_loss(lender, borrower)
    y_pred = {"a": keras.ops.ones((2, 3)), "b": 3 * keras.ops.ones((2, 3))}
    loss = borrower.compute_loss(x=X, y={"a": Y, "b": Y}, y_pred=y_pred)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), 1.0 + 9.0)


def test_own_metrics_are_those_of_the_model_alone():
    model = TwoHeads()
    model.compile("sgd", "mse", metrics=["mae"])
    assert [metric.name for metric in keras_internals.own_metrics(model)] == ["own"]


def test_all_layers_reaches_every_depth():
    inner = keras.Sequential([layers.Dense(1, name="deep")])
    model = keras.Sequential([keras.Input((2, 4)), layers.TimeDistributed(inner)])
    model(np.ones((1, 2, 4)))
    assert "deep" in [layer.name for layer in keras_internals.all_layers(model)]


def test_attach_gives_a_built_model_a_tracked_layer():
    model = TwoHeads()
    model(X)
    keras_internals.attach(model, "extra", layers.Dense(2))
    model.extra.build((None, 1))
    assert {id(v) for v in model.extra.variables} <= {id(v) for v in model.variables}


def test_release_lets_a_layer_forget_its_variables():
    layer = layers.Layer()
    layer.built = True
    variables = [layer.add_weight(shape=(2,), trainable=False) for _ in range(2)]
    keras_internals.release(layer, variables[:1])
    assert [id(v) for v in layer.variables] == [id(variables[1])]


def test_hooks_that_are_overridden_exist():
    parameters = inspect.signature(keras.Model._symbolic_build).parameters
    assert list(parameters) == ["self", "iterator", "data_batch"]
    if keras.backend.backend() == "tensorflow":
        hook = inspect.signature(keras.Model._maybe_symbolic_build)
        assert list(hook.parameters) == ["self", "iterator", "data_batch"]
    optimizer = keras.optimizers.SGD
    assert len(inspect.signature(optimizer._apply_weight_decay).parameters) == 2
    assert list(inspect.signature(optimizer._use_weight_decay).parameters) == ["self", "variable"]


def test_recorded_loss_masks_has_one_for_each_loss():
    masked = keras.Sequential([keras.Input((2, 1)), layers.Masking(0.0)])
    predictions = masked(np.array([[[1.0], [0.0]]]))
    mse = keras.losses.MeanSquaredError()
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1, from_logits=True)
    with keras_internals.recorded_loss_masks() as masks:
        mse(np.zeros((1, 2, 1)), predictions)
        mse(np.zeros((1, 2)), np.zeros((1, 2)))
        ignoring(np.array([-1, 0, 1]), np.zeros((3, 2)))
    first, second, third = masks
    assert np.asarray(first).tolist() == [[True, False]]
    assert second is None
    assert np.asarray(third).tolist() == [False, True, True]
    mse(np.zeros((1, 2)), np.zeros((1, 2)))
    assert len(masks) == 3
