"""The linear rate of SAM under interpolation: Theorem 7, and for mini-batches Theorem 12.

The setting. `f = mean_i f_i >= 0`; every `f_i` is `beta`-smooth, `f` is `lambda`-smooth
(`smoothness`), `||grad f||^2 >= alpha f` (the Polyak-Lojasiewicz inequality in the convention of
Bassily et al.; `alpha = 2 mu` in that of Karimi et al.), and all `f_i` are 0 at one point:
interpolation. A step of unnormalised SAM with `g_B`, the mean of `B` gradients drawn with
replacement, is `x+ = x - eta g_B(x + rho g_B(x))`.

The proof. Write `g = g_B(x)` and `h = g_B(x + rho g)`. As `g_B` is `beta`-Lipschitz,
`||h - g|| <= beta rho ||g||`. With Young's inequality (Lemma 10) and without (Lemma 11):

    <h, grad f> >= <g, grad f> - (beta rho / 2) (||g||^2 + ||grad f||^2)
    ||h||^2     <= (1 + beta rho)^2 ||g||^2

Put both into `f(x+) <= f - eta <h, grad f> + (lambda eta^2 / 2) ||h||^2` and take expectations,
with `E g = grad f`, `E ||g||^2 = E ||grad f_i||^2 / B + (1 - 1/B) ||grad f||^2` and, for functions
that are never negative, `||grad f_i||^2 <= 2 beta f_i`. What is left of `||grad f||^2` has the
factor

    -eta [1 - (beta rho / 2) (2 - 1/B) - (lambda eta / 2) (1 + beta rho)^2 (1 - 1/B)]

and where this bracket is >= 0, `||grad f||^2 >= alpha f` gives

    E f(x+) <= (1 - c1 eta + c2 eta^2) f(x)
    kappa = ((B - 1) alpha / 2 + beta) / B
    c1    = alpha - (kappa + alpha / 2) beta rho          c2 = lambda kappa (1 + beta rho)^2

least at `eta* = c1 / (2 c2)`, where the factor is `1 - c1^2 / (4 c2)`. At `eta*` the bracket is
>= 0 for every `rho < rho_max = 1 / ((kappa / alpha + 1/2) beta)`, where `c1` is positive.

With `rho = 0` this is the rate of SGD of Bassily et al. Young's inequality is what keeps `rho_max`
so small: with Cauchy and Schwarz's in its place, `c1 = alpha - beta rho sqrt(2 alpha beta)` for
B = 1, and every `rho < sqrt(alpha / (2 beta)) / beta` is admissible.

Sources: Shin et al. 2025, https://arxiv.org/abs/2311.17539, Theorems 7 and 12, Lemmas 10 and 11
(derived anew here); Bassily, Belkin and Ma 2018, https://arxiv.org/abs/1811.02564.
"""

import numpy as np
import numpy.typing as npt

from recipes.theory.validation import require

Array = npt.NDArray[np.float64]


def largest_rho(alpha: npt.ArrayLike, beta: npt.ArrayLike, batch_size: npt.ArrayLike) -> Array:
    """The radius below which the theorem promises a linear rate.

        rho_max = 1 / ((kappa / alpha + 1/2) beta)        kappa = ((B - 1) alpha / 2 + beta) / B

    Args:
        alpha: The constant of the PL inequality `||grad f||^2 >= alpha f`, > 0. This argument and
            the others broadcast against each other.
        beta: The smoothness of every `f_i`, >= `alpha / 2`.
        batch_size: B, >= 1; examples are drawn with replacement.

    Returns:
        `rho_max`, of the broadcast shape.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> float(largest_rho(0.5, 1.0, 1))
    0.4
    """
    alpha, beta, _, batch_size = _checked(alpha, beta, beta, batch_size)
    return 1 / ((_kappa(alpha, beta, batch_size) / alpha + 0.5) * beta)


def step_size(
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    batch_size: npt.ArrayLike,
    rho: npt.ArrayLike,
) -> Array:
    """The step size at which the theorem's rate is best.

        eta* = [alpha - (kappa + alpha / 2) beta rho] / [2 lambda kappa (1 + beta rho)^2]

    Args:
        alpha: The constant of the PL inequality `||grad f||^2 >= alpha f`, > 0. This argument and
            the others broadcast against each other.
        beta: The smoothness of every `f_i`.
        smoothness: lambda, the smoothness of `f`, `alpha / 2 <= lambda <= beta`.
        batch_size: B, >= 1; examples are drawn with replacement.
        rho: Radius of unnormalised SAM, >= 0 and below `largest_rho`; 0 is SGD.

    Returns:
        `eta*`, of the broadcast shape.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> float(step_size(0.5, 1.0, 0.25, 2, 0.0))
    1.6
    """
    c1, c2 = _coefficients(alpha, beta, smoothness, batch_size, rho)
    require("rho", rho, c1 > 0, "below `largest_rho(alpha, beta, batch_size)`")
    return c1 / (2 * c2)


