"""Where the theorem can be checked exactly: least squares that interpolate.

`f_i(x) = 1/2 ||J_i x||^2`, all 0 at 0, with Hessians `H_i = J_i^T J_i`. A step multiplies x by
`A = I - eta (H_B + rho H_B^2)`, so that over all batches and all x

    max_x E f(x+) / f(x) = max_x (x^T E[A H A] x) / (x^T H x)

is a root of an eigenvalue problem on range(H): no simulation, no tolerance but rounding. The
constants are exact too: `alpha = 2 lambda_min+(H)`, `beta = max_i lambda_max(H_i)`,
`lambda = lambda_max(H)`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.linalg

from recipes.theory.stability import on_range, range_basis, second_moment_operator
from recipes.theory.validation import require

Array = np.ndarray

PROBLEMS = ("rows", "equal", "orthogonal", "outputs")


class Constants(NamedTuple):
    """What the theorem asks of a problem; the names are its own."""

    alpha: float
    beta: float
    smoothness: float


def problem(kind: str, examples: int, dimension: int, seed: int) -> Array:
    """Draws the Hessians of a least-squares problem.

    Args:
        kind: "rows", one normal row an example; "equal", the same scaled to length 1;
            "orthogonal", orthonormal rows, for which SGD's bound is an equality; "outputs", two
            normal rows an example.
        examples: n.
        dimension: d, at least n for "orthogonal".
        seed: Fixes the draw.

    Returns:
        An array (n, d, d).

    Raises:
        ValueError: If an argument is not as said.

    Example:

    >>> problem("orthogonal", 2, 2, seed=0).sum(axis=0).round(12)
    array([[1., 0.],
           [0., 1.]])
    """
    require("kind", kind, kind in PROBLEMS, f"one of {', '.join(PROBLEMS)}")
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(examples, 2 if kind == "outputs" else 1, dimension))
    if kind == "equal":
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    if kind == "orthogonal":
        require("dimension", dimension, dimension >= examples, f">= `examples`, {examples}")
        rows[:, 0] = np.linalg.qr(rows[:, 0].T)[0].T
    return rows.swapaxes(1, 2) @ rows


def constants(hessians: Array) -> Constants:
    """The constants of the theorem for Hessians (n, d, d), exactly.

    Example:

    >>> constants(np.array([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])]))
    Constants(alpha=1.0, beta=1.0, smoothness=0.5)
    """
    hessians = on_range(hessians)
    values = np.linalg.eigvalsh(hessians.mean(axis=0))
    beta = np.linalg.eigvalsh(hessians)[:, -1].max()
    return Constants(2 * float(values[0]), float(beta), float(values[-1]))


def exact_factor(
    hessians: Array, eta: npt.ArrayLike, rho: npt.ArrayLike, batch_size: int = 1
) -> Array:
    """What one step multiplies the expected loss with at worst: `max_x E f(x+) / f(x)`.

    Args:
        hessians: (n, d, d), positive semi-definite.
        eta: Step size, > 0. It broadcasts against rho.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        batch_size: B, >= 1 examples drawn with replacement. Defaults to 1.

    Returns:
        The factor, to rounding, of the broadcast shape.

    Raises:
        ValueError: If an argument is not as said.

    Example:

    >>> float(exact_factor(problem("orthogonal", 4, 4, seed=0), eta=1.0, rho=0.0).round(12))
    0.75
    """
    hessians = on_range(hessians)
    hessian = hessians.mean(axis=0)
    # E[A H A] is the operator E[A (x) A], which is symmetric, applied to H.
    operator = second_moment_operator(hessians, eta, rho, batch_size)
    after = (operator @ hessian.ravel()).reshape(*operator.shape[:-2], *hessian.shape)
    root = scipy.linalg.inv(scipy.linalg.sqrtm(hessian))
    return np.linalg.eigvalsh(root @ after @ root)[..., -1]


def expected_losses(
    hessians: Array, start: Array, eta: float, rho: float, batch_size: int, steps: int
) -> Array:
    """`E f(x_t)` for t = 0 to `steps`, exactly, by the recursion of `E[x x^T]`.

    Args:
        hessians: (n, d, d), positive semi-definite.
        start: x_0, (d,).
        eta: Step size, > 0.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        batch_size: B, >= 1.
        steps: How many, >= 0.

    Returns:
        An array (steps + 1,).

    Raises:
        ValueError: If an argument is not as said.

    Example:

    >>> expected_losses(np.ones((1, 1, 1)), np.ones(1), eta=0.5, rho=0.0, batch_size=1, steps=2)
    array([0.5    , 0.125  , 0.03125])
    """
    basis = range_basis(hessians)  # Beyond it nothing moves, and no loss depends on it.
    hessians, start = basis.T @ hessians @ basis, basis.T @ start
    operator = second_moment_operator(hessians, eta, rho, batch_size)
    hessian = hessians.mean(axis=0).ravel()
    moment = np.outer(start, start).ravel()
    losses = [hessian @ moment / 2]
    for _ in range(steps):
        moment = operator @ moment
        losses.append(hessian @ moment / 2)
    return np.array(losses)
