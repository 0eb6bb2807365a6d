"""What numbers say of a claim: rules with a threshold each, applied to samples.

    rising, falling    Spearman's rank correlation of x and y over all points (size x seed);
                       told where its p-value is below 0.05
    above, below       the 95 % t-interval of the mean of y over seeds leaves out 0
    about              that interval lies within the limits; or, the opposite, outside of them
    within             every y is within the limits

Each says +1: shown; -1: the opposite is shown; 0: neither.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy import stats

from recipes.paper.sample import Sample
from recipes.reporting.outcome import mean, standard_error

# The risk that a rule takes of telling what is not there.
RISK = 0.05
# Below so many points, or seeds, nothing is told.
LEAST_POINTS, LEAST_SEEDS = 6, 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a rule says of a sample.

    Args:
        holds: 1, -1 if the opposite does, 0 if neither is shown.
        reason: The numbers that decided.
    """

    holds: int
    reason: str


Rule: TypeAlias = Callable[[Sample], Finding]


def rising(sample: Sample) -> Finding:
    """Whether y rises with x: Spearman's rank correlation and its two-sided p-value."""
    return _trend(sample, 1)


def falling(sample: Sample) -> Finding:
    """Whether y falls with x."""
    return _trend(sample, -1)


def above(sample: Sample) -> Finding:
    """Whether the mean of y at the largest x is above 0 by its t-interval over seeds."""
    return _interval(sample, 1)


def below(sample: Sample) -> Finding:
    """Whether the mean of y at the largest x is below 0 by its t-interval over seeds."""
    return _interval(sample, -1)


def within(least: float = -math.inf, most: float = math.inf) -> Rule:
    """Whether every y is at least `least` and at most `most`: theorems leave no exception."""

    def rule(sample: Sample) -> Finding:
        ys = [point.y for point in sample.points]
        if not ys:
            return Finding(0, "no numbers")
        outside = sum(not least <= y <= most for y in ys)
        bounds = " and ".join(
            text
            for text, bound in ((f">= {least:g}", least), (f"<= {most:g}", most))
            if math.isfinite(bound)
        )
        form = sample.form.lstrip("+")
        reason = (
            f"{len(ys):,} checked, {outside:,} not {bounds}; "
            f"from {min(ys):{form}} to {max(ys):{form}}"
        )
        return Finding(-1 if outside else 1, reason)

    return rule


def about(least: float, most: float) -> Rule:
    """Whether the mean of y at the largest x lies within limits, with all of its t-interval."""

    def rule(sample: Sample) -> Finding:
        values = sample.largest
        if len(values) < LEAST_SEEDS:
            return Finding(0, "too few seeds for an interval")
        low, high = interval(values)
        inside, outside = least <= low and high <= most, high < least or low > most
        return Finding(int(inside) - int(outside), _limits(sample, low, high))

    return rule


def interval(values: list[float]) -> tuple[float, float]:
    """The 95 % t-interval of a mean.

    Example:

    >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]  # 2 -+ 4.303 / sqrt(3)
    [-0.484, 4.484]
    """
    half = stats.t.ppf(1 - RISK / 2, len(values) - 1) * standard_error(values)
    return mean(values) - half, mean(values) + half


def _trend(sample: Sample, sign: int) -> Finding:
    x, y = (np.array([getattr(p, name) for p in sample.points]) for name in ("x", "y"))
    if len(x) < LEAST_POINTS or len(set(x)) < 3:
        return Finding(0, "too few points for a trend")
    if len(set(y)) < 2:
        return Finding(0, "the same everywhere")
    found = stats.spearmanr(x, y)
    correlation, risk = float(found.statistic), float(found.pvalue)
    reason = f"rank correlation {correlation:+.2f}, p {_risk(risk)}"
    return Finding(sign * int(math.copysign(risk < RISK, correlation)), reason)


def _interval(sample: Sample, sign: int) -> Finding:
    values = sample.largest
    if len(values) < LEAST_SEEDS:
        return Finding(0, "too few seeds for an interval")
    low, high = interval(values)
    return Finding(sign * (int(low > 0) - int(high < 0)), _limits(sample, low, high))


def _limits(sample: Sample, low: float, high: float) -> str:
    return f"95 % interval {low:{sample.form}} to {high:{sample.form}}"


def _risk(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
