"""Does SAM converge linearly where all examples can be fitted, and as fast as promised?

Least squares that interpolate, where the largest ratio of expected losses `E f(x+) / f(x)` over all
x is an eigenvalue: each of the theorem's numbers is compared with an exact one. Kinds of problems:
normal rows, rows of equal length, orthonormal rows, two outputs an example.

Claim:   Theorem 7 (single examples) and 12 (batches of B): unnormalised SAM with the step size eta*
         and any rho below rho_max has `E f(x_t) <= factor^t f(x_0)` with a factor below 1.
Shows:   Holds. No step of any problem is worse than the bound; for SGD on orthonormal rows it is an
         equality, and SAM comes near it at large steps. Normal rows converge twice as fast as the
         bound says for SGD, and four times for SAM with rho = rho_max / 2: on least squares the
         ascent helps, and the bound has to assume that it hurts.
Cost:    seconds; NumPy alone.
Command: python -m recipes.theory.convergence
"""

from recipes.theory.convergence.least_squares import (
    PROBLEMS,
    Constants,
    constants,
    exact_factor,
    expected_losses,
    problem,
)
from recipes.theory.convergence.rate import factor, largest_rho, largest_step_size, step_size

__all__ = [
    "PROBLEMS",
    "Constants",
    "constants",
    "exact_factor",
    "expected_losses",
    "factor",
    "largest_rho",
    "largest_step_size",
    "problem",
    "step_size",
]
