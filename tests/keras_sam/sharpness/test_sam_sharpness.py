"""Sharpness by hand, against SAM's own perturbation, and against the best of many tries."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_sam import SAMModel, perturbation
from keras_sam.sharpness import LossSurface, average_sharpness, sam_sharpness
from tests.keras_sam.sharpness import reference
from tests.keras_sam.sharpness.precision import assert_close

DATA = reference.examples()
RHO = 0.3


@pytest.fixture
def model():
    return reference.perceptron(reference.weights())


def linear(weights, x, y=None):
    """Mean squared error of x w: the loss is exactly quadratic."""
    net = keras.Sequential([keras.Input((len(weights),)), keras.layers.Dense(1, use_bias=False)])
    net.set_weights([np.reshape(weights, (-1, 1))])
    net.compile(loss="mse")
    x = np.asarray(x, float)
    return net, (x, np.zeros((len(x), 1)) if y is None else np.reshape(y, (-1, 1)))


@pytest.mark.parametrize("adaptive", [False, True])
def test_one_step_is_the_rise_along_sams_perturbation(model, adaptive):
    w = reference.weights()
    ascent = perturbation.perturbation(normalize=True, adaptive=adaptive)
    (e,) = ascent(
        [ops.convert_to_tensor(w)], [ops.convert_to_tensor(reference.gradient(w, *DATA))], RHO
    )
    expected = reference.loss(w + ops.convert_to_numpy(e), *DATA) - reference.loss(w, *DATA)
    value = sam_sharpness(model, DATA, RHO, adaptive=adaptive)
    assert_close(value, expected, 1e-6)


@pytest.mark.parametrize("adaptive", [False, True])
def test_several_steps_against_an_ascent_in_numpy(model, adaptive):
    """Each step: rho along the normalised slope, in the coordinates e / T, then onto the ball."""
    w = reference.weights()
    scale = np.abs(w) + 0.01 if adaptive else np.ones_like(w)
    rises, u = [], np.zeros_like(w)
    for _ in range(4):
        slope = scale * reference.gradient(w + scale * u, *DATA)
        u = u + RHO * slope / np.linalg.norm(slope)
        u = u * min(1.0, RHO / np.linalg.norm(u))
        rises.append(reference.loss(w + scale * u, *DATA) - reference.loss(w, *DATA))
    assert len({round(rise, 6) for rise in rises}) == 4
    for steps in (2, 3, 4):
        value = sam_sharpness(model, DATA, RHO, steps=steps, adaptive=adaptive)
        assert_close(value, max(rises[:steps]), 1e-8)


def test_more_steps_never_lower_it(model):
    values = [sam_sharpness(model, DATA, RHO, steps=steps) for steps in (1, 2, 5, 20)]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_many_steps_reach_the_maximum_of_a_quadratic():
    # L = 2 (w_1 + e_1)^2 + .5 (w_2 + e_2)^2 on the unit circle, by a fine search.
    net, data = linear([0.1, 1.0], np.diag([2.0, 1.0]))
    angle = np.linspace(0, 2 * np.pi, 100_001)
    rises = 2 * (0.1 + np.cos(angle)) ** 2 + 0.5 * (1 + np.sin(angle)) ** 2 - 0.52
    assert_close(sam_sharpness(net, data, 1.0, steps=30), rises.max(), 1e-6)
    assert sam_sharpness(net, data, 1.0, steps=1) < 0.9 * rises.max()


@pytest.mark.parametrize("adaptive", [False, True])
def test_perturbations_stay_on_the_ball(model, adaptive, monkeypatch):
    w = reference.weights()
    scale = np.abs(w) + 0.01 if adaptive else np.ones_like(w)
    radii = []
    original = LossSurface.gradient

    def record(self, weights=None):
        if weights is not None:
            radii.append(np.linalg.norm((weights - w) / scale))
        return original(self, weights)

    monkeypatch.setattr(LossSurface, "gradient", record)
    sam_sharpness(model, DATA, RHO, steps=6, adaptive=adaptive)
    assert len(radii) == 5
    assert radii[0] == pytest.approx(RHO)
    assert max(radii) <= RHO * (1 + 1e-12)


def test_m_sharpness_is_the_mean_over_groups(model):
    x, y = DATA
    w = reference.weights()
    expected = 0.0
    for rows in (slice(0, 4), slice(4, 8), slice(8, 9)):
        part = x[rows], y[rows]
        g = reference.gradient(w, *part)
        e = RHO * g / np.linalg.norm(g)
        rise = reference.loss(w + e, *part) - reference.loss(w, *part)
        expected += len(part[0]) / len(x) * rise
    assert_close(sam_sharpness(model, DATA, RHO, m=4), expected, 1e-9)
    assert_close(sam_sharpness(model, DATA, RHO, m=4, batch_size=3), expected, 1e-9)


def test_m_of_all_examples_is_the_plain_one(model):
    whole = sam_sharpness(model, DATA, RHO)
    assert_close(sam_sharpness(model, DATA, RHO, m=reference.EXAMPLES), whole, 1e-12)


def test_at_a_minimum_and_with_no_radius(model):
    net, data = linear([0.0], [[1.0]])
    assert sam_sharpness(net, data, 0.5) == 0.0  # The gradient is 0: no direction, and no NaN.
    assert sam_sharpness(model, DATA, 0.0, steps=3) == 0.0


def test_overflow_is_not_hidden():
    net, data = linear([1.0], [[1.0]])
    assert np.isinf(sam_sharpness(net, data, 1e200))


def test_pruned_weights_are_not_perturbed(model):
    sam = SAMModel(model, rho=0.1)
    sam.compile(loss="mse")
    mask = np.eye(reference.INPUTS, reference.HIDDEN) > 0
    sam.masks = [mask, None, None, None]
    kept = np.concatenate([mask.ravel(), np.ones(reference.SIZE - mask.size, bool)])
    w = reference.weights() * kept
    g = reference.gradient(w, *DATA) * kept
    expected = reference.loss(w + RHO * g / np.linalg.norm(g), *DATA) - reference.loss(w, *DATA)
    assert_close(sam_sharpness(sam, DATA, RHO), expected, 1e-9)


@pytest.mark.parametrize("adaptive", [False, True])
def test_average_of_a_quadratic(adaptive):
    # L = mean((x w)^2): E[L(w + e)] - L(w) = rho^2 tr(T H T) / 2 exactly, H = diag(4, 1).
    net, data = linear([2.0, -1.0], np.diag([2.0, 1.0]))
    scale = np.array([2.01, 1.01]) if adaptive else np.ones(2)
    expected = RHO**2 * (np.array([4.0, 1.0]) * scale**2).sum() / 2
    estimate = average_sharpness(net, data, RHO, num_samples=500, adaptive=adaptive)
    assert estimate.standard_error < 0.2 * expected
    assert abs(estimate.value - expected) < 4 * estimate.standard_error


def test_average_is_fixed_by_the_seed(model):
    first, second = (average_sharpness(model, DATA, RHO, seed=1, num_samples=3) for _ in range(2))
    assert first == second
    assert first != average_sharpness(model, DATA, RHO, seed=2, num_samples=3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rho": -0.1}, ValueError, r"`rho` must be finite and >= 0. Received: `rho=-0.1`"),
        ({"rho": "big"}, TypeError, r"`rho` must be a number. Received: `rho='big'`"),
        ({"steps": 0}, ValueError, r"`steps` must be >= 1. Received: `steps=0`"),
        ({"m": 0}, ValueError, r"`m` must be >= 1. Received: `m=0`"),
        ({"m": 2.0}, TypeError, r"`m` must be an int >= 1. Received: `m=2.0`"),
        ({"m": True}, TypeError, r"`m` must be an int"),
        ({"adaptive": "no"}, TypeError, r"`adaptive` must be a bool.*'no'"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        sam_sharpness(model, DATA, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_samples": 1}, ValueError, r"`num_samples` must be >= 2. Received"),
        ({"seed": None}, TypeError, r"`seed` must be an int >= 0.*None"),
        ({"seed": True}, TypeError, r"`seed` must be an int >= 0.*True"),
        ({"adaptive": None}, TypeError, r"`adaptive` must be a bool"),
        ({"rho": float("nan")}, ValueError, r"`rho` must be finite"),
        ({"rho": 10**400}, ValueError, r"`rho` must be finite"),
    ],
)
def test_bad_arguments_of_the_average(model, arguments, error, message):
    with pytest.raises(error, match=message):
        average_sharpness(model, DATA, **arguments)
