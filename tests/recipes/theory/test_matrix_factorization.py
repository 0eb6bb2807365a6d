"""Matrix factorisation: the optimum, gradients, one step by hand, which runs reach it."""

import numpy as np
import pytest
import scipy.linalg

from recipes.theory.matrix_factorization import (
    gradient,
    loss,
    optimal_loss,
    sam_step,
    squared_norm,
    two_cycle,
)
from recipes.theory.matrix_factorization.measure import (
    Problem,
    Setting,
    decades_per_epoch,
    measure,
)


@pytest.fixture(scope="module")
def problem():
    return Problem.drawn(rank=3, examples=50, seed=0)


def test_optimum_is_what_the_singular_values_in_the_data_s_metric_leave(problem):
    covariance = problem.inputs.T @ problem.inputs / 50
    values = scipy.linalg.svdvals(problem.target @ scipy.linalg.sqrtm(covariance))
    expected = [(values[k:] ** 2).sum() / 2 for k in (1, 3, 5, 6, 10)]
    found = optimal_loss(problem.target, problem.inputs, [1, 3, 5, 6, 10])
    np.testing.assert_allclose(found, expected, atol=1e-14)
    # One example, as lists: a matrix of rank 1 maps it where A does.
    assert optimal_loss([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0]], 1) == pytest.approx(0, abs=1e-14)
    assert found[2] > 1e-3
    assert found[3] < 1e-14
    # In the metric of the data, not in that of A: another distribution, another optimum.
    plain = scipy.linalg.svdvals(problem.target)
    assert abs(found[1] - (plain[3:] ** 2).sum() / 2) > 1e-3


def test_gradient_descent_comes_to_the_optimum_and_not_below(problem):
    covariance = problem.inputs.T @ problem.inputs / 50
    factors = (problem.first, problem.second)
    for _ in range(4000):
        factors = sam_step(factors, problem.target, covariance, 0.3, np.zeros(()), np.array(False))
    gap = loss(factors, problem.target, covariance) - optimal_loss(
        problem.target, problem.inputs, 3
    )
    assert -1e-14 < gap < 1e-9


def test_loss_is_the_mean_over_examples(problem):
    x = problem.inputs.T
    error = problem.second @ problem.first @ x - problem.target @ x
    expected = (error**2).sum(axis=0).mean() / 2
    covariance = x @ x.T / 50
    assert loss((problem.first, problem.second), problem.target, covariance) == pytest.approx(
        expected
    )


def test_gradient_against_finite_differences(problem):
    covariance = problem.inputs.T @ problem.inputs / 50
    factors = (problem.first, problem.second)
    found = gradient(factors, problem.target, covariance)
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = [rng.normal(size=part.shape) for part in factors]
        ahead, behind = (
            loss(tuple(p + h * d for p, d in zip(factors, direction)), problem.target, covariance)
            for h in (1e-5, -1e-5)
        )
        slope = sum((g * d).sum() for g, d in zip(found, direction))
        assert (ahead - behind) / 2e-5 == pytest.approx(slope, rel=1e-7)


def test_many_at_once_are_each_alone():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 6, 4))
    target, covariance = rng.normal(size=(6, 5)), np.diag(rng.random(5))
    found = gradient((first, second), target, covariance)
    losses = loss((first, second), target, covariance)
    for place in np.ndindex(2, 3):
        alone_loss = loss((first[place], second[place]), target, covariance)
        assert losses[place] == pytest.approx(alone_loss, rel=1e-13)
        alone = gradient((first[place], second[place]), target, covariance)
        for many, one in zip(found, alone):
            np.testing.assert_allclose(many[place], one, rtol=1e-13)


