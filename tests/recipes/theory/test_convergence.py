"""Theorem 7/12: by hand, against every batch of problems that can be solved exactly, its lemmas."""

import itertools

import numpy as np
import pytest

from recipes.theory.convergence import (
    PROBLEMS,
    constants,
    exact_factor,
    expected_losses,
    factor,
    largest_rho,
    largest_step_size,
    problem,
    step_size,
)
from recipes.theory.stability import ensemble

EXAMPLE = {"alpha": 0.5, "beta": 1.0}


def test_numbers_by_hand():
    # B = 1: kappa = 1. B = 2: kappa = (.25 + 1) / 2 = .625.
    assert largest_rho(**EXAMPLE, batch_size=[1, 2]) == pytest.approx([0.4, 1 / 1.75])
    example = {**EXAMPLE, "smoothness": 0.25}
    assert step_size(**example, batch_size=1, rho=[0, 0.2]) == pytest.approx([1, 0.25 / 0.72])
    assert factor(**example, batch_size=1, rho=[0, 0.2]) == pytest.approx(
        [0.75, 0.956597], abs=1e-6
    )
    assert step_size(**example, batch_size=2, rho=0) == pytest.approx(1.6)
    assert factor(**example, batch_size=2, rho=0) == pytest.approx(0.6)
    # rho .2, eta .1: c1 = .5 - 1.25 * .2, c2 = .25 * 1.44.
    assert factor(**example, batch_size=1, rho=0.2, eta=0.1) == pytest.approx(1 - 0.025 + 0.0036)
    # B = 2, rho .2: c1 = .5 - .875 * .2, c2 = .25 * .625 * 1.44.
    assert factor(**example, batch_size=2, rho=0.2, eta=0.1) == pytest.approx(1 - 0.0325 + 0.00225)
    # Bracket: 1 - .1 * 1.5 = .85 against .125 * 1.44 * .5 = .09.
    assert largest_step_size(1.0, 0.25, 2, 0.2) == pytest.approx(0.85 / 0.09)
    assert largest_step_size(1.0, 0.25, [1, 1, 2], [2.0, 2.1, 2.0]).tolist() == [np.inf, 0, 0]


def test_lists_are_arrays():
    assert largest_step_size(1.0, [0.25, 0.5], 2, [0.0, 0.0]).tolist() == [16, 8]
    found = factor(0.5, 1.0, 0.25, 1, [0.0, 0.2], eta=[1.0, 0.1])
    assert found == pytest.approx([0.75, 1 - 0.025 + 0.0036])


def test_the_best_step_is_best_and_is_covered_for_every_admissible_rho():
    rng = np.random.default_rng(0)
    beta = rng.uniform(0.1, 10, (200, 1))
    smoothness = beta * rng.uniform(0.05, 1, (200, 1))
    alpha = 2 * smoothness * rng.uniform(0.001, 1, (200, 1))
    batch_size = rng.integers(1, 20, (200, 1))
    rho = largest_rho(alpha, beta, batch_size) * np.linspace(0, 0.999, 11)
    known = (alpha, beta, smoothness, batch_size, rho)
    best = step_size(*known)
    assert best.shape == (200, 11)
    assert (best <= largest_step_size(beta, smoothness, batch_size, rho)).all()
    bound = factor(*known)
    assert ((bound >= 0) & (bound < 1)).all()
    for scale in (0.9, 1.1):
        eta = np.minimum(scale * best, largest_step_size(beta, smoothness, batch_size, rho))
        assert (factor(*known, eta) >= bound).all()


def cases():
    for kind in PROBLEMS:
        for examples, dimension in ((4, 4), (6, 8), (5, 3), (4, 2)):
            if kind != "orthogonal" or dimension >= examples:
                for seed in range(2):
                    yield problem(kind, examples, dimension, seed)
    # One example sharper than the others: H has another shape than each H_i.
    yield from (ensemble("heavy", 6, 3, seed) for seed in range(2))


def test_no_step_on_least_squares_is_worse_than_the_bound():
    checks = 0
    for hessians in cases():
        alpha, beta, smoothness = constants(hessians)
        for batch_size in (1, 2, 3):
            rho = largest_rho(alpha, beta, batch_size) * np.array([0, 0.25, 0.5, 0.9])[:, None]
            known = (alpha, beta, smoothness, batch_size, rho)
            eta = step_size(*known) * [0.1, 0.5, 1, 2, 5, 20, 100]
            eta = np.minimum(eta, largest_step_size(*known[1:]))
            exact, bound = exact_factor(hessians, eta, rho, batch_size), factor(*known, eta)
            assert (exact <= bound * (1 + 1e-9)).all()
            checks += exact.size
    assert checks > 2000


