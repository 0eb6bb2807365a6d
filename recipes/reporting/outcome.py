"""What runs came to: one run, and all seeds at one rho."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run at one rho and one seed came to.

    Args:
        rho: Radius of the perturbation; 0 is the plain optimizer.
        seed: Runs of the same seed are a pair: same initial weights, same batches.
        score: The validation metric, turned so that higher is better; NaN if the run diverged.
        test: The test metric; NaN if the run diverged.
        train_loss: Training loss of the final weights; NaN if the run diverged.
        loss: The validation loss that goes with the score, which tells rhos of equal scores apart.
            Defaults to NaN, unknown.
    """

    rho: float
    seed: int
    score: float
    test: float
    train_loss: float
    loss: float = math.nan


@dataclasses.dataclass(frozen=True)
class RhoResult:
    """The outcomes at one rho, over seeds.

    Args:
        rho: Radius of the perturbation; 0 is the plain optimizer.
        scores: From seed to validation score, of the runs that did not diverge.
        tests: From seed to test metric, of the runs that did not diverge.
        gains: From seed to the gain over the plain optimizer at that same seed, where both runs
            ended.
        train_losses: From seed to training loss, of the runs that did not diverge.
        diverged: Number of runs that diverged.
        losses: From seed to validation loss, of the runs that did not diverge.
    """

    rho: float
    scores: Mapping[int, float]
    tests: Mapping[int, float]
    gains: Mapping[int, float]
    train_losses: Mapping[int, float]
    diverged: int
    losses: Mapping[int, float] = dataclasses.field(default_factory=dict)

    @property
    def score(self) -> float:
        """Mean validation score."""
        return mean(self.scores.values())

    @property
    def merit(self) -> tuple[float, float]:
        """What rhos are chosen by: the mean score, among equals the mean validation loss.

        Small validation sets give equal scores; to take the smallest rho of them would bias it.
        """
        loss = mean(self.losses.values())
        # Rounded, since equal means of fractions may differ in the last bit.
        return round(self.score, 12), -math.inf if math.isnan(loss) else -loss

    @property
    def test(self) -> float:
        """Mean test metric."""
        return mean(self.tests.values())

    @property
    def test_error(self) -> float:
        """Standard error of the mean test metric."""
        return standard_error(self.tests.values())

    @property
    def gain(self) -> float:
        """Mean gain over the plain optimizer."""
        return mean(self.gains.values())

    @property
    def gain_error(self) -> float:
        """Standard error of the mean *paired* gain: of the differences within seeds."""
        return standard_error(self.gains.values())

    @property
    def train_loss(self) -> float:
        """Mean training loss."""
        return mean(self.train_losses.values())


def mean(values: Iterable[float]) -> float:
    """The mean; NaN of nothing."""
    array = np.asarray(list(values), float)
    return float(array.mean()) if array.size else math.nan


def standard_error(values: Iterable[float]) -> float:
    """The standard error of the mean, `s / sqrt(n)` with n - 1 in s; NaN below two values."""
    array = np.asarray(list(values), float)
    return float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else math.nan
