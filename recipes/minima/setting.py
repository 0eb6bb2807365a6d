"""What a run of `recipes.minima` depends on."""

import dataclasses
import math

from recipes.running.flags import setting
from recipes.theory.stability import limits

DATASETS = ("mnist", "digits")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        dataset: "mnist" or "digits".
        width: Factor w of the [300 w, 100 w] hidden units.
        sparsity: Share of the kernels' weights pruned at random before training, in [0, 1).
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

    dataset: str = setting("mnist", "the data", DATASETS)
    width: float = setting(1.0, "factor on the [300, 100] hidden units")
    sparsity: float = setting(0.0, "share of the kernels' weights pruned before training")
    train_size: int = setting(1000, "number of training examples")
    batch_size: int = setting(100, "examples a step")
    learning_rate: float = setting(0.1, "eta")
    goal: float = setting(1e-3, "training ends at this loss")
    max_steps: int = setting(20_000, "steps after which training ends at the latest")
    normalize: bool = setting(False, "perturb by rho * g / ||g||, not rho * g")
    rho: float = setting(0.0, "radii; 0 is SGD")
    seed: int = setting(0, "fixes initial weights and the order of the examples")

    def __post_init__(self) -> None:
        self._require("dataset", self.dataset in DATASETS, f"one of {', '.join(DATASETS)}")
        for name in ("width", "learning_rate", "goal"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "finite and > 0")
        for name in ("train_size", "batch_size", "max_steps"):
            self._require(name, getattr(self, name) >= 1, ">= 1")
        self._require("sparsity", 0 <= self.sparsity < 1, "in [0, 1)")
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
        return self.limits["lambda_max"]

    @property
    def limits(self) -> dict[str, float]:
        """Eq. 7 of the paper, of `lambda_max`, `s_2`, `s_3`, `s_4`; NaN for normalised SAM."""
        found = limits(self.learning_rate, self.rho)
        normalized = self.normalize and self.rho > 0
        return {name: math.nan if normalized else float(one) for name, one in found.items()}
