"""One minimum: how large a step it is stable at, by four answers, and Eq. 7 there."""

import dataclasses
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.stability.bounds import bounds, largest, uncentred
from recipes.theory.stability.ensembles import KINDS, ensemble
from recipes.theory.stability.expectations import moments
from recipes.theory.stability.linear_stability import critical_step, on_range
from recipes.theory.validation import require

# Of the simulated runs, for the rate of a single one.
_RUNS, _STEPS = 100, 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One minimum: what its result depends on.

    Args:
        kind: One of `KINDS`.
        batch_size: B, drawn with replacement.
        rho: Radius of unnormalised SAM; 0 is SGD.
        examples: n.
        dimension: d.
        seed: Fixes the minimum.

    Raises:
        ValueError: If a setting is out of range.
    """

    kind: str = setting("rank1", "kinds of examples' Hessians", KINDS)
    batch_size: int = setting(1, "examples a step, drawn with replacement")
    rho: float = setting(0.0, "radii; 0 is SGD")
    examples: int = setting(6, "number of examples")
    dimension: int = setting(3, "number of weights")
    seed: int = setting(0, "fixes the minimum")

    def __post_init__(self) -> None:
        require("kind", self.kind, self.kind in KINDS, f"one of {', '.join(KINDS)}")
        for name in ("batch_size", "examples", "dimension"):
            require(name, getattr(self, name), getattr(self, name) >= 1, ">= 1")
        require("rho", self.rho, np.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")


def measure(setting: Setting) -> dict[str, Any]:
    """The largest stable steps, and Eq. 7 at them.

    Returns:
        - `condition`, `exact`: the largest step by (6), and in truth.
        - `mean`: by the mean step alone, `2 / lambda_max(H + rho M_2)`; `sharpness`, by the
          sharpest direction alone, `2 / (a (1 + rho a))`. Neither is enough for stability.
        - `rate`: of log ||x|| a step, of single runs at the exact step; below 0 they come nearer.
        - `centred`, `powers`: for each quantity of Eq. 7, value / limit at the step of (6), with
          centred moments and with `M_k - H^k`.
        - `at_exact`: as `centred`, at the exact step.
    """
    hessians = on_range(ensemble(setting.kind, setting.examples, setting.dimension, setting.seed))
    rho, batch_size = setting.rho, setting.batch_size
    condition, exact = (
        float(critical_step(hessians, rho, batch_size, way)) for way in (False, True)
    )
    h, m_2 = moments(hessians, batch_size, 2)
    sharpest = largest(h)
    centred, at_exact = (
        {name: bound.value / bound.limit for name, bound in found.items()}
        for found in (bounds(hessians, eta, rho, batch_size) for eta in (condition, exact))
    )
    limits = {name: b.limit for name, b in bounds(hessians, condition, rho, batch_size).items()}
    powers = {name: v / limits[name] for name, v in uncentred(hessians, batch_size).items()}
    return {
        "condition": condition,
        "exact": exact,
        "mean": 2 / largest(h + rho * m_2),
        "sharpness": 2 / (sharpest * (1 + rho * sharpest)),
        "rate": rate(hessians, exact, rho, batch_size, setting.seed),
        "centred": centred,
        "powers": powers,
        "at_exact": at_exact,
    }


def rate(hessians: np.ndarray, eta: float, rho: float, batch_size: int, seed: int) -> float:
    """The mean of (log ||x_T|| - log ||x_0||) / T over simulated runs: their Lyapunov exponent."""
    rng = np.random.default_rng([seed, 1])
    x = rng.normal(size=(_RUNS, hessians.shape[-1]))
    total = 0.0
    for _ in range(_STEPS):
        h = hessians[rng.integers(len(hessians), size=(_RUNS, batch_size))].mean(axis=1)
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.maximum(length, np.finfo(float).tiny)
        moved = x + rho * np.einsum("nij,nj->ni", h, x)
        x = x - eta * np.einsum("nij,nj->ni", h, moved)
        total += np.log(np.maximum(np.linalg.norm(x, axis=1), 1e-300)).mean()
    return float(total / _STEPS)
