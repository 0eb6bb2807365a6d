"""Linear stability: closed forms, every batch, the recursion, Eq. 7 with its counterexample."""

import itertools

import numpy as np
import pytest

from recipes.theory.stability import (
    KINDS,
    bounds,
    critical_step,
    ensemble,
    expectation,
    expected_square,
    limits,
    moments,
    on_range,
    second_moment_operator,
    uncentred,
)
from recipes.theory.stability.bounds import Bound, largest

TWO_POINT = np.array([[[0.0]], [[1.0]]])


def batches(hessians, batch_size):
    return np.array(
        [
            hessians[list(batch)].mean(axis=0)
            for batch in itertools.product(range(len(hessians)), repeat=batch_size)
        ]
    )


def steps(hessians, eta, rho, batch_size):
    """A, for each batch."""
    h = batches(hessians, batch_size)
    return np.eye(h.shape[-1]) - eta * (h + rho * h @ h)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5])
def test_moments_and_operator_are_means_over_every_batch(batch_size):
    hessians = ensemble("wishart", 4, 3, seed=0)
    every = batches(hessians, batch_size)
    for k, moment in enumerate(moments(hessians, batch_size), start=1):
        expected = np.mean([np.linalg.matrix_power(h, k) for h in every], axis=0)
        np.testing.assert_allclose(moment, expected, rtol=1e-12)
    eta, rho = 0.3, 0.4
    a = steps(hessians, eta, rho, batch_size)
    np.testing.assert_allclose(
        expected_square(hessians, eta, rho, batch_size), (a @ a).mean(axis=0), rtol=1e-11
    )
    np.testing.assert_allclose(
        second_moment_operator(hessians, eta, rho, batch_size),
        np.mean([np.kron(x, x) for x in a], axis=0),
        rtol=1e-10,
        atol=1e-14,
    )


def test_a_batch_has_one_example_unless_told_otherwise():
    for found in (moments([[[0.0]], [[1.0]]]), moments(TWO_POINT, 1), moments(TWO_POINT, 1, 4)):
        np.testing.assert_allclose(found, np.full((4, 1, 1), 0.5))


def test_arrays_of_steps_and_radii_give_a_matrix_each():
    hessians = ensemble("wishart", 4, 2, seed=0)
    eta, rho = np.array([0.1, 0.2, 0.3]), np.array([[0.0], [0.5]])
    for function in (expected_square, second_moment_operator):
        found = function(hessians, eta, rho)
        assert found.shape[:2] == (2, 3)
        for i, j in itertools.product(range(2), range(3)):
            alone = function(hessians, eta[j], rho[i, 0])
            np.testing.assert_allclose(found[i, j], alone, rtol=1e-13)


def test_moments_of_large_batches_are_those_of_the_mean():
    hessians = ensemble("rank1", 5, 3, seed=1)
    for k, moment in enumerate(moments(hessians, 10**7), start=1):
        mean = np.linalg.matrix_power(hessians.mean(axis=0), k)
        np.testing.assert_allclose(moment, mean, rtol=1e-5)


def test_the_two_ways_to_write_condition_6():
    for kind, batch_size in itertools.product(KINDS, (1, 2, 7)):
        hessians = ensemble(kind, 5, 3, seed=2)
        eta, rho = 0.2, 0.3
        h, m_2, m_3, m_4 = moments(hessians, batch_size)
        square = np.linalg.matrix_power
        one = np.eye(len(h))
        centred = (
            square(one - eta * h - eta * rho * m_2, 2)
            + eta**2 * (m_2 - h @ h)
            + 2 * eta**2 * rho * (m_3 - (h @ m_2 + m_2 @ h) / 2)
            + (eta * rho) ** 2 * (m_4 - m_2 @ m_2)
        )
        powers = (
            square(one - eta * h - eta * rho * h @ h, 2)
            + eta * (eta - 2 * rho) * (m_2 - h @ h)
            + 2 * eta**2 * rho * (m_3 - square(h, 3))
            + (eta * rho) ** 2 * (m_4 - square(h, 4))
        )
        found = expected_square(hessians, eta, rho, batch_size)
        np.testing.assert_allclose(centred, found, atol=1e-12)
        np.testing.assert_allclose(powers, found, atol=1e-12)