def largest_step_size(
    beta: npt.ArrayLike, smoothness: npt.ArrayLike, batch_size: npt.ArrayLike, rho: npt.ArrayLike
) -> Array:
    """The step size up to which the bound of one step is proven: where the bracket is 0.

        eta_max = [1 - (beta rho / 2) (2 - 1/B)] / [(lambda / 2) (1 + beta rho)^2 (1 - 1/B)]

    Args:
        beta: The smoothness of every `f_i`. This argument and the others broadcast.
        smoothness: lambda, the smoothness of `f`, at most beta.
        batch_size: B, >= 1.
        rho: Radius, >= 0.

    Returns:
        `eta_max`: infinite for B = 1 and `beta rho <= 2`; 0 where no step is covered.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> float(largest_step_size(1.0, 0.25, 2, 0.0))
    16.0
    """
    smoothness = np.asarray(smoothness, float)
    require("smoothness", smoothness, smoothness > 0, "> 0")
    _, beta, smoothness, batch_size = _checked(smoothness, beta, smoothness, batch_size)
    rho = np.asarray(rho, float)
    require("rho", rho, np.isfinite(rho) & (rho >= 0), "finite and >= 0")
    left = 1 - beta * rho / 2 * (2 - 1 / batch_size)
    slope = smoothness / 2 * (1 + beta * rho) ** 2 * (1 - 1 / batch_size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left < 0, 0.0, np.where(slope == 0, np.inf, left / slope))


def factor(
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    batch_size: npt.ArrayLike,
    rho: npt.ArrayLike,
    eta: npt.ArrayLike | None = None,
) -> Array:
    """What a step multiplies the expected loss with at most: `E f(x+) <= factor f(x)`.

        factor = 1 - c1 eta + c2 eta^2        at eta* this is 1 - c1^2 / (4 c2)

    with `c1`, `c2` of the module's docstring.

    Args:
        alpha: The constant of the PL inequality `||grad f||^2 >= alpha f`, > 0. This argument and
            the others broadcast against each other.
        beta: The smoothness of every `f_i`.
        smoothness: lambda, the smoothness of `f`, `alpha / 2 <= lambda <= beta`.
        batch_size: B, >= 1; examples are drawn with replacement.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        eta: Step size, > 0 and at most `largest_step_size`. Defaults to `None`, `eta*`, for which
            rho must be below `largest_rho`.

    Returns:
        The factor, of the broadcast shape; below 1 the loss falls linearly.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> float(factor(0.5, 1.0, 0.25, 1, 0.0))
    0.75
    """
    c1, c2 = _coefficients(alpha, beta, smoothness, batch_size, rho)
    if eta is None:
        eta = step_size(alpha, beta, smoothness, batch_size, rho)
    eta = np.asarray(eta, float)
    require("eta", eta, np.isfinite(eta) & (eta > 0), "finite and > 0")
    # A part in 10^12 for those who ask at `largest_step_size` itself.
    proven = eta <= largest_step_size(beta, smoothness, batch_size, rho) * (1 + 1e-12)
    require("eta", eta, proven, "at most `largest_step_size`: beyond it nothing is proven")
    return 1 - c1 * eta + c2 * eta**2


def _kappa(alpha: Array, beta: Array, batch_size: Array) -> Array:
    return ((batch_size - 1) * alpha / 2 + beta) / batch_size


def _coefficients(
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike,
    smoothness: npt.ArrayLike,
    batch_size: npt.ArrayLike,
    rho: npt.ArrayLike,
) -> tuple[Array, Array]:
    alpha, beta, smoothness, batch_size = _checked(alpha, beta, smoothness, batch_size)
    rho = np.asarray(rho, float)
    require("rho", rho, np.isfinite(rho) & (rho >= 0), "finite and >= 0")
    kappa = _kappa(alpha, beta, batch_size)
    return (
        alpha - (kappa + alpha / 2) * beta * rho,
        smoothness * kappa * (1 + beta * rho) ** 2,
    )


def _checked(
    alpha: npt.ArrayLike, beta: npt.ArrayLike, smoothness: npt.ArrayLike, batch_size: npt.ArrayLike
) -> tuple[Array, Array, Array, Array]:
    alpha, beta, smoothness, size = (
        np.asarray(value, float) for value in (alpha, beta, smoothness, batch_size)
    )
    require("alpha", alpha, np.isfinite(alpha) & (alpha > 0), "finite and > 0")
    require("beta", beta, np.isfinite(beta), "finite")
    # A part in 10^9: constants of an isotropic problem, from eigenvalues, are equal but for that.
    slack = 1 + 1e-9
    require("smoothness", smoothness, smoothness <= beta * slack, f"at most `beta`, {beta}")
    require(
        "alpha", alpha, alpha <= 2 * smoothness * slack, f"at most 2 `smoothness`, {2 * smoothness}"
    )
    require("batch_size", batch_size, (size >= 1) & (size == np.round(size)), "integers >= 1")
    return alpha, beta, smoothness, size
