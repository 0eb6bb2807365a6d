"""What a run of `recipes.methods` depends on."""

from __future__ import annotations

import dataclasses
import math

from recipes.methods.variants import SGD, VARIANTS
from recipes.running.config import RunConfig
from recipes.running.flags import setting
from recipes.running.recipe import find


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run.

    Args:
        recipe: The workload, see `recipes.running.recipe.find`.
        width: Size of the network, in the recipe's own unit.
        label_noise: Share of wrong training labels, in [0, 1].
        take: Number of examples to train and validate on; `None` for all.
        epochs: Passes over the training data; `None` as the recipe has it.
        method: A name of `recipes.methods.variants`.
        rho: The radius in SAM's units, > 0. For "sgd" it is taken as 0.
        seed: As in `RunConfig`.

    Raises:
        ValueError: If a setting is out of range.
    """

    recipe: str = setting("digits", "the workload")
    width: float = setting(1.0, "size of the network, in the recipe's own unit")
    label_noise: float = setting(0.0, "share of wrong training labels")
    take: int | None = setting(None, "number of examples to train and validate on")
    epochs: int | None = setting(None, "passes over the training data (none: the recipe's)")
    method: str = setting(SGD, "methods", tuple(VARIANTS))
    rho: float = setting(0.1, "radii, in SAM's units")
    seed: int = setting(0, "fixes initial weights, order of the examples and label noise")

    def __post_init__(self) -> None:
        if self.method not in VARIANTS:
            raise ValueError(
                f"`method` must be one of {', '.join(VARIANTS)}. Received: `method={self.method!r}`"
            )
        if self.method == SGD:
            object.__setattr__(self, "rho", 0.0)
        elif not (math.isfinite(self.rho) and self.rho > 0):
            raise ValueError(f"`rho` must be finite and > 0. Received: `rho={self.rho!r}`")
        _ = self.config  # Whatever else is out of range.

    @property
    def config(self) -> RunConfig:
        """The settings of the run."""
        variant = VARIANTS[self.method]
        changes = {
            "width": self.width,
            "label_noise": self.label_noise,
            "take": self.take,
            "rho": variant.unit * self.rho,
            "seed": self.seed,
            **variant.settings,
        }
        if self.epochs is not None:
            changes["epochs"] = self.epochs
        return find(self.recipe).config(**changes)
