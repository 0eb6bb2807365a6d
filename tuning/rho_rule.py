"""The rule "best rho ~ a * parameters^b", with its uncertainty."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from recipes.files import write_atomically
from recipes.reporting.comparison import Comparison

_RESAMPLES = 1000


def _is_finite(value: Any) -> bool:
    """Whether it is a number within float64's range."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    size: Any = abs(value)
    return bool(size <= sys.float_info.max)


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A rho for a network of some size.

    Args:
        rho: The rule's value.
        low: Lower end of the interval for the best rho.
        high: Upper end.
        extrapolated: Whether the size is outside of those that the rule was fitted to.
    """

    rho: float
    low: float
    high: float
    extrapolated: bool


@dataclasses.dataclass(frozen=True)
class RhoRule:
    """A power law of the best rho, fitted by least squares in the logarithms.

        log(rho) = log(a) + b log(parameters) + error,    error ~ N(0, sigma^2)

    With few sizes the scatter about the line says little about sigma: with all best rhos on the
    line it would be 0. So sigma^2 is not taken below what the search itself leaves open: the
    variance of the choice of rho over resampled seeds, plus d^2 / 12 for a grid with steps of d in
    log(rho), mean over the sizes.

    Args:
        a: The factor.
        b: The exponent.
        sigma: Standard deviation of log(rho) about the line.
        sizes: Numbers of parameters that it was fitted to, at least three.

    Raises:
        ValueError: If there are fewer than three sizes, or a number is not finite.

    Example:

    >>> rule = RhoRule(a=0.001, b=0.5, sigma=0.1, sizes=(100, 1000, 10000))
    >>> suggestion = rule.suggest_rho(2500)
    >>> round(suggestion.rho, 4), suggestion.extrapolated
    (0.05, False)
    """

    a: float
    b: float
    sigma: float
    sizes: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = self.sizes if isinstance(self.sizes, list | tuple | np.ndarray) else ()
        positive = all(_is_finite(size) and size > 0 for size in sizes)
        if not positive or len(set(sizes)) < 3:
            raise ValueError(
                "`sizes` must be three different positive numbers or more. "
                f"Received: `sizes={self.sizes!r}`"
            )
        for name in ("a", "b", "sigma"):
            value = getattr(self, name)
            if not _is_finite(value):
                raise ValueError(f"`{name}` must be a finite number. Received: `{name}={value!r}`")

    def __call__(self, parameters: float) -> float:
        return self.a * parameters**self.b

    def exponent_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The t-interval of the exponent b, with two degrees of freedom less than sizes."""
        x = np.log(self.sizes)
        half = self._quantile(confidence) * self.sigma / math.sqrt(((x - x.mean()) ** 2).sum())
        return self.b - half, self.b + half

    def suggest_rho(self, parameters: float, confidence: float = 0.95) -> Suggestion:
        """The rule's rho, with the interval in which the best rho of such a network is expected.

        It is the t-interval of a new observation, not of the line: it holds the scatter of single
        networks too, and widens away from the sizes that were studied.

        Args:
            parameters: Number of weights, > 0.
            confidence: Probability of the interval, in (0, 1). Defaults to 0.95.

        Raises:
            ValueError: If `parameters` or `confidence` is out of range.
        """
        if not 0 < parameters < math.inf:
            raise ValueError(
                f"`parameters` must be positive and finite. Received: `parameters={parameters}`"
            )
        x = np.log(self.sizes)
        distance = (math.log(parameters) - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        spread = self.sigma * math.sqrt(1 + 1 / len(x) + distance)
        factor = math.exp(self._quantile(confidence) * spread)
        rho = self(parameters)
        inside = min(self.sizes) <= parameters <= max(self.sizes)
        return Suggestion(rho, rho / factor, rho * factor, extrapolated=not inside)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the rule as JSON."""
        data = {**dataclasses.asdict(self), "exponent_95": list(self.exponent_interval())}
        write_atomically(path, json.dumps(data, indent=1).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RhoRule:
        """The rule that `save` wrote."""
        data = json.loads(pathlib.Path(path).read_text())
        return cls(data["a"], data["b"], data["sigma"], tuple(data["sizes"]))

    def __str__(self) -> str:
        low, high = self.exponent_interval()
        text = (
            f"best rho ~ {self.a:.3g} * parameters^{self.b:.2f} (95 % interval of the exponent "
            f"{low:+.2f} to {high:+.2f}, {len(self.sizes)} sizes)"
        )
        if low <= 0 <= high:
            text += ": no clear trend with size"
        return text

    def _quantile(self, confidence: float) -> float:
        if not 0 < confidence < 1:
            raise ValueError(f"`confidence` must be in (0, 1). Received: `confidence={confidence}`")
        return float(stats.t.ppf((1 + confidence) / 2, len(self.sizes) - 2))


def fit_rho_rule(found: Sequence[Comparison], seed: int = 0) -> RhoRule:
    """Fits the rule to the best rhos of comparisons that differ in size.

    Args:
        found: Comparisons; those without a best rho are left out.
        seed: Fixes the resampling. Defaults to 0.

    Raises:
        ValueError: If fewer than three sizes have a best rho.
    """
    points = [(c, c.best.rho) for c in found if c.best is not None]
    sizes = tuple(float(comparison.parameters) for comparison, _ in points)
    if len(set(sizes)) < 3:
        raise ValueError(
            f"`found` must have a best rho at three sizes or more. Received: sizes {sizes}"
        )
    x, y = np.log(sizes), np.log([rho for _, rho in points])
    b = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    log_a = y.mean() - b * x.mean()
    scatter = ((y - log_a - b * x) ** 2).sum() / (len(x) - 2)
    rng = np.random.default_rng(seed)
    open_by_search = np.mean([_variance_of_choice(comparison, rng) for comparison, _ in points])
    sigma = math.sqrt(max(scatter, open_by_search))
    return RhoRule(math.exp(log_a), float(b), sigma, sizes)


def _variance_of_choice(comparison: Comparison, rng: np.random.Generator) -> float:
    """The variance that the search leaves in log(best rho): from the seeds, and from the grid."""
    best = comparison.best
    assert best is not None
    seeds = list(best.scores)
    rivals = [
        result
        for result in comparison.results
        if result.rho > 0 and not result.diverged and list(result.scores) == seeds
    ]
    logs = np.log([result.rho for result in rivals])
    scores = np.array([[result.scores[seed] for seed in seeds] for result in rivals])
    drawn = rng.integers(len(seeds), size=(_RESAMPLES, len(seeds)))
    choices = logs[scores[:, drawn].mean(axis=2).argmax(axis=0)]
    step = np.diff(logs).mean() if len(logs) > 1 else 0.0
    return float(choices.var() + step**2 / 12)
