"""The loss as a function of one vector: values, gradients, products, and what enters them."""

import logging

import keras
import numpy as np
import pytest

from keras_sam import SAMModel
from keras_sam.sharpness import LossSurface, hessian_trace
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import assert_close


@pytest.fixture
def data():
    return reference.examples()


@pytest.fixture
def model():
    return reference.perceptron(reference.weights())


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_loss_and_derivatives_against_numpy(labels, batch_size):
    x, y = reference.examples(labels=labels)
    w = reference.weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if labels else "mse"
    surface = LossSurface(reference.perceptron(w, loss), (x, y), batch_size=batch_size)
    v = np.random.default_rng(5).normal(size=reference.SIZE)
    value, gradient = surface.gradient()
    assert_close(surface.weights, w)
    assert_close(surface.loss(), reference.loss(w, x, y), 1e-12)
    assert_close(value, reference.loss(w, x, y), 1e-12)
    assert_close(gradient, reference.gradient(w, x, y), 1e-12)
    assert_close(surface.hessian_product(v), reference.hessian(w, x, y) @ v, 1e-8)


def test_elsewhere_than_at_the_models_weights(model, data):
    surface = LossSurface(model, data)
    w = reference.weights(seed=1)
    v = np.ones(reference.SIZE)
    assert_close(surface.loss(w), reference.loss(w, *data), 1e-12)
    assert_close(surface.gradient(w)[1], reference.gradient(w, *data), 1e-12)
    assert_close(surface.hessian_product(v, w), reference.hessian(w, *data) @ v, 1e-8)


@pytest.mark.parametrize(
    ("power", "batch_size"),
    [
        *((1, 100), (2, 4), (3, 100)),
        *(pytest.param(*rest, marks=pytest.mark.slow) for rest in ((1, 4), (2, 100), (3, 4))),
    ],
)
def test_powers_of_example_hessians_against_numpy(model, data, power, batch_size):
    v = np.random.default_rng(5).normal(size=reference.SIZE)
    hessians = reference.example_hessians(reference.weights(), *data)
    expected = np.mean([np.linalg.matrix_power(h, power) @ v for h in hessians], axis=0)
    surface = LossSurface(model, data, batch_size=batch_size)
    assert_close(surface.mean_example_power(v, power), expected, 1e-6)


def test_sample_weights_scale_their_examples(model, data):
    share = np.linspace(0, 2, reference.EXAMPLES)
    surface = LossSurface(model, (*data, share), batch_size=4)
    losses = [reference.loss(reference.weights(), x[None], y[None]) for x, y in zip(*data)]
    assert_close(surface.loss(), np.mean(share * losses), 1e-12)
    v = np.ones(reference.SIZE)
    hessians = reference.example_hessians(reference.weights(), *data)
    expected = np.mean(share[:, None] ** 2 * (hessians @ (hessians @ v)[..., None])[..., 0], axis=0)
    assert_close(surface.mean_example_power(v, 2), expected, 1e-6)


@pytest.mark.usefixtures("float32")
def test_float32(data):
    w = reference.weights()
    model = reference.perceptron(w)
    assert model.trainable_variables[0].dtype == "float32"
    v = np.random.default_rng(5).normal(size=reference.SIZE)
    expected = reference.hessian(w, *data) @ v
    product = LossSurface(model, data).hessian_product(v)
    assert product.dtype == np.float64
    assert_close(product, expected, 1e-5)


def test_nothing_of_the_model_changes(data):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    model.compile(loss="mse", metrics=["mae"])
    surface = LossSurface(model, data, training=True)
    before = [np.asarray(v) for v in model.variables]
    surface.gradient()
    surface.hessian_product(np.ones(surface.size))
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable))


def test_sam_model_measures_as_the_plain_model(model, data):
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    assert_close(LossSurface(sam, data).loss(), LossSurface(model, data).loss())


