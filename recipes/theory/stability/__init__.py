"""Which minima is SAM linearly stable at, and what does that say about them?

Random Hessians of examples, of several kinds; everything is computed exactly, by eigenvalues.

Claim:   Theorem 9: unnormalised SAM stays near a minimum, in the mean square, if condition (6)
         holds: lambda_max(E[A^2]) <= 1. Eq. 7: it then has, with a = lambda_max(H),
         `a (1 + rho a) <= 2 / eta`, and bounds on the moments s_2, s_3, s_4 of the examples'
         Hessians, so that larger rho means flatter and more uniform.
Shows:   The condition is sufficient and close: it allows .87 to 1.00 of the exact largest step. The
         bound on lambda_max always holds. Those on the moments hold under (6) with centred
         moments; with `M_4 - H^4`, as s_4 is measured, the last is false for rho > eta / 2; and
         none of the three is necessary for stability itself. Single runs are far more stable than
         their mean square.
Cost:    a quarter of a minute; NumPy and SciPy alone.
Command: python -m recipes.theory.stability
"""

from recipes.theory.stability.bounds import Bound, bounds, limits, uncentred
from recipes.theory.stability.ensembles import KINDS, ensemble
from recipes.theory.stability.expectations import expectation, moments
from recipes.theory.stability.linear_stability import (
    critical_step,
    expected_square,
    on_range,
    range_basis,
    second_moment_operator,
)

__all__ = [
    "KINDS",
    "Bound",
    "bounds",
    "critical_step",
    "ensemble",
    "expectation",
    "expected_square",
    "limits",
    "moments",
    "on_range",
    "range_basis",
    "second_moment_operator",
    "uncentred",
]
