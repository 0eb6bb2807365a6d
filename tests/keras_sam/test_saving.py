"""Files: `.keras`, weights, checkpoints; training goes on as if never stopped."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel
from keras_sam.optimizers import SGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype("float32")
Y = RNG.normal(size=(12, 3)).astype("float32")


def functional():
    inputs = keras.Input((4,))
    hidden = layers.Dropout(0.3, seed=1)(layers.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(3)(layers.BatchNormalization()(hidden)))


def sequential():
    return keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(3)])


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden, self.out = layers.Dense(units, activation="relu"), layers.Dense(3)

    def call(self, x):
        return self.out(self.hidden(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class OwnCall(SAMModel):
    """A subclass with a `call` and a loss of its own, as in Keras's guide."""

    def __init__(self, units=8, rho=0.1, **kwargs):
        super().__init__(rho=rho, **kwargs)
        self.units = units
        self.hidden, self.out = layers.Dense(units), layers.Dense(3)

    def call(self, x, training=None):
        return self.out(self.hidden(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.abs(y_pred - y))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


MODELS = {
    "functional": lambda: SAMModel(functional(), rho=0.2, adaptive=True),
    "sequential": lambda: SAMModel(sequential(), rho=0.2, num_batch_splits=2),
    "subclassed": lambda: SAMModel(Subclassed(), rho=0.2, normalize=False),
    "own call": OwnCall,
}
MANY = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


def train(model, epochs=2):
    model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return model


def compiled(model):
    model.compile(SGD(0.05, momentum=0.9, weight_decay=0.01), "mse", metrics=["mae"])
    return model


def own_config(sam):
    return {key: value for key, value in sam.get_config().items() if key != "model"}


def assert_equal_state(a, b):
    for u, v in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(u, v)
    for u, v in zip(a.optimizer.variables, b.optimizer.variables, strict=True):
        np.testing.assert_array_equal(u, v)


@MANY
def test_keras_file_continues_as_if_never_stopped(build, tmp_path):
    sam = train(compiled(build()))
    sam.save(tmp_path / "sam.keras")
    loaded = keras.saving.load_model(tmp_path / "sam.keras")
    assert type(loaded) is type(sam)
    assert own_config(loaded) == own_config(sam)
    assert_equal_state(sam, loaded)
    assert_equal_state(train(sam), train(loaded))
    np.testing.assert_array_equal(sam.predict(X, verbose=0), loaded.predict(X, verbose=0))


@MANY
def test_weights_file(build, tmp_path):
    sam, other = train(compiled(build())), compiled(build())
    sam.save_weights(tmp_path / "sam.weights.h5")
    train(other, 1)
    other.load_weights(tmp_path / "sam.weights.h5")
    for u, v in zip(sam.weights, other.weights, strict=True):
        np.testing.assert_array_equal(u, v)


def test_rho_schedule_is_saved(tmp_path):
    schedule = keras.optimizers.schedules.CosineDecay(0.2, 100)
    sam = train(compiled(SAMModel(sequential(), rho=schedule)))
    sam.save(tmp_path / "sam.keras")
    loaded = keras.saving.load_model(tmp_path / "sam.keras")
    assert loaded.rho.get_config() == schedule.get_config()
    assert_equal_state(train(sam), train(loaded))


@pytest.mark.parametrize("build", [functional, Subclassed])
def test_masks_travel_in_both_files(build, tmp_path):
    net = build()
    net(X)
    kernel = net.trainable_variables[0]
    mask = np.random.default_rng(1).random(kernel.shape) > 0.7
    sam = train(compiled(SAMModel(net, masks={kernel.path: mask})))
    sam.save(tmp_path / "sam.keras")
    sam.save_weights(tmp_path / "sam.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "sam.keras")
    fresh_net = build()
    fresh_net(X)
    fresh = compiled(SAMModel(fresh_net))
    fresh.load_weights(tmp_path / "sam.weights.h5")
    for other in (loaded, fresh):
        (stored,) = other.masks.values()
        np.testing.assert_array_equal(stored, mask)
        train(other)
        weight = np.asarray(other.trainable_variables[0])
        assert (weight[~mask] == 0).all()
        assert (weight[mask] != 0).any()
    assert_equal_state(train(sam), loaded)


def test_loading_dense_weights_clears_masks(tmp_path):
    net = functional()
    dense = compiled(SAMModel(functional()))
    dense.save_weights(tmp_path / "dense.weights.h5")
    kernel = net.trainable_variables[0]
    sam = compiled(SAMModel(net, masks={kernel.path: np.zeros(kernel.shape)}))
    sam.load_weights(tmp_path / "dense.weights.h5")
    np.testing.assert_array_equal(kernel, dense.trainable_variables[0])
    assert all(mask.all() for mask in sam.masks.values())


def test_loads_in_a_fresh_process_without_custom_objects(tmp_path):
    train(compiled(SAMModel(functional(), rho=0.2))).save(tmp_path / "sam.keras")
    code = (
        "import sys, keras, keras_sam; m = keras.saving.load_model(sys.argv[1]); "
        "print(type(m).__name__, m.rho, type(m.optimizer).__module__)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "sam.keras"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert out.stdout.split() == ["SAMModel", "0.2", "keras_sam.optimizers"]


@MANY
def test_clone(build):
    sam = build()
    sam(X)
    clone = type(sam).from_config(sam.get_config())
    clone(X)
    assert own_config(clone) == own_config(sam)
    assert clone is not sam
    assert not {id(v) for v in clone.variables} & {id(v) for v in sam.variables}


def test_the_plain_net_is_the_trained_one(tmp_path):
    net = functional()
    sam = train(compiled(SAMModel(net)))
    assert sam.model is net
    np.testing.assert_array_equal(net.predict(X, verbose=0), sam.predict(X, verbose=0))
    net.save(tmp_path / "net.keras")
    alone = keras.saving.load_model(tmp_path / "net.keras")
    assert not isinstance(alone, SAMModel)
    np.testing.assert_array_equal(alone.predict(X, verbose=0), sam.predict(X, verbose=0))


@MANY
def test_export(build, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a SavedModel needs TensorFlow")
    import tensorflow as tf

    sam = train(compiled(build()))
    sam.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(X), sam.predict(X, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "mixed_float16"])
def test_backup_and_restore_goes_on_exactly(kind, tmp_path):
    class KilledError(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KilledError

    def build():
        keras.utils.set_random_seed(3)
        keras.config.set_dtype_policy(kind)
        try:
            return compiled(SAMModel(functional()))
        finally:
            keras.config.set_dtype_policy("float32")

    def run(model, folder, *callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder)
        model.fit(
            X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=[backup, *callbacks]
        )
        return model

    whole = run(build(), "whole")
    with pytest.raises(KilledError):
        run(build(), "cut", Kill())
    assert_equal_state(whole, run(build(), "cut"))