def test_one_step_of_each_kind_by_hand():
    """W_1 = 2, W_2 = 1, A = 1, C = 1: D = 1, g = (1, 2), ||g||^2 = 5."""
    factors = (np.full((3, 1, 1), 2.0), np.full((3, 1, 1), 1.0))
    one = np.ones((3, 1, 1))
    assert squared_norm(gradient(factors, one, one)).tolist() == [5, 5, 5]
    after = sam_step(
        factors, one, one, 0.1, np.array([0.0, 0.5, 5**0.5]), np.array([False, False, True])
    )
    # Moved to (2, 1); (2.5, 2), where D = 4, h = (8, 10); and (3, 3), where D = 8, h = (24, 24).
    np.testing.assert_allclose(after[0].ravel(), [1.9, 1.2, -0.4])
    np.testing.assert_allclose(after[1].ravel(), [0.8, 0.0, -1.4])
    # C = 2: D = 2, g = (2, 4), to (3, 3), where D = 16, h = (48, 48).
    two = sam_step(factors, one, 2 * one, 0.1, np.full(3, 0.5), np.full(3, False))
    np.testing.assert_allclose(np.ravel(two), [-2.8] * 3 + [-3.8] * 3)


def test_runs_together_are_runs_alone():
    settings = [
        Setting(rank=rank, step=step, rho=0.1, epochs=4, examples=100, seed=seed)
        for rank in (2, 6)
        for seed in (0, 1)
        for step in ("SGD", "unnormalised", "normalised")
    ]
    together = dict(measure(settings))
    assert len(together) == len(settings)
    for setting in settings:
        ((_, alone),) = measure([setting])
        np.testing.assert_allclose(together[setting]["curve"], alone["curve"], rtol=1e-9)


def test_interpolation_decides_and_normalised_sam_stalls():
    settings = [
        Setting(rank=rank, step=step, rho=0.1)
        for rank in (4, 10)
        for step in ("SGD", "unnormalised", "normalised")
    ]
    found = {(s.rank, s.step): values for s, values in measure(settings)}
    end = {key: values["curve"][-1] for key, values in found.items()}
    assert all(len(values["curve"]) == 61 for values in found.values())
    assert end[10, "SGD"] < 1e-25
    assert end[10, "unnormalised"] < 1e-25
    assert 1e-8 < end[10, "normalised"] < 1e-3
    assert all(end[4, step] > 1e-6 for step in ("SGD", "unnormalised", "normalised"))
    assert decades_per_epoch(found[10, "unnormalised"]["curve"]) < -0.5
    assert abs(decades_per_epoch(found[10, "normalised"]["curve"])) < 0.05
    # PL: along every path the gradient bounds the distance to the optimum.
    assert all(0 < values["pl_least"] < values["pl_most"] < 30 for values in found.values())


def test_decades_by_hand():
    assert decades_per_epoch(10.0 ** -np.arange(10)) == pytest.approx(-1)
    # Once it is rounding it no longer counts.
    assert decades_per_epoch([*10.0 ** (-2.0 * np.arange(12)), *[1e-30] * 50]) == pytest.approx(-2)


@pytest.mark.parametrize("curvature", [1.0, 3.0])
def test_normalised_sam_ends_in_the_two_cycle(curvature):
    eta, rho, x = 0.5 / curvature, 0.1, 0.7
    for _ in range(200):
        x -= eta * curvature * (x + rho * np.sign(x))
    assert abs(x) == pytest.approx(1 / 30, rel=1e-12)
    assert two_cycle(curvature, eta, rho) == pytest.approx(1 / 30, rel=1e-12)
    assert two_cycle([curvature], [eta], [0.1, 0.2]) == pytest.approx([1 / 30, 1 / 15])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rank": 0}, "rank"),
        ({"step": "Adam"}, "step"),
        ({"step": "normalised", "rho": 0.0}, "rho"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 2000}, "examples"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_settings(changes, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        Setting(**changes)


def test_bad_arguments():
    target, inputs = np.ones((2, 3)), np.ones((5, 3))
    for arguments, name in (
        ((target[0], inputs, 1), "target.shape"),
        ((target, inputs[:, :2], 1), "inputs.shape"),
        ((target, inputs[:0], 1), "inputs.shape"),
        ((target, inputs, 0), "rank"),
        ((target, inputs, 1.5), "rank"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            optimal_loss(*arguments)
    with pytest.raises(ValueError, match="`eta` must be"):
        two_cycle(1.0, 1.5, 0.1)
