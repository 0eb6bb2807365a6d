"""What linear stability says about a minimum: Eq. 7, in the form that holds.

Condition (6), `lambda_max(E[A^2]) <= 1`, can be written as (sym(X) = (X + X^T) / 2, M_k = E[H_B^k])

    E[A^2] = (I - eta H - eta rho M_2)^2 + eta^2 (M_2 - H^2)
             + 2 eta^2 rho (M_3 - sym(H M_2)) + eta^2 rho^2 (M_4 - M_2^2)

and, taking each term alone to be at most 1,

    a (1 + rho a) <= 2 / eta        a = lambda_max(H):   a <= (sqrt(1 + 8 rho / eta) - 1) / (2 rho)
    s_2^2 <= 1 / eta^2              s_2^2 = lambda_max(M_2 - H^2)
    s_3^3 <= 1 / (2 eta^2 rho)      s_3^3 = lambda_max(M_3 - sym(H M_2))
    s_4^4 <= 1 / (eta rho)^2        s_4^4 = lambda_max(M_4 - M_2^2)

What is proven:

- The first is necessary for (6) and for stability itself: for a unit vector v the spectral radius
  is at least `E[(v^T A v)^2] >= (v^T E[A] v)^2`, and `M_2 >= H^2`.
- The other three are necessary for (6) where the Hessians commute, for then each term is
  positive semi-definite. Where they do not, no exception has been found.
- None of the three is necessary for stability itself: (6) is only sufficient for that.
- With `M_k - H^k` in place of the centred moments, as `s_k = lambda_max(M_k - H^k)^(1/k)` is
  measured, `E[A^2]` is

      (I - eta H - eta rho H^2)^2 + eta (eta - 2 rho) (M_2 - H^2)
      + 2 eta^2 rho (M_3 - H^3) + eta^2 rho^2 (M_4 - H^4)

  whose second term is negative for `rho > eta / 2`. The last bound is then wrong: `H_i` in {0, 1},
  rho = 10, eta = 2/11 satisfies (6), and `(eta rho)^2 (M_4 - H^4)` is 1.4463.

Source: Shin et al. 2025, https://arxiv.org/abs/2311.17539, Eq. 7 (derived anew here).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recipes.theory.stability.expectations import moments
from recipes.theory.validation import require

Array = npt.NDArray[np.float64]


class Bound(NamedTuple):
    """A quantity of a minimum and what Eq. 7 allows it to be at most."""

    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit, up to rounding."""
        return self.value <= self.limit * (1 + 1e-9)


def limits(eta: npt.ArrayLike, rho: npt.ArrayLike) -> dict[str, Array]:
    """The right-hand sides of Eq. 7, for the quantities themselves and not their powers.

        lambda_max: (sqrt(1 + 8 rho / eta) - 1) / (2 rho)     s_2: 1 / eta
        s_3: (2 eta^2 rho)^(-1/3)                             s_4: (eta rho)^(-1/2)

    Args:
        eta: Step size, > 0. The arguments broadcast against each other.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD: 2 / eta, 1 / eta, no limit, no limit.

    Returns:
        An array of the broadcast shape for each of `lambda_max`, `s_2`, `s_3`, `s_4`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> {name: round(float(value), 2) for name, value in limits(0.1, 0.1).items()}
    {'lambda_max': 10.0, 's_2': 10.0, 's_3': 7.94, 's_4': 10.0}
    """
    eta, rho = np.broadcast_arrays(np.asarray(eta, float), np.asarray(rho, float))
    require("eta", eta, np.isfinite(eta) & (eta > 0), "finite and > 0")
    require("rho", rho, np.isfinite(rho) & (rho >= 0), "finite and >= 0")
    with np.errstate(divide="ignore"):
        return {
            # The root of a (1 + rho a) = 2 / eta, in the form that rounding does not spoil at 0.
            "lambda_max": 4 / eta / (1 + np.sqrt(1 + 8 * rho / eta)),
            "s_2": 1 / eta,
            "s_3": (2 * eta**2 * rho) ** (-1 / 3),
            "s_4": (eta * rho) ** (-1 / 2),
        }


def bounds(hessians: Array, eta: float, rho: float, batch_size: int = 1) -> dict[str, Bound]:
    """Eq. 7 at a minimum, with moments centred as in the module's docstring.

    Args:
        hessians: The Hessian of each example at the minimum, (n, d, d).
        eta: Step size, > 0.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        batch_size: B, >= 1 examples drawn with replacement; the moments are the batches'. Defaults
            to 1.

    Returns:
        Value and limit of `lambda_max`, `s_2`, `s_3`, `s_4`.

    Raises:
        ValueError: If an argument is not as said.

    Example, the minimum of which `M_4 - H^4` would say 1.4463 > 1:

    >>> found = bounds(np.array([[[0.0]], [[1.0]]]), eta=2 / 11, rho=10.0)
    >>> round((found["s_4"].value / found["s_4"].limit) ** 4, 4)
    0.8264
    """
    m_1, m_2, m_3, m_4 = moments(hessians, batch_size)
    mixed = m_1 @ m_2
    values = {
        "lambda_max": largest(m_1),
        "s_2": root(m_2 - m_1 @ m_1, 2),
        "s_3": root(m_3 - (mixed + mixed.T) / 2, 3),
        "s_4": root(m_4 - m_2 @ m_2, 4),
    }
    limit = limits(eta, rho)
    return {name: Bound(value, float(limit[name])) for name, value in values.items()}


def uncentred(hessians: Array, batch_size: int = 1) -> dict[str, float]:
    """`s_k = lambda_max(M_k - H^k)^(1/k)`, k = 2 to 4: what `keras_sam.sharpness` measures.

    Args:
        hessians: The Hessian of each example at the minimum, (n, d, d).
        batch_size: B, >= 1. Defaults to 1.

    Returns:
        `s_2`, `s_3`, `s_4`.

    Raises:
        ValueError: If an argument is not as said.
    """
    m_1, *higher = moments(hessians, batch_size)
    return {
        f"s_{k}": root(m_k - np.linalg.matrix_power(m_1, k), k)
        for k, m_k in enumerate(higher, start=2)
    }


def largest(matrix: Array) -> float:
    """The largest eigenvalue of a symmetric matrix."""
    return float(np.linalg.eigvalsh(matrix)[-1])


def root(matrix: Array, k: int) -> float:
    """The k-th root of the largest eigenvalue, of which what rounding left below 0 is 0."""
    return max(largest(matrix), 0.0) ** (1 / k)