def test_pruned_weights_are_no_directions(model, data):
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    mask = np.random.default_rng(3).random((reference.INPUTS, reference.HIDDEN)) < 0.5
    sam.masks = [mask, None, None, None]
    kept = np.concatenate([mask.ravel(), np.ones(reference.SIZE - mask.size, bool)])
    w = reference.weights() * kept
    surface = LossSurface(sam, data)
    assert surface.size == kept.sum() < reference.SIZE
    dense = reference.hessian(w, *data)[np.ix_(kept, kept)]
    v = np.random.default_rng(5).normal(size=surface.size)
    assert_close(surface.weights, w[kept])
    assert_close(surface.gradient()[1], reference.gradient(w, *data)[kept], 1e-8)
    assert_close(surface.hessian_product(v), dense @ v, 1e-8)
    assert_close(surface.mean_example_power(v, 1), dense @ v, 1e-8)


def test_frozen_weights_are_no_directions(model, data):
    model.layers[0].trainable = False
    surface = LossSurface(model, data)
    first = reference.INPUTS * reference.HIDDEN + reference.HIDDEN
    assert surface.size == reference.SIZE - first
    v = np.ones(surface.size)
    dense = reference.hessian(reference.weights(), *data)[first:, first:]
    assert_close(surface.hessian_product(v), dense @ v, 1e-8)


def test_refresh_follows_weights_masks_and_frozen_layers(model, data):
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    surface = LossSurface(sam, data)
    model.set_weights(reference.split(reference.weights(seed=1)))
    assert_close(surface.loss(), reference.loss(reference.weights(), *data))
    surface.refresh()
    assert_close(surface.loss(), reference.loss(reference.weights(seed=1), *data))
    sam.masks = [np.eye(reference.INPUTS, reference.HIDDEN) > 0, None, None, None]
    surface.refresh()
    assert surface.size == reference.SIZE - reference.INPUTS * (reference.HIDDEN - 1)
    model.layers[1].trainable = False
    surface.refresh()
    assert surface.size == reference.INPUTS + reference.HIDDEN
    assert np.isfinite(surface.hessian_product(np.ones(surface.size))).all()


def regularized():
    l2 = keras.regularizers.L2(0.5)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(1, kernel_regularizer=l2, use_bias=False, activity_regularizer=l2),
        ]
    )
    model.set_weights([np.array([[1.0], [2.0]])])
    model.compile(loss="mse")
    return model


def test_regularization_by_choice():
    # f = x w = 3 for x = (1, 1). Data loss 9, weight penalty .5 (1 + 4), activity .5 * 9 (which
    # Keras divides by the batch size, 1).
    data = (np.ones((1, 2)), np.zeros((1, 1)))
    model = regularized()
    with_penalty = LossSurface(model, data)
    without = LossSurface(model, data, regularization=False)
    assert_close(with_penalty.loss(), 9 + 4.5 + 2.5)
    assert_close(without.loss(), 9 + 4.5)
    ones = np.ones((2, 2))
    assert_close([with_penalty.hessian_product(e) for e in np.eye(2)], 3 * ones + np.eye(2))
    assert_close([without.hessian_product(e) for e in np.eye(2)], 3 * ones)


def test_regularization_of_a_sam_model():
    data = (np.ones((1, 2)), np.zeros((1, 1)))
    sam = SAMModel(regularized(), rho=0.1)
    sam.compile(loss="mse")
    assert_close(LossSurface(sam, data).loss(), 9 + 4.5 + 2.5)
    assert_close(LossSurface(sam, data, regularization=False).loss(), 9 + 4.5)


def test_batch_norm_is_in_inference_mode_unless_asked():
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.BatchNormalization(epsilon=0.0, scale=False)]
    )
    model.layers[0].set_weights([np.array([0.0]), np.array([1.0]), np.array([4.0])])
    model.compile(loss="mse")
    x = np.array([[3.0], [5.0]])  # moving: (x - 1) / 2 = 1, 2; batch: -1, 1
    data = (x, np.zeros((2, 1)))
    assert_close(LossSurface(model, data).loss(), 2.5)
    assert_close(LossSurface(model, data, training=True).loss(), 1.0)


