"""One problem: the theorem's numbers beside the exact ones."""

import dataclasses
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.convergence.least_squares import (
    PROBLEMS,
    constants,
    exact_factor,
    expected_losses,
    problem,
)
from recipes.theory.convergence.rate import factor, largest_rho, largest_step_size, step_size
from recipes.theory.validation import require

# Step sizes, relative to eta*, at which the bound of one step is checked.
STEP_SIZES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# Steps of the trajectory that is kept.
STEPS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One check: what its result depends on.

    Args:
        problem: One of `PROBLEMS`.
        batch_size: B, drawn with replacement.
        rhos_relative: rho over rho_max, at least 0 and below 1; 0 is SGD.
        examples: n.
        dimension: d, at least n.
        seed: Fixes the problem.

    Raises:
        ValueError: If a setting is out of range.
    """

    problem: str = setting("rows", "kinds of least squares", PROBLEMS)
    batch_size: int = setting(1, "examples a step, drawn with replacement")
    rhos_relative: float = setting(0.0, "radii, as shares of the largest that is allowed; 0 is SGD")
    examples: int = setting(6, "number of examples")
    dimension: int = setting(24, "number of weights")
    seed: int = setting(0, "fixes the problem")

    def __post_init__(self) -> None:
        require("problem", self.problem, self.problem in PROBLEMS, f"one of {', '.join(PROBLEMS)}")
        require("batch_size", self.batch_size, self.batch_size >= 1, ">= 1")
        share = self.rhos_relative
        require("rhos_relative", share, 0 <= share < 1, ">= 0 and < 1")
        require("examples", self.examples, self.examples >= 1, ">= 1")
        enough = self.dimension >= self.examples
        require("dimension", self.dimension, enough, f">= `examples`, {self.examples}")


def measure(setting: Setting) -> dict[str, Any]:
    """Compares the theorem with the exact factor of a step.

    Returns:
        - `rho_max`, `rho`, `eta`: of the theorem; eta is eta*.
        - `exact`, `bound`: the factor of a step with eta*.
        - `ratios`: exact / bound at `STEP_SIZES` times eta*; NaN where no bound is proven.
        - `losses`, `bounds`: `E f(x_t) / f(x_0)` from a random start, and the bound.
    """
    hessians = problem(setting.problem, setting.examples, setting.dimension, setting.seed)
    alpha, beta, smoothness = constants(hessians)
    batch_size = setting.batch_size
    rho_max = float(largest_rho(alpha, beta, batch_size))
    rho = setting.rhos_relative * rho_max
    known = (alpha, beta, smoothness, batch_size, rho)
    eta = float(step_size(*known))
    etas = eta * np.array(STEP_SIZES)
    proven = etas <= largest_step_size(beta, smoothness, batch_size, rho)
    ratios = np.full(etas.shape, np.nan)
    ratios[proven] = exact_factor(hessians, etas[proven], rho, batch_size) / factor(
        *known, etas[proven]
    )
    start = np.random.default_rng([setting.seed, 1]).normal(size=setting.dimension)
    losses = expected_losses(hessians, start, eta, rho, batch_size, STEPS)
    bound = float(factor(*known))
    return {
        "rho_max": rho_max,
        "rho": rho,
        "eta": eta,
        "exact": bound * float(ratios[STEP_SIZES.index(1.0)]),
        "bound": bound,
        "ratios": ratios.tolist(),
        "losses": (losses / losses[0]).tolist(),
        "bounds": (bound ** np.arange(STEPS + 1)).tolist(),
    }
