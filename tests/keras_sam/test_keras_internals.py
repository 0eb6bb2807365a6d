"""Keras's private names that the package leans on. A Keras that changes them fails here first."""

import inspect
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.random import seed_generator

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


def test_replaced_losses_stand_for_those_that_were_compiled():
    model = TwoHeads()
    model.compile("sgd", {"a": "mse", "b": "mse"})
    y, y_pred = {"a": Y, "b": Y}, {"a": keras.ops.ones((2, 3)), "b": 3 * keras.ops.ones((2, 3))}
    arguments = {"x": X, "y": y, "y_pred": y_pred}
    with keras_internals.replaced_losses(model, lambda loss: 1 / 0):
        pass  # Nothing is built yet.
    model.compute_loss(**arguments)
    with keras_internals.replaced_losses(model, lambda loss: lambda *args: 2 * loss(*args)):
        assert float(model.compute_loss(**arguments)) == 2 * (1.0 + 9.0)
    assert float(model.compute_loss(**arguments)) == 1.0 + 9.0
    with (
        pytest.raises(ZeroDivisionError),
        keras_internals.replaced_losses(model, lambda loss: lambda *args: 1 / 0),
    ):
        model.compute_loss(**arguments)
    assert float(model.compute_loss(**arguments)) == 1.0 + 9.0
    with keras_internals.replaced_losses(TwoHeads(), lambda loss: 1 / 0):
        pass  # Not compiled.


def test_loss_tracker_is_what_is_logged_as_loss():
    model = TwoHeads()
    model.own = keras.metrics.Mean(name="loss")
    assert keras_internals.loss_tracker(model) is None
    model.compile("sgd", "mse")
    assert keras_internals.loss_tracker(model) is model.metrics[0]
    assert keras_internals.loss_tracker(model) is not model.own


def test_masks_of_tensors():
    masked = layers.Masking(0.0)(np.array([[[1.0], [0.0]]]))
    assert np.asarray(keras_internals.mask_of(masked)).tolist() == [[True, False]]
    plain = keras.ops.ones((1, 2))
    assert keras_internals.mask_of(plain) is None
    keras_internals.set_mask(plain, keras.ops.array([[False, True]]))
    assert np.asarray(keras_internals.mask_of(plain)).tolist() == [[False, True]]
    # A metric reads it there.
    accuracy = keras.metrics.MeanMetricWrapper(lambda y_true, y_pred: y_pred)
    values = keras.ops.array([[1.0, 3.0]])
    keras_internals.set_mask(values, keras.ops.array([[False, True]]))
    accuracy.update_state(np.zeros((1, 2)), values)
    assert float(accuracy.result()) == 3.0


def test_present_scope():
    assert keras_internals.present_scope() is None
    with keras.StatelessScope() as scope:
        assert keras_internals.present_scope() is scope
        with keras.StatelessScope() as inner:
            assert keras_internals.present_scope() is inner
        assert keras_internals.present_scope() is scope
    assert keras_internals.present_scope() is None


def test_pass_scope_uses_what_a_stateless_scope_has():
    """`add_update`, `losses`, `state_mapping` and `collect_losses` are read or overridden."""
    variable = keras.Variable([1.0])
    with keras.StatelessScope(collect_losses=True) as scope:
        variable.assign([2.0])
        layer = layers.Layer()
        layer.add_loss(keras.ops.array(3.0))
    assert [float(loss) for loss in scope.losses] == [3.0]
    assert [float(np.asarray(value)[0]) for value in scope.state_mapping.values()] == [2.0]
    assert list(scope.state_mapping) == [id(variable)]
    assert list(inspect.signature(scope.add_update).parameters) == ["update"]


def test_refuse_reads_knows_the_frameworks_own_tensors():
    variable, other = keras.Variable([1.0], name="read"), keras.Variable([1.0])
    keras_internals.refuse_reads([variable], [other._value])
    with (
        keras.StatelessScope([(variable, keras.ops.ones(1))]),
        pytest.raises(ValueError, match="Received: a model that reads .*read"),
    ):
        keras_internals.refuse_reads([variable], [variable._value])


def test_is_saving_only_while_a_file_is_written(tmp_path):
    seen = []

    class Noting(keras.Model):
        def get_config(self):
            seen.append(keras_internals.is_saving())
            return {}

    model = Noting()
    model.built = True
    keras.saving.serialize_keras_object(model)
    model.save(tmp_path / "model.keras")
    assert seen == [False, True]
    assert not keras_internals.is_saving()


def test_parts_of_a_loss_that_are_used():
    """`LossCount` reads the reduction and calls `call`; `Loss` reduces as its `reduction` says."""
    loss = keras.losses.MeanSquaredError(reduction="sum")
    assert loss.reduction == "sum"
    np.testing.assert_allclose(loss.call(np.zeros((2, 2)), np.ones((2, 2))), [1.0, 1.0])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX's trainer")
def test_hooks_of_the_trainer_on_jax():
    assert "kwargs" not in inspect.signature(keras.Model.jax_state_sync).parameters
    names = set(inspect.signature(keras.Model._get_jax_state).parameters)
    assert {"trainable_variables", "optimizer_variables", "metrics_variables"} <= names


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch's layer")
def test_the_wrapper_of_modules_is_called_as_we_override_it():
    parameters = inspect.signature(layers.TorchModuleWrapper.call).parameters
    assert list(parameters) == ["self", "args", "training", "kwargs"]


def test_seed_global_generator_is_the_part_of_set_random_seed_that_is_kerass():
    def draws():
        random.seed(5)  # Which a new generator draws its seed from.
        keras_internals.seed_global_generator(5)
        return keras.ops.convert_to_numpy(keras.random.uniform((4,)))

    expected = draws()
    keras.random.uniform((3,))
    np.testing.assert_array_equal(draws(), expected)
    if hasattr(seed_generator, "GLOBAL_SEED_GENERATOR"):  # Keras 3.12 leaves it out.
        keras.utils.set_random_seed(5)
        found = keras.ops.convert_to_numpy(keras.random.uniform((4,)))
        np.testing.assert_array_equal(found, expected)


def test_compile_arguments_are_those_that_were_given():
    def loss(y, y_pred):
        return keras.ops.mean(y_pred)

    metric = keras.metrics.MeanSquaredError()
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", loss, metrics=[metric], weighted_metrics=["mae"], run_eagerly=True)
    given = keras_internals.compile_arguments(model)
    assert given["loss"] is loss
    assert given["metrics"][0] is metric
    assert (given["weighted_metrics"], given["loss_weights"]) == (["mae"], None)
    assert given["run_eagerly"] is True


def test_a_config_is_had_without_tensorflow_and_it_is_there_afterwards():
    """In a process of its own: here it may have been imported."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("jax")
    backend = {"tensorflow": "jax"}.get(keras.backend.backend(), keras.backend.backend())
    program = """
import sys, keras
from keras.src.utils import module_utils
from keras_sam.backend import keras_internals
with keras_internals.without_tensorflow():
    config = keras.layers.Dense(3).get_config()
assert "tensorflow" not in sys.modules
assert keras.layers.Dense(3).get_config() == {**config, "name": "dense_1"}
assert "tensorflow" in sys.modules, "then this is of no use"
"""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # It looks for TensorFlow's file system.
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=280)
