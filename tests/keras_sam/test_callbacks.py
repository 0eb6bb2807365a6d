"""SharpnessCallback: what it writes, who sees it, and what it costs."""

import csv
import math

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from keras_sam.callbacks import SharpnessCallback
from keras_sam.sharpness import (
    HessianOperator,
    hessian_eigenvalues,
    hessian_trace,
    sam_sharpness,
)
from keras_sam.sharpness.block_lanczos import NotConvergedError

NAMES = ["hessian_eigenvalue", "hessian_trace", "sam_sharpness"]


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    return random.normal(size=(16, 6)).astype("float32"), random.normal(size=(16, 2))


def network(wrap=lambda model: model):
    model = wrap(
        keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(4, activation="tanh"),
                keras.layers.BatchNormalization(),
                keras.layers.Dense(2),
            ]
        )
    )
    model.compile(keras.optimizers.SGD(0.05), loss="mse")
    return model


def fit(model, data, *callbacks, epochs=2):
    return model.fit(
        *data, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks)
    ).history


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: SAMModel(model, rho=0.1)])
def test_values_are_those_of_the_functions(data, wrap):
    model = network(wrap)
    history = fit(model, data, SharpnessCallback(data, rho=0.2, num_samples=5, seed=3))
    (eigenvalue,) = hessian_eigenvalues(model, data, tolerance=1e-2, seed=3)
    trace = hessian_trace(model, data, num_samples=5, seed=3)
    expected = [eigenvalue, trace.value, sam_sharpness(model, data, rho=0.2)]
    np.testing.assert_allclose([history[name][-1] for name in NAMES], expected, rtol=1e-5)
    for name in NAMES:
        assert history[name][0] != history[name][1]


def test_training_is_not_disturbed(data):
    trained = []
    for callbacks in ([], [SharpnessCallback(data)]):
        keras.utils.set_random_seed(5)
        model = network(lambda model: SAMModel(model, rho=0.1))
        fit(model, data, *callbacks)
        trained.append(model.get_weights())
    for without, with_callback in zip(*trained, strict=True):
        np.testing.assert_array_equal(without, with_callback)


def test_every_so_many_epochs_and_nan_between(data):
    history = fit(network(), data, SharpnessCallback(data, every=2), epochs=5)
    for name in NAMES:
        assert [math.isnan(value) for value in history[name]] == [True, False, True, False, True]


def test_only_what_was_asked_for(data):
    history = fit(network(), data, SharpnessCallback(data, measures=["trace"]))
    assert set(history) == {"loss", "hessian_trace"}


def test_csv_has_every_column_in_every_row(data, tmp_path):
    path = tmp_path / "log.csv"
    logger = keras.callbacks.CSVLogger(str(path))
    history = fit(network(), data, SharpnessCallback(data, every=2), logger, epochs=4)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for name in NAMES:
        np.testing.assert_allclose(
            [float(row[name]) for row in rows], history[name], rtol=1e-6, equal_nan=True
        )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads events by TensorFlow")
def test_tensorboard(data, tmp_path):
    import tensorflow as tf

    board = keras.callbacks.TensorBoard(str(tmp_path), write_graph=False)
    history = fit(network(), data, SharpnessCallback(data), board)
    written = {}
    for file in (tmp_path / "train").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                written.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    for name in NAMES:
        np.testing.assert_allclose(written[f"epoch_{name}"], history[name], rtol=1e-6)


def test_other_callbacks_can_monitor_it(data):
    stopping = keras.callbacks.EarlyStopping("hessian_trace", min_delta=1e9, patience=1, mode="min")
    history = fit(network(), data, SharpnessCallback(data), stopping, epochs=5)
    assert len(history["hessian_trace"]) == 2  # The second is not so much better.


def test_divergence_is_nan_and_training_goes_on(data):
    model = network()
    model.optimizer.learning_rate = 1e30
    history = fit(model, data, SharpnessCallback(data), epochs=3)
    assert all(math.isnan(history[name][-1]) for name in NAMES)
    assert len(history["loss"]) == 3


def test_no_convergence_is_nan_and_a_warning(data, monkeypatch):
    def give_up(surface, **arguments):
        raise NotConvergedError("`max_products` must be larger")

    monkeypatch.setattr("keras_sam.callbacks.hessian_eigenvalues", give_up)
    callback = SharpnessCallback(data, measures=["eigenvalue", "sharpness"])
    with pytest.warns(UserWarning, match=r"No hessian_eigenvalue.*`max_products`"):
        history = fit(network(), data, callback, epochs=1)
    assert math.isnan(history["hessian_eigenvalue"][0])
    assert history["sam_sharpness"][0] > 0


