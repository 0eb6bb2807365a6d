"""ReLU regression: functions by hand, the Hessian by differences, SAMModel against NumPy."""

import keras
import numpy as np
import pytest

from recipes.theory.relu_regression.function import (
    Weights,
    barrier,
    evaluate,
    gradient,
    hessian,
    initial,
    kinks,
    largest_eigenvalue,
    loss,
    slope_changes,
    total_variation,
)
from recipes.theory.relu_regression.measure import Setting, data, measure, network, weights_of


def net(w, b, a, c=0.0):
    return Weights(np.array(w, float), np.array(b, float), np.array(a, float), c)


def test_total_variation_by_hand():
    # Kinks at 0 and at .5, of slopes 2 and -2.
    two = net([2, 2], [0, -1], [1, -1])
    assert total_variation(two) == 4
    assert kinks(two) == 2
    # A kink outside of [-1, 1] and one at infinity do not count.
    assert total_variation(net([2, 1, 0], [0, -3, 1], [1, 5, 5])) == 2
    # .01 apart and of opposite sign: they cancel.
    assert total_variation(net([1, 1], [0, -0.01], [1, -1])) == 0
    assert slope_changes(net([1, 1], [0, -0.03], [1, -1])).tolist() == [1, -1]
    # A hundredth of the whole, or less, is no kink.
    for changes in ([1, 0.005], [100, 0.5], [99, 1]):
        assert kinks(net([1, 1], [0, -0.5], changes)) == 1
    assert kinks(net([1, 1], [0, -0.5], [98, 1])) == 2
    # At the end of the interval, and beyond it; as far apart as the nearest that are two.
    assert total_variation(net([1, 1], [-1, -1.5], [3, 5])) == 3
    assert slope_changes(net([1, 1], [0, -0.02], [1, -1])).tolist() == [1, -1]


def test_initial_weights_are_one_draw():
    w, b, a = np.random.default_rng([3, 0]).normal(size=(3, 16))
    np.testing.assert_array_equal(initial(16, seed=3).flat(), [*w, *b, *(a / 4), 0])


def test_at_a_kink_a_neuron_is_not_active():
    """As in the frameworks: relu'(0) = 0. f = relu(x) at x = 0, y = -1: the residual is 1."""
    weights, x, y = net([1], [0], [1]), np.zeros(1), -np.ones(1)
    assert gradient(weights, x, y).tolist() == [0, 0, 0, 1]
    assert hessian(weights, x, y).tolist() == np.diag([0.0, 0, 0, 1]).tolist()


def test_total_variation_is_one_of_the_function_not_of_the_weights():
    weights = initial(20, seed=0)
    expected = total_variation(weights)
    order = np.random.default_rng(0).permutation(20)
    assert total_variation(
        Weights(weights.w[order], weights.b[order], weights.a[order], 3.0)
    ) == pytest.approx(expected)
    scale = np.random.default_rng(1).uniform(0.1, 10, 20)
    scaled = Weights(weights.w * scale, weights.b * scale, weights.a / scale, 0.0)
    assert total_variation(scaled) == pytest.approx(expected)
    # And the second differences of f on a grid, where no kinks were merged.
    sparse = net([1, -2, 3], [0.1, 1, -1.5], [1, -0.5, 0.7])
    second = np.diff(evaluate(sparse, np.linspace(-1, 1, 2001)), 2)
    assert np.abs(second).sum() / 0.001 == pytest.approx(total_variation(sparse), rel=1e-9)


def test_gradient_and_hessian_against_finite_differences():
    weights = initial(5, seed=1)
    x, y = data(Setting())
    flat, h = weights.flat(), 1e-6
    numeric, numeric_hessian = [], []
    for step in h * np.eye(len(flat)):
        ahead, behind = Weights.of(flat + step), Weights.of(flat - step)
        numeric.append((loss(ahead, x, y) - loss(behind, x, y)) / (2 * h))
        numeric_hessian.append((gradient(ahead, x, y) - gradient(behind, x, y)) / (2 * h))
    np.testing.assert_allclose(gradient(weights, x, y), numeric, atol=1e-8)
    np.testing.assert_allclose(hessian(weights, x, y), numeric_hessian, atol=1e-7)
    assert largest_eigenvalue(weights, x, y) == pytest.approx(
        np.linalg.eigvalsh(np.array(numeric_hessian))[-1], abs=1e-6
    )


def test_barrier_by_hand():
    """f = c, y = 0: c = -1 and 1 have the loss .5, and 0 between; with y = 0 and a hill, none."""
    x, y = np.zeros(1), np.zeros(1)
    assert barrier(net([0], [0], [0], -1), net([0], [0], [0], 1), x, y) == pytest.approx(0)
    # a relu(w) = a w: (2, 0) and (0, 2) have the loss 0, (1, 1) has .5.
    one, other = net([2], [0], [0]), net([0], [0], [2])
    assert barrier(one, other, np.ones(1), np.zeros(1)) == pytest.approx(0.5)
    # With y = 1 the loss falls between them, from .5 to 0.
    assert barrier(one, other, np.ones(1), np.ones(1)) == pytest.approx(0)


def steps_in_numpy(setting, count):
    x, y = data(setting)
    flat = initial(setting.neurons, setting.seed).flat()
    for _ in range(count):
        g = gradient(Weights.of(flat), x, y)
        e = setting.rho * g / (np.linalg.norm(g) + 1e-12)
        flat = flat - setting.learning_rate * gradient(Weights.of(flat + e), x, y)
    return flat


def test_runs_through_sam_model_are_those_in_numpy():
    """500 steps in float64, with numbers that float32, in which Keras holds them, has exactly."""
    settings = [
        Setting(neurons=6, rho=rho, steps=500, learning_rate=2**-7, seed=seed)
        for rho in (0.0, 2**-4)
        for seed in (0, 1)
    ]
    # PyTorch: Keras divides the loss by the number of examples in float32. JAX: all is in float32.
    atol = {"tensorflow": 1e-11, "torch": 1e-7, "jax": 2e-3}[keras.backend.backend()]
    found = dict(measure(settings))
    assert set(found) == set(settings)
    for setting in settings:
        np.testing.assert_allclose(
            found[setting]["weights"],
            steps_in_numpy(setting, 500),
            rtol=0,
            atol=atol,
        )
        weights = Weights.of(np.array(found[setting]["weights"]))
        assert found[setting]["total_variation"] == total_variation(weights)
    assert found[settings[0]]["weights"] != found[settings[2]]["weights"]


def test_network_is_the_function():
    model = network(4, seed=3)
    weights = weights_of(model)
    np.testing.assert_allclose(weights.flat(), initial(4, seed=3).flat(), rtol=1e-6)
    x = np.linspace(-1, 1, 7)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(x[:, None]))[:, 0], evaluate(weights, x), atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"neurons": 0}, "neurons"),
        ({"rho": -1.0}, "rho"),
        ({"target": "square"}, "target"),
        ({"points": 1}, "points"),
        ({"steps": 100}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        Setting(**changes)