def test_without_rho_it_is_sgd():
    hessians = ensemble("commuting", 6, 1, seed=0)
    h = hessians.ravel()
    expected = (1 - 0.4 * h.mean()) ** 2 + 0.4**2 * h.var()
    assert expected_square(hessians, 0.4, 0.0).item() == pytest.approx(expected)
    assert second_moment_operator(hessians, 0.4, 0.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("exact", [True, False])
def test_critical_step_in_closed_form(exact):
    rho = np.array([[0.0, 0.1], [1.0, 10.0]])
    # H in {0, 1}: E[G] = E[G^2] / (1 + rho) = (1 + rho) / 2.
    np.testing.assert_allclose(
        critical_step(TWO_POINT, rho, exact=exact), 2 / (1 + rho), rtol=1e-12
    )
    # All alike: the edge of stability of the sharpest direction, whatever the batch.
    hessians = np.array([np.diag([3.0, 0.5])] * 4)
    for batch_size in (1, 2, 8):
        found = critical_step(hessians, rho, batch_size, exact=exact)
        np.testing.assert_allclose(found, 2 / (3 * (1 + 3 * rho)), rtol=1e-12)
    assert critical_step(np.zeros((2, 3, 3)), 0.1, exact=exact) == np.inf
    assert critical_step(TWO_POINT, 0.0, exact=exact).shape == ()


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e8])
def test_the_null_space_is_found_in_every_unit(unit):
    """Two examples in three dimensions; 1 / unit is what steps are measured in."""
    hessians = ensemble("rank1", 2, 3, seed=0)
    assert on_range(unit * hessians).shape == (2, 2, 2)
    for exact in (True, False):
        expected = critical_step(hessians, 0.3, exact=exact) / unit
        found = critical_step(unit * hessians, 0.3 / unit, exact=exact)
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_critical_step_is_where_the_spectral_radius_passes_1(kind):
    for seed, rho, batch_size in itertools.product(range(2), (0.0, 0.3), (1, 2)):
        hessians = on_range(ensemble(kind, 6, 3, seed))
        exact, condition = (critical_step(hessians, rho, batch_size, e) for e in (True, False))
        assert condition <= exact * (1 + 1e-12)
        for scale, below in ((1 - 1e-6, True), (1 + 1e-6, False)):
            operator = second_moment_operator(hessians, scale * exact, rho, batch_size)
            assert (np.abs(np.linalg.eigvals(operator)).max() < 1) == below
            square = expected_square(hessians, scale * condition, rho, batch_size)
            assert (largest(square) < 1) == below
        if kind in ("uniform", "commuting", "two_point"):
            assert condition == pytest.approx(exact, rel=1e-10)
        # The mean alone promises more: with the stronger and the weaker of the two bounds.
        h, m_2, *_ = moments(hessians, batch_size)
        mean, sharpest = largest(h + rho * m_2), largest(h)
        assert exact <= 2 / mean * (1 + 1e-12)
        assert mean >= sharpest * (1 + rho * sharpest) * (1 - 1e-12)


def test_where_examples_are_fewer_than_weights_the_null_space_does_not_decide():
    a = np.random.default_rng(4).normal(size=(3, 5))
    hessians = a[:, :, None] * a[:, None]
    assert critical_step(hessians, 0.0) == pytest.approx(0.3417, abs=5e-5)
    # In an orthonormal basis of the rows' span, 3 x 3 matrices of full rank, it is the same.
    basis = np.linalg.qr(a.T)[0]
    inside = basis.T @ hessians @ basis
    operator = (
        second_moment_operator(inside, 0.34172, 0.0),
        second_moment_operator(inside, 0.34173, 0),
    )
    radii = [np.abs(np.linalg.eigvals(matrix)).max() for matrix in operator]
    assert radii[0] < 1 < radii[1]
    # What rounding would decide otherwise: on all of R^5 the radius is 1 at every smaller step.
    for eta in (1e-3, 0.1, 0.3):
        radius = np.abs(np.linalg.eigvals(second_moment_operator(hessians, eta, 0.0))).max()
        assert radius == pytest.approx(1, abs=1e-12)
    for rho, exact in itertools.product((0.0, 0.1), (True, False)):
        found = critical_step(hessians, rho, 2, exact)
        assert found == pytest.approx(critical_step(inside, rho, 2, exact), rel=1e-9)


