"""What a run of `recipes.minima` depends on."""

import dataclasses
import math

DATASETS = ("mnist", "digits")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        dataset: "mnist" or "digits".
        width: Factor w of the [300 w, 100 w] hidden units.
        train_size: Number of training examples, a multiple of `batch_size`.
        batch_size: Examples a step.
        learning_rate: eta, > 0.
        goal: Training ends when the mean loss of the last 100 steps is at most this, > 0.
        max_steps: Training ends after so many steps at the latest, rounded up to hundreds.
        normalize: Whether the perturbation is `rho g / ||g||` instead of `rho g`.
        rho: Radius of the perturbation, >= 0; 0 is SGD.
        seed: Fixes initial weights and the order of the examples.

    Raises:
        ValueError: If a setting is out of range.
    """

    dataset: str = "mnist"
    width: float = 1.0
    train_size: int = 1000
    batch_size: int = 100
    learning_rate: float = 0.1
    goal: float = 1e-3
    max_steps: int = 20_000
    normalize: bool = False
    rho: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("dataset", self.dataset in DATASETS, f"one of {', '.join(DATASETS)}")
        for name in ("width", "learning_rate", "goal"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "finite and > 0")
        for name in ("train_size", "batch_size", "max_steps"):
            self._require(name, getattr(self, name) >= 1, ">= 1")
        self._require("rho", math.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")
        self._require("seed", self.seed >= 0, ">= 0")
        multiple = self.train_size % self.batch_size == 0
        self._require("train_size", multiple, f"a multiple of `batch_size`, {self.batch_size}")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(
                f"`{name}` must be {allowed}. Received: `{name}={getattr(self, name)!r}`"
            )

    @property
    def limit(self) -> float:
        """The largest curvature that the method is stable at; NaN for normalised SAM.

        2 / eta for SGD; for SAM the positive root of eta lambda (1 + rho lambda) = 2.
        """
        if self.rho == 0:
            return 2 / self.learning_rate
        if self.normalize:
            return math.nan
        return (math.sqrt(1 + 8 * self.rho / self.learning_rate) - 1) / (2 * self.rho)
