"""How rho is searched: over a grid, at random, by Bayesian optimisation or by Hyperband."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras_tuner

STRATEGIES = ("grid", "random", "bayesian", "hyperband")

# A trial whose worker died is handed out again as often as it takes.
_RETRIES = 1_000_000
# Nobody means more runs than this.
_MANY_SEEDS = 1_000_000


def rounded(rho: float) -> float:
    """A rho to six significant digits: the same number whether or not it went through gRPC."""
    return float(f"{rho:.6g}")


def _rhos(rhos: Iterable[float]) -> tuple[float, ...]:
    """The rhos, rising, each once."""
    if isinstance(rhos, str | bytes) or not isinstance(rhos, Iterable):
        raise TypeError(f"`rhos` must be numbers. Received: `rhos={rhos!r}`")
    rhos = tuple(rhos)
    for rho in rhos:
        if isinstance(rho, bool) or not isinstance(rho, numbers.Real):
            raise TypeError(f"`rhos` must be numbers. Received: `rhos={rhos!r}`")
    if not rhos or not all(0 < rho < math.inf for rho in rhos):
        raise ValueError(
            "`rhos` must be positive and finite; rho 0 is always run besides. "
            f"Received: `rhos={rhos}`"
        )
    different = {float(rho) for rho in rhos}
    shortened = tuple(sorted({rounded(rho) for rho in different}))
    if len(shortened) < len(different):
        raise ValueError(
            f"`rhos` must differ within six significant digits. Received: `rhos={rhos}`"
        )
    return shortened


@dataclasses.dataclass(frozen=True)
class Space:
    """The values of rho to try on each network. The plain optimizer, rho 0, always runs first.

    Args:
        strategy: "grid": each of `rhos`. "random": `trials` values between the smallest and the
            largest of `rhos`, uniform in log(rho). "bayesian": as many, proposed by KerasTuner's
            Gaussian process. "hyperband": as Hyperband decides, most of them for fewer epochs.
        rhos: The grid, or the ends of the range: positive.
        trials: Number of rhos for "random" and "bayesian". Defaults to 8.
        seed: Fixes what is drawn. Defaults to 0.

    Raises:
        ValueError: If the strategy is unknown, or rhos or trials cannot be searched.
    """

    strategy: str = "grid"
    rhos: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2)
    trials: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rhos", _rhos(self.rhos))
        if not isinstance(self.strategy, str) or self.strategy not in STRATEGIES:
            raise ValueError(
                f"`strategy` must be one of {', '.join(STRATEGIES)}. "
                f"Received: `strategy={self.strategy!r}`"
            )
        if self.strategy != "grid" and len(self.rhos) < 2:
            raise ValueError(
                f"`rhos` must give both ends of a range for {self.strategy!r}. "
                f"Received: `rhos={self.rhos}`"
            )
        for name, least in (("trials", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(
                    f"`{name}` must be an integer >= {least}. Received: `{name}={value!r}`"
                )

    @property
    def count(self) -> int | None:
        """Number of trials on a network, rho 0 included; `None` where Hyperband decides."""
        if self.strategy == "hyperband":
            return None
        return 1 + (len(self.rhos) if self.strategy == "grid" else self.trials)

    def oracles(
        self, network: str, objective: keras_tuner.Objective, epochs: int
    ) -> Iterator[keras_tuner.Oracle]:
        """The oracles of one network, in the order in which they are to be asked.

        Args:
            network: Name of the network, a hyperparameter of every trial.
            objective: What a trial reports.
            epochs: Epochs of a full run, for Hyperband.
        """
        # Only here: KerasTuner imports Keras, and settings alone need neither.
        import keras_tuner
        from keras_tuner import oracles

        from tuning.grid_oracle import GridOracle

        def common() -> dict:
            hyperparameters = keras_tuner.HyperParameters()
            hyperparameters.Fixed("network", network)
            return {
                "objective": objective,
                "hyperparameters": hyperparameters,
                "seed": 1 + self.seed,  # KerasTuner takes 0 for none.
                "max_retries_per_trial": _RETRIES,
                "max_consecutive_failed_trials": None,  # Runs may diverge; the search goes on.
            }

        yield GridOracle("rho", (0.0,), **common())
        if self.strategy == "grid":
            yield GridOracle("rho", self.rhos, **common())
            return
        arguments = common()
        arguments["hyperparameters"].Float("rho", self.rhos[0], self.rhos[-1], sampling="log")
        if self.strategy == "random":
            yield oracles.RandomSearchOracle(max_trials=self.trials, **arguments)
        elif self.strategy == "bayesian":
            yield oracles.BayesianOptimizationOracle(max_trials=self.trials, **arguments)
        else:
            yield oracles.HyperbandOracle(max_epochs=epochs, **arguments)


def checked_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Seeds, or so many of them from 0 on.

    Raises:
        TypeError: If they are neither a number nor integers.
        ValueError: If there are none, or one is there twice or out of range.
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if seeds > _MANY_SEEDS:
            raise ValueError(f"`seeds` must be at most {_MANY_SEEDS}. Received: `seeds={seeds!r}`")
        seeds = range(seeds)
    if not isinstance(seeds, Iterable) or isinstance(seeds, str | bytes):
        raise TypeError(f"`seeds` must be a number or integers. Received: `seeds={seeds!r}`")
    found = tuple(seeds)
    for seed in found:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ValueError(f"`seeds` must be integers in [0, 2^32). Received: `seeds={found}`")
    if not found or len(set(found)) < len(found):
        raise ValueError(f"`seeds` must be one or more different values. Received: `seeds={found}`")
    return found