@pytest.mark.parametrize(
    ("examples", "factors"), [(4, [3 / 4, 3 / 5, 1 / 2]), (6, [5 / 6, 5 / 7, 5 / 8])]
)
def test_the_bound_is_an_equality_for_sgd_on_orthogonal_rows(examples, factors):
    hessians = problem("orthogonal", examples, 7, seed=1)
    alpha, beta, smoothness = constants(hessians)
    assert (alpha, beta, smoothness) == pytest.approx((2 / examples, 1, 1 / examples))
    for batch_size, expected in enumerate(factors, start=1):
        known = (alpha, beta, smoothness, batch_size, 0.0)
        assert factor(*known) == pytest.approx(expected, rel=1e-9)
        exact = exact_factor(hessians, step_size(*known), 0.0, batch_size)
        assert exact == pytest.approx(expected, rel=1e-9)


def test_the_bound_is_approached_by_sam_with_large_steps():
    """At a large step all is in c2, with its (1 + beta rho)^2."""
    hessians = problem("orthogonal", 4, 4, seed=0)
    known = (*constants(hessians), 1)
    rho = 0.5 * largest_rho(known[0], known[1], 1)
    eta = step_size(*known, rho) * np.array([1e2, 1e4])
    ratio = exact_factor(hessians, eta, rho) / factor(*known, rho, eta)
    assert 0.95 < ratio[0] < ratio[1] < 1
    assert ratio[1] > 0.9995


def test_exact_factor_and_losses_against_every_batch():
    hessians = problem("rows", 4, 3, seed=2)
    hessian = hessians.mean(axis=0)
    eta, rho = 0.05, 0.1
    start = np.array([1.0, -2.0, 0.5])
    for batch_size in (1, 2, 3):
        steps = []
        for batch in itertools.product(range(4), repeat=batch_size):
            h = hessians[list(batch)].mean(axis=0)
            steps.append(np.eye(3) - eta * (h + rho * h @ h))
        after = np.mean([a @ hessian @ a for a in steps], axis=0)
        # The largest of random directions is below the largest of all, and near it.
        x = np.random.default_rng(0).normal(size=(3, 20000))
        ratios = (x * (after @ x)).sum(axis=0) / (x * (hessian @ x)).sum(axis=0)
        found = exact_factor(hessians, eta, rho, batch_size)
        assert found * 0.999 < ratios.max() <= found * (1 + 1e-12)

        losses = expected_losses(hessians, start, eta, rho, batch_size, steps=2)
        twice = np.mean([b @ a @ hessian @ a @ b for a in steps for b in steps], axis=0)
        expected = [start @ matrix @ start / 2 for matrix in (hessian, after, twice)]
        assert losses == pytest.approx(expected, rel=1e-12)


def test_whole_trajectories_are_below_the_bound_and_on_it_where_it_is_an_equality():
    hessians = problem("orthogonal", 4, 4, seed=0)
    known = (*constants(hessians), 1)
    for rho in (0.0, 0.5 * float(largest_rho(*known[:2], 1))):
        eta = float(step_size(*known, rho))
        losses = expected_losses(hessians, np.ones(4), eta, rho, 1, steps=100)
        bound = losses[0] * factor(*known, rho) ** np.arange(101)
        assert (losses <= bound * (1 + 1e-9)).all()
        if rho == 0:
            assert losses == pytest.approx(bound, rel=1e-9)


def bent(x):
    """A slope that rises, falls and rises: beta = lambda = 1; its integral from 0."""
    slope = np.where(x < 1, x, np.where(x < 1.5, 2 - x, x - 1))
    first = np.minimum(x, 1) ** 2 / 2
    second = (1 - (2 - np.clip(x, 1, 1.5)) ** 2) / 2
    third = ((np.maximum(x, 1.5) - 1) ** 2 - 0.25) / 2
    return slope, first + second + third


def test_lemma_10_is_an_equality_where_the_slope_falls():
    x = np.array([1.01, 1.07, 1.13, 1.19, 1.25])
    g, _ = bent(x)
    sam, _ = bent(x + 0.2 * g)
    assert sam * g == pytest.approx([0.78408, 0.69192, 0.60552, 0.52488, 0.45])
    assert sam * g == pytest.approx(g * g - 0.2 / 2 * (g * g + g * g), rel=1e-12)


