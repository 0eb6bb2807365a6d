"""The rule against NumPy, SciPy and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from recipes.reporting.comparison import compare
from recipes.reporting.outcome import Outcome
from tuning.rho_rule import RhoRule, fit_rho_rule


def comparison(parameters, best, rhos=(0.05, 0.1, 0.2, 0.4), seeds=3):
    """The same validation scores at every seed, highest at `best`."""
    outcomes = [
        Outcome(rho, seed, 1.0 if rho == best else 0.5, 0.5, 0.0)
        for rho in (0.0, *rhos)
        for seed in range(seeds)
    ]
    return compare(outcomes, parameters)


def test_an_exact_power_law_is_found():
    rule = fit_rho_rule([comparison(n, r) for n, r in [(100, 0.05), (400, 0.1), (1600, 0.2)]])
    assert rule.b == pytest.approx(0.5)
    assert rule.a == pytest.approx(0.005)
    assert rule(6400) == pytest.approx(0.4)


def test_without_scatter_the_grid_is_what_remains_open():
    rule = fit_rho_rule([comparison(n, r) for n, r in [(100, 0.05), (400, 0.1), (1600, 0.2)]])
    # Uniform within a step of log 2: variance (log 2)^2 / 12.
    assert rule.sigma == pytest.approx(math.log(2) / math.sqrt(12))


def test_fit_and_intervals_against_scipy():
    sizes, rhos = [100, 1000, 10_000, 100_000, 10**6], [0.05, 0.4, 0.05, 0.4, 0.1]
    rule = fit_rho_rule([comparison(n, r) for n, r in zip(sizes, rhos, strict=True)])
    x, y = np.log(sizes), np.log(rhos)
    line = stats.linregress(x, y)
    assert rule.b == pytest.approx(line.slope)
    assert math.log(rule.a) == pytest.approx(line.intercept)
    low, high = rule.exponent_interval(0.9)
    assert high - line.slope == pytest.approx(stats.t.ppf(0.95, 3) * line.stderr)
    assert line.slope - low == pytest.approx(high - line.slope)

    suggestion = rule.suggest_rho(5000, confidence=0.9)
    scatter = math.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / 3)
    spread = math.sqrt(1 + 1 / 5 + (math.log(5000) - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.95, 3) * scatter * spread
    assert math.log(suggestion.high / suggestion.rho) == pytest.approx(half)
    assert math.log(suggestion.rho / suggestion.low) == pytest.approx(half)


def test_the_interval_holds_the_best_rho_of_new_networks_as_often_as_it_says():
    rng = np.random.default_rng(0)
    sizes = np.array([1e3, 1e4, 1e5, 1e6])
    hits = 0
    for _ in range(400):
        # A grid so fine that only the scatter of single networks counts.
        rhos = tuple(np.exp(np.log(0.001) + 0.3 * np.log(sizes) + rng.normal(0, 0.5, 4)))
        found = [
            comparison(n, rho, rhos=(rho, rho * 1.0001)) for n, rho in zip(sizes, rhos, strict=True)
        ]
        suggestion = fit_rho_rule(found).suggest_rho(3e4, confidence=0.8)
        new = math.exp(math.log(0.001) + 0.3 * math.log(3e4) + rng.normal(0, 0.5))
        hits += suggestion.low <= new <= suggestion.high
    assert hits / 400 == pytest.approx(0.8, abs=0.07)


def test_seeds_that_disagree_widen_the_interval():
    def torn(parameters):
        """One seed wants the smallest rho, the other the largest."""
        scores = {(0.05, 0): 1.0, (0.4, 0): 0.0, (0.05, 1): 0.0, (0.4, 1): 0.9}
        outcomes = [Outcome(rho, seed, score, 0.5, 0.0) for (rho, seed), score in scores.items()]
        return compare(outcomes, parameters)

    sure = fit_rho_rule([comparison(n, 0.05, rhos=(0.05, 0.4)) for n in (100, 1000, 10_000)])
    unsure = fit_rho_rule([torn(n) for n in (100, 1000, 10_000)])
    assert (sure.b, unsure.b) == pytest.approx((0.0, 0.0), abs=1e-12)
    # With both seeds drawn the larger mean is at 0.05; with one of them twice, at either end:
    # 0.05 with probability 3/4. Variance of log(rho): 3/16 of (log 8)^2.
    step = math.log(8)
    assert sure.sigma == pytest.approx(step / math.sqrt(12))
    assert unsure.sigma == pytest.approx(step * math.sqrt(1 / 12 + 3 / 16), rel=0.03)


def test_sizes_outside_are_said_to_be():
    rule = RhoRule(0.001, 0.5, 0.1, (100.0, 1000.0, 10_000.0))
    assert [rule.suggest_rho(n).extrapolated for n in (99, 100, 10_000, 10_001)] == [
        True,
        False,
        False,
        True,
    ]


def test_no_trend_is_said():
    assert "no clear trend" in str(RhoRule(0.1, 0.0, 0.5, (100.0, 1000.0, 10_000.0)))
    assert "no clear trend" not in str(RhoRule(0.1, 2.0, 0.01, (100.0, 1000.0, 10_000.0)))


def test_save_and_load(tmp_path):
    rule = RhoRule(0.001, 0.5, 0.1, (100.0, 1000.0, 10_000.0))
    rule.save(tmp_path / "rule.json")
    assert RhoRule.load(tmp_path / "rule.json") == rule


def test_bad_arguments():
    with pytest.raises(ValueError, match="three sizes or more"):
        fit_rho_rule([comparison(100, 0.1), comparison(1000, 0.1), comparison(1000, 0.2)])
    rule = RhoRule(0.001, 0.5, 0.1, (100.0, 1000.0, 10_000.0))
    for parameters in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="Received: `parameters="):
            rule.suggest_rho(parameters)
    with pytest.raises(ValueError, match="Received: `confidence=1`"):
        rule.suggest_rho(100, confidence=1)


@pytest.mark.parametrize("sizes", [(), (10, 10, 10), (1, 2), (1, 2, -3)])
def test_a_rule_needs_three_sizes(sizes):
    with pytest.raises(ValueError, match="`sizes` must be three different positive numbers"):
        RhoRule(a=1.0, b=0.5, sigma=0.1, sizes=sizes)