def test_simulated_runs_agree_with_the_operator():
    hessians = ensemble("rank1", 6, 3, seed=0)
    eta, rho, runs = 0.5 * critical_step(hessians, 0.1), 0.1, 40_000
    rng = np.random.default_rng(0)
    x = np.ones((runs, 3))
    a = steps(hessians, eta, rho, 1)
    moment = np.ones(9)
    for _ in range(10):
        x = np.einsum("nij,nj->ni", a[rng.integers(6, size=runs)], x)
        moment = second_moment_operator(hessians, eta, rho) @ moment
    squares = (x**2).sum(axis=1)
    error = squares.std() / np.sqrt(runs)
    assert abs(squares.mean() - moment.reshape(3, 3).trace()) < 4 * error


def test_limits_by_hand():
    rho = np.array([0, 0.01, 0.03, 0.1, 0.3])
    found = limits(0.1, rho)
    np.testing.assert_allclose(found["lambda_max"], [20, 17.082, 14.065, 10, 6.667], rtol=1e-4)
    np.testing.assert_allclose(found["s_2"], 10)
    np.testing.assert_allclose(found["s_3"], [np.inf, 17.10, 11.86, 7.94, 5.50], rtol=1e-3)
    np.testing.assert_allclose(found["s_4"], [np.inf, 31.62, 18.26, 10, 5.77], rtol=1e-3)
    # As a tiny rho becomes 0.
    assert limits(0.1, 1e-300)["lambda_max"] == pytest.approx(20)


def test_the_largest_sharpness_is_what_a_parabola_allows():
    for eta, rho in ((0.1, 0.0), (0.1, 0.3), (2.0, 5.0)):
        a = float(limits(eta, rho)["lambda_max"])
        assert critical_step(np.full((1, 1, 1), a), rho) == pytest.approx(eta)


def test_a_bound_holds_up_to_a_part_in_a_billion():
    assert [Bound(value, 2.0).holds for value in (2.0, 2 + 1e-9, 2 + 4e-9)] == [True, True, False]
    assert Bound(0.0, 0.0).holds


def test_bounds_by_hand():
    """H in {0, 2}, equally likely: moments 1, 2, 4, 8."""
    found = bounds(2 * TWO_POINT, eta=0.1, rho=0.5)
    values = [bound.value for bound in found.values()]
    assert list(found) == ["lambda_max", "s_2", "s_3", "s_4"]
    assert values == pytest.approx([1, 1, 2 ** (1 / 3), 4 ** (1 / 4)])
    assert uncentred(2 * TWO_POINT) == pytest.approx(
        {"s_2": 1, "s_3": 3 ** (1 / 3), "s_4": 7**0.25}
    )
    assert found["s_2"].limit == pytest.approx(10)
    # Batches of two: 0, 1, 2 with probability 1/4, 1/2, 1/4: moments 1, 1.5, 2.5, 4.5.
    found = bounds(2 * TWO_POINT, eta=0.1, rho=0.5, batch_size=2)
    values = [bound.value for bound in found.values()]
    assert values == pytest.approx([1, 0.5**0.5, 1, (4.5 - 2.25) ** 0.25])