def test_lemma_11_is_an_equality_for_a_parabola():
    curvature, rho, x = 1.5, 0.2, 0.7
    g = curvature * x
    sam = curvature * (x + rho * g)
    assert sam**2 == pytest.approx(1.863225)
    assert sam**2 == pytest.approx((1 + curvature * rho) ** 2 * g**2)


def test_the_bound_holds_where_the_function_is_not_convex():
    x = np.linspace(1e-3, 4, 4001)
    slope, value = bent(x)
    alpha = (slope**2 / value).min()
    assert alpha == pytest.approx(2 / 7, rel=1e-2)  # At 1.5: .25 / .875; the grid is coarse.
    rho = 0.9 * largest_rho(2 / 7, 1, 1)
    for scale in (0.1, 1, 10):
        eta = scale * step_size(2 / 7, 1, 1, 1, rho)
        after = bent(np.abs(x - eta * bent(x + rho * slope)[0]))[1]  # Even, as f is meant to be.
        assert (after <= factor(2 / 7, 1, 1, 1, rho, eta) * value * (1 + 1e-12)).all()


def test_with_cauchy_and_schwarz_the_range_of_rho_is_wider():
    """The remark in the module's docstring, on least squares."""
    for hessians in cases():
        alpha, beta, smoothness = constants(hessians)
        limit = np.sqrt(alpha / (2 * beta)) / beta
        assert limit >= largest_rho(alpha, beta, 1)
        rho = limit * np.array([0.1, 0.5, 0.9])
        c1 = alpha - beta * rho * np.sqrt(2 * alpha * beta)
        c2 = smoothness * beta * (1 + beta * rho) ** 2
        eta = c1 / (2 * c2)
        bound = 1 - c1 * eta + c2 * eta**2
        assert (exact_factor(hessians, eta, rho) <= bound * (1 + 1e-9)).all()
    # alpha / beta = .01: seven times the range.
    assert np.sqrt(0.01 / 2) / largest_rho(0.01, 1, 1) == pytest.approx(7.1, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 0.6}, "alpha"),
        ({"beta": np.nan}, "beta"),
        ({"smoothness": 1.5}, "smoothness"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"rho": -0.1}, "rho"),
        ({"rho": 0.4}, "rho"),
        ({"rho": [0.1, np.inf]}, "rho"),
        ({"eta": 0.0}, "eta"),
        ({"rho": 2.1, "eta": 0.1}, "eta"),
    ],
)
def test_bad_input(changes, name):
    arguments = {"alpha": 0.5, "beta": 1.0, "smoothness": 0.25, "batch_size": 1, "rho": 0.0}
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: `{name}="):
        factor(**{**arguments, **changes})


def test_errors_say_what_is_allowed():
    with pytest.raises(ValueError, match="`alpha` must be at most 2 `smoothness`, 0.5. Received"):
        factor(0.6, 1.0, 0.25, 1, 0.0)
    with pytest.raises(ValueError, match="`smoothness` must be at most `beta`, 1.0. Received"):
        factor(0.6, 1.0, 1.5, 1, 0.0)


def test_a_step_just_beyond_what_is_proven():
    largest = float(largest_step_size(1.0, 0.25, 2, 0.0))
    assert largest == 16.0
    assert np.isfinite(factor(0.5, 1.0, 0.25, 2, 0.0, eta=largest))
    with pytest.raises(ValueError, match="`eta` must be at most `largest_step_size`"):
        factor(0.5, 1.0, 0.25, 2, 0.0, eta=1.001 * largest)


def test_constants_by_hand():
    hessians = np.array([np.diag(d) for d in ([4.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0.5, 0])])
    # H = diag(4, 2, .5) / 3 on its range.
    assert constants(hessians) == pytest.approx((1 / 3, 4, 4 / 3))


@pytest.mark.parametrize(
    ("kind", "rank"), [("rows", 1), ("equal", 1), ("orthogonal", 1), ("outputs", 2)]
)
def test_problems(kind, rank):
    hessians = problem(kind, 3, 5, seed=0)
    assert hessians.shape == (3, 5, 5)
    assert (np.linalg.matrix_rank(hessians) == rank).all()
    traces = np.trace(hessians, axis1=1, axis2=2)
    if kind in ("equal", "orthogonal"):
        assert traces == pytest.approx([1, 1, 1])
    else:
        assert np.ptp(traces) > 0.1


def test_bad_problems():
    with pytest.raises(ValueError, match="`kind`"):
        problem("column", 4, 4, seed=0)
    with pytest.raises(ValueError, match="`dimension`"):
        problem("orthogonal", 4, 3, seed=0)