def test_a_hard_spectrum_is_nan_with_one_warning_and_training_goes_on():
    # The Hessian of linear regression, 2 x^T x / n: eigenvalues that 21 products do not tell apart.
    data = np.diag(np.linspace(1, 1.01, 60)), np.zeros((60, 1))
    model = keras.Sequential([keras.Input((60,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", loss="mse")
    callback = SharpnessCallback(data, tolerance=1e-6, max_products=21)
    with pytest.warns(UserWarning, match=r"No hessian_eigenvalue.*`max_products=21`") as record:
        history = fit(model, data, callback, epochs=3)
    assert len([w for w in record if "hessian_eigenvalue" in str(w.message)]) == 1
    assert all(math.isnan(value) for value in history["hessian_eigenvalue"])
    assert len(history["loss"]) == 3
    assert np.isfinite([history["hessian_trace"], history["sam_sharpness"]]).all()
    with pytest.warns(UserWarning, match=r"No hessian_eigenvalue"):  # The next training says so.
        fit(model, data, callback, epochs=1)


def test_an_infinite_hessian_of_a_finite_loss_is_nan(data):
    # The root of |x w| has none at 0, where the inputs that it is measured on are.
    inputs = keras.Input((6,))
    product = keras.layers.Dense(1, use_bias=False)(inputs)
    model = keras.Model(inputs, keras.ops.sqrt(keras.ops.abs(product)))
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    callback = SharpnessCallback((np.zeros((2, 6)), np.ones((2, 1))), measures=["eigenvalue"])
    with pytest.warns(UserWarning, match=r"No hessian_eigenvalue.*finite Hessian"):
        history = fit(model, (data[0], data[1][:, :1]), callback, epochs=1)
    assert math.isnan(history["hessian_eigenvalue"][0])


def test_memory_that_is_short_is_said_before_training_or_nan_in_it(data, monkeypatch):
    free = [10**3]
    monkeypatch.setattr("keras_sam.memory.available_memory", lambda: free[0])
    with pytest.raises(ValueError, match=r"Lanczos vectors of 1 eigenvalues would need"):
        fit(network(), data, SharpnessCallback(data), epochs=1)
    free[0] = 10**9
    shrink = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: free.__setitem__(0, 10**3))
    with pytest.warns(UserWarning, match=r"No hessian_eigenvalue.*would need"):
        history = fit(network(), data, shrink, SharpnessCallback(data), epochs=1)
    assert math.isnan(history["hessian_eigenvalue"][0])
    assert np.isfinite(history["hessian_trace"][0])


def test_cost_is_what_the_docstring_says(data, monkeypatch):
    products = []
    original = HessianOperator._matvec
    monkeypatch.setattr(
        HessianOperator,
        "_matvec",
        lambda self, vector: products.append(1) or original(self, vector),
    )
    fit(network(), data, SharpnessCallback(data, num_samples=10), epochs=1)
    assert 31 <= len(products) <= 33


def test_a_generator_is_read_once(data):
    callback = SharpnessCallback(iter([data]), measures=["sharpness"])
    history = fit(network(), data, callback, epochs=3)
    assert np.isfinite(history["sam_sharpness"]).all()


def test_a_callback_follows_the_model_it_is_used_with(data):
    callback = SharpnessCallback(data, measures=["sharpness"])
    fit(network(), data, callback)
    second = network()
    history = fit(second, data, callback)
    assert history["sam_sharpness"][-1] == pytest.approx(sam_sharpness(second, data), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every": 0}, ValueError, r"`every` must be >= 1. Received: `every=0`"),
        ({"measures": []}, ValueError, r"`measures` must be some of.*Received: `measures=\[\]`"),
        ({"measures": "trace"}, ValueError, r"`measures` must be.*Received: `measures='trace'`"),
        ({"measures": ["size"]}, ValueError, r"`measures` must be some of.*'size'"),
        ({"rho": -1}, ValueError, r"`rho` must be finite and >= 0. Received: `rho=-1`"),
        ({"num_samples": 1}, ValueError, r"`num_samples` must be >= 2. Received"),
        ({"tolerance": 0}, ValueError, r"`tolerance` must be finite and > 0. Received"),
        ({"tolerance": math.nan}, ValueError, r"`tolerance` must be finite and > 0.*nan"),
        ({"max_products": 0}, ValueError, r"`max_products` must be >= 1. Received"),
        ({"measures": 5}, TypeError, r"`measures` must be a list.*Received: `measures=5`"),
        ({"measures": None}, TypeError, r"`measures` must be a list.*`measures=None`"),
        ({"measures": [["trace"]]}, ValueError, r"`measures` must be some of"),
        ({"every": True}, TypeError, r"`every` must be an int"),
        ({"seed": True}, TypeError, r"`seed` must be an int >= 0"),
        ({"seed": None}, TypeError, r"`seed` must be an int >= 0"),
        ({"bath_size": 3}, TypeError, r"bath_size"),
    ],
)
def test_bad_arguments(data, arguments, error, message):
    with pytest.raises(error, match=message):
        SharpnessCallback(data, **arguments)


def test_what_cannot_be_measured_is_said_before_training(data):
    with pytest.raises(ValueError, match=r"`data` must hold at least one example"):
        fit(network(), data, SharpnessCallback([], every=1000), epochs=1)