def test_uncentred_moments_break_the_last_bound_at_a_stable_minimum():
    rho = 10.0
    eta = float(critical_step(TWO_POINT, rho))
    assert eta == pytest.approx(2 / 11)
    assert largest(expected_square(TWO_POINT, eta, rho)) == pytest.approx(1)
    found = bounds(TWO_POINT, eta, rho)
    assert all(bound.holds for bound in found.values())
    assert (found["s_4"].value / found["s_4"].limit) ** 4 == pytest.approx(0.8264, abs=5e-5)
    measured = uncentred(TWO_POINT)["s_4"] / found["s_4"].limit
    assert measured**4 == pytest.approx(1.4463, abs=5e-5)
    # The limit of large rho: 4 (1/2 - 1/16).
    eta = 2 / (1 + 1e9)
    limit = limits(eta, 1e9)["s_4"]
    assert (uncentred(TWO_POINT)["s_4"] / limit) ** 4 == pytest.approx(1.75)


def test_eq_7_is_necessary_for_condition_6_on_random_minima():
    """At the largest step that (6) allows: all four, centred; uncentred not, for rho > eta / 2."""
    broken = {"s_2": 0, "s_3": 0, "s_4": 0}
    small = 0
    for kind, seed, rho, batch_size in itertools.product(KINDS, range(4), (0.05, 0.5, 5.0), (1, 2)):
        hessians = ensemble(kind, 4, 2, seed)
        eta = float(critical_step(hessians, rho, batch_size, exact=False))
        found = bounds(hessians, eta, rho, batch_size)
        assert all(bound.holds for bound in found.values())
        for name, value in uncentred(hessians, batch_size).items():
            over = value > found[name].limit * (1 + 1e-9)
            broken[name] += over
            small += over and rho <= eta / 2
    assert broken["s_4"] > 5
    assert small == 0


def test_eq_7_is_not_necessary_for_stability_itself():
    a = np.random.default_rng(0).normal(size=(6, 3, 3))
    hessians = a @ a.swapaxes(1, 2) / 3
    eta = float(critical_step(hessians, 0.0))
    assert eta == pytest.approx(0.9070, abs=5e-5)
    s_2 = bounds(hessians, eta, 0.0)["s_2"]
    assert 1 / s_2.value == pytest.approx(0.8744, abs=5e-5)
    assert not s_2.holds


@pytest.mark.parametrize(
    ("hessians", "name"),
    [
        (np.ones((2, 3)), "hessians.shape"),
        (np.ones((2, 3, 2)), "hessians.shape"),
        (np.zeros((0, 2, 2)), "hessians.shape"),
        (np.array([[[1.0, 2.0], [0.0, 1.0]]]), "hessians"),
        (np.full((1, 1, 1), np.nan), "hessians"),
        (-np.ones((1, 1, 1)), "hessians"),
    ],
)
def test_bad_hessians(hessians, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        critical_step(hessians, 0.1)
    if not np.isfinite(hessians).all() or (hessians >= 0).all():  # Moments may be of any sign.
        with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
            moments(hessians)


@pytest.mark.parametrize(
    ("eta", "rho", "batch_size", "name"),
    [
        (0.0, 0.1, 1, "eta"),
        (np.inf, 0.1, 1, "eta"),
        (0.1, -1.0, 1, "rho"),
        (0.1, [0.1, np.nan], 1, "rho"),
        (0.1, 0.1, 0, "batch_size"),
        (0.1, 0.1, 1.5, "batch_size"),
    ],
)
def test_bad_numbers(eta, rho, batch_size, name):
    for function in (expected_square, second_moment_operator):
        with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
            function(TWO_POINT, eta, rho, batch_size)
    if name != "batch_size":
        with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
            limits(eta, rho)


def test_bad_kind():
    with pytest.raises(ValueError, match="`kind` must be one of uniform"):
        ensemble("rank2", 4, 2, seed=0)


def test_expectation_of_other_products():
    hessians = ensemble("wishart", 3, 2, seed=0)
    every = batches(hessians, 2)
    found = expectation(hessians, 2, "AB CD", "ABCD")
    np.testing.assert_allclose(found, np.einsum("iab,icd->abcd", every, every) / len(every))
