"""What people do with a Keras model works on a SAMModel."""

import csv

import keras
import numpy as np
import pytest
from keras import layers

from keras_sam import SAMModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
Y = RNG.integers(0, 3, 24)


def build(rho=0.1, **kwargs):
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(3)])
    sam = SAMModel(net, rho=rho)
    sam.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **kwargs,
    )
    return sam


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]


def generator():
    while True:
        yield from (Batches()[i] for i in range(3))


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


SOURCES = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 8, "shuffle": False},
    "tf.data": lambda: {"x": dataset()},
    "PyDataset": lambda: {"x": Batches(), "shuffle": False},
    "generator": lambda: {"x": generator(), "steps_per_epoch": 3},
    "tensors": lambda: {
        "x": keras.ops.convert_to_tensor(X),
        "y": keras.ops.convert_to_tensor(Y),
        "batch_size": 8,
        "shuffle": False,
    },
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_data_gives_the_same_training(source):
    sam, expected = build(), build()
    history = sam.fit(**source(), epochs=2, verbose=0, validation_data=(X, Y)).history
    for _ in range(2):
        for i in range(3):
            expected.train_on_batch(*Batches()[i])
    for a, b in zip(sam.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize(
    "kwargs", [{"steps_per_execution": 2}, {"run_eagerly": True, "jit_compile": False}]
)
def test_compile_options_do_not_change_the_numbers(kwargs):
    if keras.backend.backend() == "torch" and "steps_per_execution" in kwargs:
        pytest.skip("Keras has no steps_per_execution on torch")
    sam, expected = build(**kwargs), build()
    for model in (sam, expected):
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(sam.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_callbacks(tmp_path):
    sam = build()
    rates = []
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: rates.append(float(np.asarray(sam.optimizer.learning_rate)))
    )
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        schedule,
        spy,
    ]
    if keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(tmp_path / "tensorboard"))
    history = sam.fit(
        X, Y, batch_size=8, epochs=3, validation_data=(X, Y), callbacks=callbacks, verbose=0
    ).history
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3], rtol=1e-6)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(r["loss"]) for r in rows], history["loss"], rtol=1e-5)
    best = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(
        best.evaluate(X, Y, verbose=0)[0], min(history["val_loss"]), rtol=1e-4
    )
    last = build()
    last.load_weights(tmp_path / "3.weights.h5")
    np.testing.assert_array_equal(last.predict(X, verbose=0), sam.predict(X, verbose=0))
    if keras.backend.backend() == "tensorflow":
        assert list((tmp_path / "tensorboard" / "train").glob("events*"))


def test_early_stopping_restores_the_best_weights():
    sam = build()
    stop = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="min", patience=2, restore_best_weights=True
    )
    history = sam.fit(
        X, Y, batch_size=8, epochs=50, validation_data=(X, Y), callbacks=[stop], verbose=0
    ).history
    assert len(history["loss"]) < 50
    accuracy = sam.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(min(history["val_accuracy"]))


def test_summary_shows_the_wrapped_net():
    lines = []
    build().summary(print_fn=lines.append, expand_nested=True)
    text = "\n".join(lines)
    assert "dense" in text
    assert "Trainable params: 67" in text


def test_batch_methods_and_metrics_names():
    sam = build()
    assert len(sam.train_on_batch(X, Y)) == 2
    assert set(sam.test_on_batch(X, Y, return_dict=True)) == {"loss", "accuracy"}
    assert sam.predict_on_batch(X).shape == (24, 3)
    assert sam(X).shape == (24, 3)


class OwnLoss(keras.Model):
    """A model with a loss, a metric and a `call` of its own."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.penalty = keras.metrics.Mean(name="penalty")

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        penalty = keras.ops.mean(keras.ops.square(y_pred))
        self.penalty.update_state(penalty)
        return super().compute_loss(x, y, y_pred, sample_weight) + 0.5 * penalty

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "examples": keras.ops.shape(y_pred)[0]}


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_wrapped_models_own_loss_and_metrics_are_honoured(rho):
    from tests.keras_sam import reference

    targets = RNG.normal(size=(24, 3)).astype("float32")
    net = OwnLoss()
    net(X)
    w = [np.asarray(v, "float64") for v in net.trainable_variables]
    sam = SAMModel(net, rho=rho)
    sam.compile(keras.optimizers.SGD(0.1), "mse")
    logs = sam.train_on_batch(X, targets, return_dict=True)

    def gradients(at):
        own, penalty = reference.gradients(at, X, targets), reference.gradients(at, X, 0 * targets)
        return [a + 0.5 * b for a, b in zip(own, penalty)]

    e = reference.perturbation(w, gradients(w), rho)
    g = gradients([a + b for a, b in zip(w, e)])
    for variable, a, b in zip(net.trainable_variables, w, g, strict=True):
        np.testing.assert_allclose(variable, a - 0.1 * b, rtol=1e-5, atol=1e-6)
    penalty = reference.loss(w, X, 0 * targets)
    np.testing.assert_allclose(
        logs["loss"], reference.loss(w, X, targets) + 0.5 * penalty, rtol=1e-5
    )
    np.testing.assert_allclose(logs["penalty"], penalty, rtol=1e-5)
    assert int(logs["examples"]) == 24


def test_a_wrapped_models_own_train_step_is_warned_about():
    class OwnStep(OwnLoss):
        def train_step(self, data):
            return super().train_step(data)

    with pytest.warns(UserWarning, match="`train_step` of its own, which SAMModel replaces"):
        SAMModel(OwnStep())


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_nothing_trainable():
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    net.trainable = False
    sam = SAMModel(net)
    before = [np.asarray(w) for w in net.weights]
    sam.compile("sgd", "mse")
    sam.fit(X, np.zeros((24, 3)), verbose=0)
    for old, new in zip(before, net.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_string_inputs_of_an_unbuilt_nested_model():
    """A model that is built by its first batch, with dict inputs of two dtypes."""

    class Tagger(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.dense = layers.Embedding(7, 2), layers.Dense(3)

        def call(self, inputs):
            return self.dense(keras.ops.concatenate([self.embedding(inputs["id"]), inputs["x"]], 1))

    sam = SAMModel(Tagger())
    sam.compile("sgd", "mse")
    data = {"id": np.arange(24) % 7, "x": X}
    sam.fit(data, np.zeros((24, 3)), batch_size=8, verbose=0)
    assert sam.predict(data, verbose=0).shape == (24, 3)
    assert len(sam.trainable_variables) == 3