def test_several_losses_and_dict_inputs():
    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((1,), name="b")}
    outputs = {
        "p": keras.layers.Dense(1, use_bias=False, name="p")(inputs["a"]),
        "q": keras.layers.Dense(1, use_bias=False, name="q")(inputs["b"]),
    }
    model = keras.Model(inputs, outputs)
    model.compile(loss={"p": "mse", "q": "mse"}, loss_weights={"p": 1.0, "q": 3.0})
    data = (
        {"a": np.array([[1.0], [2.0]]), "b": np.array([[1.0], [1.0]])},
        {"p": np.zeros((2, 1)), "q": np.zeros((2, 1))},
    )
    surface = LossSurface(model, data)
    matrix = np.array([surface.hessian_product(e) for e in np.eye(2)])
    assert_close(matrix, np.diag([2 * 2.5, 3 * 2.0]), 1e-6)
    v = np.ones(2)
    assert_close(surface.mean_example_power(v, 2), [(2**2 + 8**2) / 2, 36.0], 1e-6, each=True)


def test_same_seed_same_numbers(model, data):
    first, second = (hessian_trace(model, data, seed=3, num_samples=4) for _ in range(2))
    assert first == second
    assert first != hessian_trace(model, data, seed=4, num_samples=4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
def test_scope_of_a_strategy_does_not_shrink_the_loss(data, request):
    with request.getfixturevalue("strategy").scope():
        model = reference.perceptron(reference.weights())
        inside = LossSurface(model, data).loss()
    assert_close(inside, reference.loss(reference.weights(), *data), 1e-12)
    assert_close(LossSurface(model, data).loss(), inside, 1e-12)


def test_a_surface_takes_the_place_of_model_and_data_alone(model, data):
    surface = LossSurface(model, data)
    assert hessian_trace(surface, seed=1) == hessian_trace(model, data, seed=1)
    with pytest.raises(TypeError, match=r"`data` and its options belong to the LossSurface"):
        hessian_trace(surface, data)
    with pytest.raises(TypeError, match=r"Received: `data=None`, {'batch_size': 2}"):
        hessian_trace(surface, batch_size=2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's tracing")
def test_many_surfaces_in_a_process_bring_no_warnings(model, data, caplog):
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    try:
        for _ in range(6):
            LossSurface(model, data).gradient()
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.loss(0.1), ValueError, r"`weights` must be of one axis.*shape \(\)"),
        (lambda s: s.loss("a"), TypeError, r"`weights` must be a sequence of numbers.*'a'"),
        (lambda s: s.gradient(np.ones(3)), ValueError, r"`weights` must have a number for each"),
        (lambda s: s.hessian_product(None), TypeError, r"`vector` must be.*`vector=None`"),
        (lambda s: s.hessian_product(np.ones((26, 1))), ValueError, r"`vector` must be of one"),
        (lambda s: s.hessian_product(np.ones(25)), ValueError, r"`vector` must have.*26.*\(25,\)"),
        (lambda s: s.hessian_product([[1], [1, 2]]), TypeError, r"`vector` must be a sequence"),
        (lambda s: s.hessian_product(np.ones(26) * 1j), TypeError, r"`vector` must be a sequence"),
        (
            lambda s: s.hessian_product(np.ones(26), 1.0),
            ValueError,
            r"`weights` must be of one axis",
        ),
        (lambda s: s.mean_example_power(np.ones(26), -1), ValueError, r"`power` must be >= 1"),
        (lambda s: s.mean_example_power(np.ones(26), 2.0), TypeError, r"`power` must be an int"),
        (lambda s: s.mean_example_power(None, 2), TypeError, r"`vector` must be a sequence"),
    ],
)
def test_what_is_no_vector_of_the_space(surface, call, error, message):
    with pytest.raises(error, match=message):
        call(surface)


@pytest.fixture(scope="module")
def surface():
    return LossSurface(reference.perceptron(reference.weights()), reference.examples())


@pytest.mark.parametrize("option", ["training", "regularization"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_switches_are_bools(model, data, option, value):
    with pytest.raises(TypeError, match=rf"`{option}` must be a bool.*{value!r}"):
        LossSurface(model, data, **{option: value})
