"""Trains factors by SGD and SAM, and keeps the distance to the optimum."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.matrix_factorization.factorization import (
    gradient,
    loss,
    optimal_loss,
    sam_step,
    squared_norm,
)
from recipes.theory.validation import require

Array = np.ndarray

STEPS = ("SGD", "unnormalised", "normalised")

INPUTS, OUTPUTS = 6, 10
# Below this what is left is rounding: it has no rate any more.
_ROUNDING = 1e-26


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        rank: k of the two factors; interpolation takes 6.
        step: One of `STEPS`.
        rho: Radius, > 0; for SGD it is set to 0.
        learning_rate: eta, > 0.
        batch_size: Examples a step, drawn with replacement.
        epochs: Of `examples / batch_size` steps each.
        examples: n.
        seed: Fixes target, examples, initial factors and batches.

    Raises:
        ValueError: If a setting is out of range.
    """

    rank: int = setting(6, "ranks of the factors; interpolation takes 6")
    step: str = setting("SGD", "kinds of steps", STEPS)
    rho: float = setting(0.05, "radii of SAM")
    learning_rate: float = setting(0.02, "eta")
    batch_size: int = setting(10, "examples a step, drawn with replacement")
    epochs: int = setting(60, "epochs, of examples / batch size steps")
    examples: int = setting(1000, "number of examples")
    seed: int = setting(0, "fixes target, examples, initial factors and batches")

    def __post_init__(self) -> None:
        require("step", self.step, self.step in STEPS, f"one of {', '.join(STEPS)}")
        if self.step == "SGD":
            object.__setattr__(self, "rho", 0.0)
        else:
            require("rho", self.rho, np.isfinite(self.rho) and self.rho > 0, "finite and > 0")
        eta = self.learning_rate
        require("learning_rate", eta, np.isfinite(eta) and eta > 0, "finite and > 0")
        for name in ("rank", "batch_size", "examples"):
            require(name, getattr(self, name), getattr(self, name) >= 1, ">= 1")
        require("epochs", self.epochs, self.epochs >= 4, ">= 4")
        require("seed", self.seed, self.seed >= 0, ">= 0")
        enough = self.examples >= self.batch_size
        require("examples", self.examples, enough, f">= `batch_size`, {self.batch_size}")


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a seed fixes: the target A, the examples and the initial factors."""

    target: Array
    inputs: Array
    first: Array
    second: Array

    @classmethod
    def drawn(cls, rank: int, examples: int, seed: int) -> "Problem":
        """A with singular values from 1 to 1/2, normal examples, factors of a network's size."""
        rng = np.random.default_rng([seed, 0])
        left = np.linalg.qr(rng.normal(size=(OUTPUTS, INPUTS)))[0]
        right = np.linalg.qr(rng.normal(size=(INPUTS, INPUTS)))[0]
        inputs = rng.normal(size=(examples, INPUTS))
        rng = np.random.default_rng([seed, 1, rank])
        return cls(
            left * np.geomspace(1, 0.5, INPUTS) @ right,
            inputs,
            rng.normal(size=(rank, INPUTS)) / np.sqrt(INPUTS),
            rng.normal(size=(OUTPUTS, rank)) / np.sqrt(rank) / 2,
        )


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains all of one rank at once.

    Args:
        settings: They may differ in `rank`, `step`, `rho` and `seed`.

    Yields:
        Each setting with:
        - `optimum`: f*.
        - `curve`: f - f*, before the first step and after each epoch.
        - `pl_least`, `pl_most`: of `||grad f||^2 / (f - f*)` along the path, as long as `f - f*` is
          no rounding; the first is the constant of the PL inequality.
    """
    for rank in dict.fromkeys(member.rank for member in settings):
        members = [member for member in settings if member.rank == rank]
        yield from zip(members, _train(members), strict=True)


def _train(members: Sequence[Setting]) -> list[dict[str, Any]]:
    """Trains members of one rank, as arrays with one more axis."""
    shared = members[0]
    seeds = list(dict.fromkeys(member.seed for member in members))
    of_member = [seeds.index(member.seed) for member in members]
    problems = [Problem.drawn(shared.rank, shared.examples, seed) for seed in seeds]
    target = np.array([p.target for p in problems])[of_member]
    covariance = np.array([p.inputs.T @ p.inputs / len(p.inputs) for p in problems])[of_member]
    factors = (
        np.array([p.first for p in problems])[of_member],
        np.array([p.second for p in problems])[of_member],
    )
    rho = np.array([member.rho for member in members])
    normalize = np.array([member.step == "normalised" for member in members])
    optimum = np.array([float(optimal_loss(p.target, p.inputs, shared.rank)) for p in problems])[
        of_member
    ]
    streams = [np.random.default_rng([seed, 2]) for seed in seeds]

    gaps, ratios = [], []
    for epoch in range(shared.epochs + 1):
        if epoch > 0:
            for batch in _epoch(problems, streams, shared.batch_size):
                factors = sam_step(
                    factors, target, batch[of_member], shared.learning_rate, rho, normalize
                )
        gaps.append(loss(factors, target, covariance) - optimum)
        ratios.append(squared_norm(gradient(factors, target, covariance)))
    gap, ratio = np.array(gaps), np.array(ratios)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(gap > _ROUNDING, ratio / gap, np.nan)
    return [
        {
            "optimum": float(optimum[i]),
            "curve": gap[:, i].tolist(),
            "pl_least": float(np.nanmin(ratio[:, i])),
            "pl_most": float(np.nanmax(ratio[:, i])),
        }
        for i in range(len(members))
    ]


def _epoch(
    problems: Sequence[Problem], streams: Sequence[np.random.Generator], batch_size: int
) -> Array:
    """The mean of x x^T over each batch of an epoch: (batches, seeds, in, in)."""
    covariances = []
    for p, rng in zip(problems, streams, strict=True):
        count = len(p.inputs) // batch_size
        x = p.inputs[rng.integers(len(p.inputs), size=(count, batch_size))]
        covariances.append(x.swapaxes(1, 2) @ x / batch_size)
    return np.stack(covariances, axis=1)


def decades_per_epoch(curve: Sequence[float]) -> float:
    """The slope of log10(f - f*) over the second half of the epochs before it is rounding."""
    curve_ = np.asarray(curve)
    rounding = np.flatnonzero(~(curve_ > _ROUNDING))
    end = int(rounding[0]) if rounding.size else len(curve_)
    last = np.log10(curve_[end // 2 : end])
    return float(np.polyfit(np.arange(len(last)), last, 1)[0]) if len(last) > 1 else np.nan
