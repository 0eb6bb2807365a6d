"""Filter-normalised directions, and losses along them and between models."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sam import SAMModel
from keras_sam.sharpness import LossSurface, filter_normalized, loss_between, loss_landscape
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import assert_close

DATA = reference.examples()


@pytest.fixture
def model():
    return reference.perceptron(reference.weights())


@given(seed=st.integers(0, 10**6), shape=st.sampled_from([(4, 3), (3, 3, 2, 5), (2, 3, 4)]))
def test_each_filter_gets_the_norm_of_its_weights(seed, shape):
    random = np.random.default_rng(seed)
    weights, direction = random.normal(size=(2, *shape))
    (normalized,) = filter_normalized([direction], [weights])
    for f in range(shape[-1]):
        assert np.linalg.norm(normalized[..., f]) == pytest.approx(np.linalg.norm(weights[..., f]))
        cosine = (normalized[..., f] * direction[..., f]).sum() / (
            np.linalg.norm(normalized[..., f]) * np.linalg.norm(direction[..., f])
        )
        assert cosine == pytest.approx(1)


def test_biases_and_empty_filters_are_no_direction():
    bias, kernel = filter_normalized(
        [np.ones(3), np.array([[1.0, 0.0], [1.0, 0.0]])], [np.ones(3), np.ones((2, 2))]
    )
    assert bias.tolist() == [0, 0, 0]
    assert kernel.tolist() == [[1, 0], [1, 0]]


def test_line_against_numpy(model):
    landscape = loss_landscape(model, DATA, points=5, radius=0.5, seed=3)
    random = np.random.default_rng(3)
    drawn = [random.standard_normal(shape) for shape in reference.SHAPES]
    arrays = filter_normalized(drawn, reference.split(reference.weights()))
    d = np.concatenate([a.ravel() for a in arrays])
    assert landscape.axes[0].tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    expected = [reference.loss(reference.weights() + a * d, *DATA) for a in landscape.axes[0]]
    assert_close(landscape.loss, expected, 1e-9, each=True)


def test_plane_contains_the_line_and_the_model(model):
    line = loss_landscape(model, DATA, points=3, seed=3)
    plane = loss_landscape(model, DATA, points=3, seed=3, dimensions=2)
    assert plane.loss.shape == (3, 3)
    assert_close(plane.loss[:, 1], line.loss, 1e-9, each=True)
    assert_close(plane.loss[1, 1], reference.loss(reference.weights(), *DATA))
    assert len({round(float(value), 9) for value in plane.loss.ravel()}) == 9


def test_pruned_weights_stay_zero(model):
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    mask = np.eye(reference.INPUTS, reference.HIDDEN) > 0
    sam.masks = [mask, None, None, None]
    w = reference.weights()
    w[: mask.size] *= mask.ravel()
    random = np.random.default_rng(0)
    drawn = [random.standard_normal(shape) for shape in reference.SHAPES]
    drawn[0] = drawn[0] * mask
    d = np.concatenate([a.ravel() for a in filter_normalized(drawn, reference.split(w))])
    landscape = loss_landscape(sam, DATA, points=3)
    expected = [reference.loss(w + a * d, *DATA) for a in (-1, 0, 1)]
    assert_close(landscape.loss, expected, 1e-9, each=True)


def test_between_two_models_against_numpy(model):
    v, w = reference.weights(), reference.weights(seed=1)
    line = loss_between(model, reference.perceptron(w), DATA, positions=[-0.5, 0, 0.25, 1])
    expected = [reference.loss((1 - t) * v + t * w, *DATA) for t in line.axes[0]]
    assert_close(line.loss, expected, 1e-12, each=True)


def normalized_model(mean):
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization(epsilon=0.0)])
    model.layers[0].set_weights([np.ones(1), np.zeros(1), np.array([mean]), np.ones(1)])
    model.compile(loss="mse")
    return model


def test_statistics_move_along():
    data = (np.array([[3.0]]), np.zeros((1, 1)))
    line = loss_between(normalized_model(1.0), normalized_model(2.0), data, positions=[0, 0.5, 1])
    assert_close(line.loss, [4, 1.5**2, 1])


def test_between_differently_pruned_models_either_mask_keeps():
    def pruned(seed, mask):
        sam = SAMModel(reference.perceptron(reference.weights(seed)), rho=0.1)
        sam.compile(loss="mse")
        sam.masks = [mask, None, None, None]
        return sam

    left = np.zeros(reference.SHAPES[0], bool)
    left[:, :2] = True
    models = [pruned(0, left), pruned(1, ~left)]
    vectors = [
        np.concatenate([np.asarray(v).ravel() for v in m.trainable_variables]) for m in models
    ]
    line = loss_between(*models, DATA, positions=[0, 0.5, 1])
    expected = [reference.loss((1 - t) * vectors[0] + t * vectors[1], *DATA) for t in (0, 0.5, 1)]
    assert_close(line.loss, expected, 1e-12, each=True)
    assert_close(line.loss[2], LossSurface(models[1], DATA).loss())
    plain = reference.perceptron(vectors[1])
    assert_close(loss_between(models[0], plain, DATA, positions=[1]).loss, line.loss[2:], 1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dimensions": 3}, ValueError, r"`dimensions` must be 1 or 2. Received: `dimensions=3`"),
        ({"radius": 0}, ValueError, r"`radius` must be finite and > 0. Received: `radius=0`"),
        ({"points": 1}, ValueError, r"`points` must be >= 2. Received: `points=1`"),
        ({"dimensions": True}, TypeError, r"`dimensions` must be an int"),
        ({"dimensions": 1.0}, TypeError, r"`dimensions` must be an int"),
        ({"dimensions": 0}, ValueError, r"`dimensions` must be >= 1"),
        ({"seed": None}, TypeError, r"`seed` must be an int >= 0.*None"),
        ({"seed": -1}, ValueError, r"`seed` must be >= 0"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        loss_landscape(model, DATA, **arguments)


def test_models_that_do_not_match(model):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`other` must have trainable weights of the shapes"):
        loss_between(model, other, DATA)
    with pytest.raises(ValueError, match=r"`other` must be a built keras.Model"):
        loss_between(model, keras.Sequential([keras.layers.Dense(2)]), DATA)
    with pytest.raises(ValueError, match=r"`positions` must be a non-empty sequence of finite"):
        loss_between(model, model, DATA, positions=[np.nan])
    for positions in ("ab", [[0.0, 1.0]], [1, [2]], 0.5, []):
        with pytest.raises((TypeError, ValueError), match=r"`positions` must be"):
            loss_between(model, model, DATA, positions=positions)


@pytest.mark.parametrize(
    ("direction", "weights", "error", "message"),
    [
        ([np.ones((2, 2))], [], ValueError, r"`direction` must have the shapes of `weights`, \[\]"),
        ([np.ones(4)], [np.ones((2, 2))], ValueError, r"\[\(2, 2\)\]. Received.*\[\(4,\)\]"),
        (None, [np.ones(2)], TypeError, r"`direction` must be a list of arrays.*None"),
        ([np.ones(2)], 3, TypeError, r"`weights` must be a list of arrays.*3"),
    ],
)
def test_directions_that_do_not_fit(direction, weights, error, message):
    with pytest.raises(error, match=message):
        filter_normalized(direction, weights)
