"""Two factors in place of a matrix: losses, gradients, SAM's steps, and the optimum.

    f_i(W_1, W_2) = 1/2 ||W_2 W_1 x_i - A x_i||^2        W_1 (k, in), W_2 (out, k)

with D = (W_2 W_1 - A) C and C = mean_i x_i x_i^T over the examples at hand,

    f = 1/2 tr((W_2 W_1 - A) C (W_2 W_1 - A)^T)     df/dW_1 = W_2^T D     df/dW_2 = D W_1^T

Every function works on many pairs of factors at once, with leading axes in front. Interpolation is
a matter of the rank: W_2 W_1 = A is possible just if k >= rank A, and all f_i are 0 there.

Source: Shin et al. 2025, https://arxiv.org/abs/2311.17539, Appendix A and Figure 1; for the
optimum, Eckart and Young 1936.
"""

import numpy as np
import numpy.typing as npt

from recipes.theory.validation import require

Array = npt.NDArray[np.float64]
Factors = tuple[Array, Array]


def optimal_loss(target: Array, inputs: Array, rank: npt.ArrayLike) -> Array:
    """The least loss of factors of a given rank, in closed form.

        f* = 1/2 sum_(j > k) sigma_j(A C^(1/2))^2

    With the substitution M = W_2 W_1 C^(1/2) the loss is `1/2 ||M - A C^(1/2)||^2` over matrices M
    of rank k, of which the best cuts off the singular values beyond the k-th.

    Args:
        target: A, (out, in).
        inputs: The x_i, (n, in).
        rank: k, >= 1; an array gives as many losses.

    Returns:
        f*, of rank's shape; 0 for k at least the rank of A.

    Raises:
        ValueError: If an argument is not as said.

    Example:

    >>> optimal_loss(np.diag([3.0, 2.0]), np.sqrt(2) * np.eye(2), [1, 2])
    array([2., 0.])
    """
    target, inputs = np.asarray(target, float), np.asarray(inputs, float)
    require("target.shape", target.shape, target.ndim == 2 and target.size > 0, "(out, in)")
    fits = inputs.ndim == 2 and len(inputs) > 0 and inputs.shape[1] == target.shape[1]
    require("inputs.shape", inputs.shape, fits, f"(n, in) with in = {target.shape[1]}")
    rank = np.asarray(rank)
    whole = np.issubdtype(rank.dtype, np.integer) and (rank >= 1).all()
    require("rank", rank, whole, "integers >= 1")
    # Squares of the singular values of A C^(1/2) are those of A X^T, over n.
    squares = np.linalg.svd(target @ inputs.T, compute_uv=False) ** 2 / len(inputs)
    tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)  # From the j-th on, j = 0, 1, ...
    return tails[np.minimum(rank, len(squares))] / 2


def loss(factors: Factors, target: Array, covariance: Array) -> Array:
    """f over the examples whose mean of x x^T is `covariance`, (..., in, in)."""
    error = factors[1] @ factors[0] - target
    return ((error @ covariance) * error).sum(axis=(-2, -1)) / 2


def gradient(factors: Factors, target: Array, covariance: Array) -> Factors:
    """The gradient of `loss` with respect to W_1 and W_2."""
    first, second = factors
    d = (second @ first - target) @ covariance
    return second.swapaxes(-2, -1) @ d, d @ first.swapaxes(-2, -1)


def squared_norm(factors: Factors) -> Array:
    """The sum of squares of both factors together."""
    first, second = ((part**2).sum(axis=(-2, -1)) for part in factors)
    return first + second


def sam_step(
    factors: Factors,
    target: Array,
    covariance: Array,
    eta: float,
    rho: Array,
    normalize: npt.NDArray[np.bool_],
) -> Factors:
    """One step of SGD or SAM on a batch.

        W+ = W - eta grad f_B(W + e)        e = rho g or rho g / ||g||        g = grad f_B(W)

    Args:
        factors: W_1 (..., k, in) and W_2 (..., out, k).
        target: A, (..., out, in).
        covariance: Mean of x x^T over the batch, (..., in, in).
        eta: Step size.
        rho: Radius of each pair of factors, (...); 0 is SGD.
        normalize: Whether each pair's gradient is divided by its norm, (...).

    Returns:
        The next factors.
    """
    g = gradient(factors, target, covariance)
    with np.errstate(divide="ignore"):
        length = np.where(normalize, rho / (np.sqrt(squared_norm(g)) + 1e-12), rho)
    length = length[..., None, None]
    moved = (factors[0] + length * g[0], factors[1] + length * g[1])
    h = gradient(moved, target, covariance)
    return factors[0] - eta * h[0], factors[1] - eta * h[1]


def two_cycle(curvature: npt.ArrayLike, eta: npt.ArrayLike, rho: npt.ArrayLike) -> Array:
    """Where normalised SAM ends on a parabola, instead of at its minimum.

        |x| = eta lambda rho / (2 - eta lambda)

    On `f = lambda x^2 / 2` the step is `x+ = x - eta lambda (x + rho sign x)`: however small the
    gradient, the perturbation is rho long. x jumps between c and -c for ever once
    `-c = c - eta lambda (c + rho)`. Unnormalised SAM has `x+ = (1 - eta lambda (1 + rho lambda)) x`
    and ends at 0.

    Args:
        curvature: lambda, > 0. The arguments broadcast.
        eta: Step size, `0 < eta lambda < 1`.
        rho: Radius, >= 0.

    Returns:
        c, of the broadcast shape.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> round(float(two_cycle(1.0, 0.5, 0.1)), 6)
    0.033333
    """
    curvature, eta, rho = (np.asarray(value, float) for value in (curvature, eta, rho))
    require("curvature", curvature, np.isfinite(curvature) & (curvature > 0), "finite and > 0")
    product = eta * curvature
    require("eta", eta, (product > 0) & (product < 1), "> 0 and below 1 / `curvature`")
    require("rho", rho, np.isfinite(rho) & (rho >= 0), "finite and >= 0")
    return product * rho / (2 - product)
