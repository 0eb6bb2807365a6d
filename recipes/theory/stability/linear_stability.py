"""Which minima is SAM linearly stable at? Definition 8 and Theorem 9.

At a minimum of every example's loss, with the Hessians `H_i`, a step of unnormalised SAM on a batch
multiplies a small deviation by

    A = I - eta G        G = H_B + rho H_B^2

where `H_B` is the mean of the B examples' Hessians. With `P = E[G]` and `Q = E[G^2]`,

    E ||A x||^2 = x^T E[A^2] x        E[A^2] = I - 2 eta P + eta^2 Q

so that **lambda_max(E[A^2]) <= 1, condition (6), suffices** for `E ||x_t||^2 <= ||x_0||^2`. It is
not necessary: `E[x x^T]` obeys the recursion `S -> E[A S A]`, and stays bounded just if the
spectral radius of this map, the d^2 x d^2 matrix `E[A (x) A]`, is at most 1.

Both have a largest step in closed form. For (6), `x^T E[A^2] x <= x^T x` for all x is

    eta <= 2 min_x (x^T P x) / (x^T Q x) = 2 / mu,        mu the largest root of Q v = mu P v

and for the exact answer, with `L(S) = P S + S P` and `K(S) = E[G S G]`: the radius of
`S -> S - eta L(S) + eta^2 K(S)` is below 1 just if some S > 0 has `L(S) > eta K(S)` (Lyapunov).
`L^-1` and `K` keep positive matrices positive, so this is `eta rho(L^-1 K) < 1`:

    eta < 1 / mu,        mu the largest root of K s = mu L s

**All of this is on range(H).** Where there are fewer examples than weights, as at every
overparameterised minimum, H has a null space, along which nothing moves: there `E[A^2]` is exactly
the identity, `lambda_max` exactly 1, and a search for the step where it passes 1 returns rounding.

Source: Shin et al. 2025, https://arxiv.org/abs/2311.17539, Definition 8, Theorem 9, Eq. 6 (derived
anew here; the exact answer and the closed forms are not in the paper). For SGD: Wu et al. 2018,
"How SGD Selects the Global Minima", section 3.
"""

import numpy as np
import numpy.typing as npt
import scipy.linalg

from recipes.theory.stability.expectations import expectation, moments
from recipes.theory.validation import require, symmetric_matrices

Array = npt.NDArray[np.float64]

# Eigenvalues of H below this share of the largest are its null space.
_NULL = 1e-10


def expected_square(
    hessians: Array, eta: npt.ArrayLike, rho: npt.ArrayLike, batch_size: int = 1
) -> Array:
    """`E[A^2]`, whose largest eigenvalue on range(H) condition (6) compares with 1.

        E[A^2] = I - 2 eta (H + rho M_2) + eta^2 (M_2 + 2 rho M_3 + rho^2 M_4),  M_k = E[H_B^k]

    Args:
        hessians: The Hessian of each example at the minimum, (n, d, d).
        eta: Step size, > 0. It broadcasts against rho.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        batch_size: B, >= 1 examples drawn with replacement. Defaults to 1.

    Returns:
        An array (..., d, d), with the broadcast shape in front.

    Raises:
        ValueError: If an argument is not as said.

    Example, (1 - .5)^2:

    >>> expected_square(np.ones((1, 1, 1)), eta=0.5, rho=0.0)
    array([[0.25]])
    """
    eta, rho = _checked(eta, rho)
    p, q = _first(hessians, rho, batch_size), _second(hessians, rho, batch_size)
    return np.eye(p.shape[-1]) - 2 * eta * p + eta**2 * q


def second_moment_operator(
    hessians: Array, eta: npt.ArrayLike, rho: npt.ArrayLike, batch_size: int = 1
) -> Array:
    """`E[A (x) A]`, the matrix that takes `vec E[x x^T]` from one step to the next.

    Args:
        hessians: The Hessian of each example at the minimum, (n, d, d).
        eta: Step size, > 0. It broadcasts against rho.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD.
        batch_size: B, >= 1 examples drawn with replacement. Defaults to 1.

    Returns:
        An array (..., d^2, d^2), symmetric, with the broadcast shape in front. The minimum is
        linearly stable in the mean square just if the spectral radius on range(H) is at most 1.

    Raises:
        ValueError: If an argument is not as said.

    Example, H_i in {0, 1}: half of the steps multiply x by .5, so x^2 by .25:

    >>> second_moment_operator(np.array([[[0.0]], [[1.0]]]), eta=0.5, rho=0.0)
    array([[0.625]])
    """
    eta, rho = _checked(eta, rho)
    lyapunov = _lyapunov(_first(hessians, rho, batch_size))
    quadratic = _quadratic(hessians, rho, batch_size)
    return np.eye(lyapunov.shape[-1]) - eta * lyapunov + eta**2 * quadratic


def critical_step(
    hessians: Array, rho: npt.ArrayLike, batch_size: int = 1, exact: bool = True
) -> Array:
    """The largest step size at which the minimum is linearly stable for SAM.

    See the module's docstring for the formulas.

    Args:
        hessians: The Hessian of each example at the minimum, (n, d, d), positive semi-definite.
        rho: Radius of unnormalised SAM, >= 0; 0 is SGD. An array gives as many steps.
        batch_size: B, >= 1 examples drawn with replacement. Defaults to 1.
        exact: If `True`, stability in the mean square; if `False`, the paper's condition (6), which
            never promises more. Defaults to `True`.

    Returns:
        The step size, of rho's shape; infinite if all Hessians are 0.

    Raises:
        ValueError: If an argument is not as said.

    Example, H_i in {0, 1}: 2 / (1 + rho):

    >>> critical_step(np.array([[[0.0]], [[1.0]]]), [0.0, 0.25])
    array([2. , 1.6])
    """
    hessians = on_range(hessians)
    shape = np.shape(rho)
    _, rho = _checked(1.0, rho)
    if hessians.shape[-1] == 0:
        return np.full(shape, np.inf)
    p = _first(hessians, rho, batch_size)
    if exact:
        a, b, unit = _quadratic(hessians, rho, batch_size), _lyapunov(p), 1.0
    else:
        a, b, unit = _second(hessians, rho, batch_size), p, 2.0
    steps = [unit / _largest_root(a[index], b[index]) for index in np.ndindex(shape)]
    return np.reshape(steps, shape)


def on_range(hessians: Array) -> Array:
    """The Hessians in an orthonormal basis of range(H), the sum of their ranges.

    Args:
        hessians: (n, d, d), positive semi-definite.

    Returns:
        An array (n, r, r) with r the rank of their mean; the order of the basis is that of its
        eigenvalues, ascending.

    Raises:
        ValueError: If they are not as said: at a minimum of every example's loss they are.
    """
    basis = range_basis(hessians)
    return basis.T @ hessians @ basis


def range_basis(hessians: Array) -> Array:
    """An orthonormal basis of range(H), in columns (d, r): eigenvectors of H, see `on_range`."""
    hessians = symmetric_matrices("hessians", hessians)
    smallest, largest = np.linalg.eigvalsh(hessians)[:, 0].min(), np.abs(hessians).max()
    require("hessians", hessians, smallest >= -1e-9 * largest, "positive semi-definite")
    values, vectors = np.linalg.eigh(hessians.mean(axis=0))
    return vectors[:, values > _NULL * max(values[-1], 0)]


def _first(hessians: Array, rho: Array, batch_size: int) -> Array:
    """P = E[G] = H + rho M_2."""
    m_1, m_2 = moments(hessians, batch_size, 2)
    return m_1 + rho * m_2


def _second(hessians: Array, rho: Array, batch_size: int) -> Array:
    """Q = E[G^2]."""
    _, m_2, m_3, m_4 = moments(hessians, batch_size)
    return m_2 + 2 * rho * m_3 + rho**2 * m_4


def _lyapunov(p: Array) -> Array:
    """The matrix of S -> P S + S P."""
    identity = np.eye(p.shape[-1])
    return _matrix(
        np.einsum("...ac,bd->...abcd", p, identity) + np.einsum("ac,...bd->...abcd", identity, p)
    )


def _quadratic(hessians: Array, rho: Array, batch_size: int) -> Array:
    """The matrix of S -> E[G S G]."""
    rho = rho[..., None, None]
    one_one = expectation(hessians, batch_size, "AC BD", "ABCD")
    one_two = expectation(hessians, batch_size, "AC BE ED", "ABCD")
    two_two = expectation(hessians, batch_size, "AE EC BF FD", "ABCD")
    return _matrix(one_one + rho * (one_two + one_two.transpose(1, 0, 3, 2)) + rho**2 * two_two)


def _matrix(tensor: Array) -> Array:
    """(..., d, d, d, d) as (..., d^2, d^2)."""
    size = tensor.shape[-1] ** 2
    return tensor.reshape(*tensor.shape[:-4], size, size)


def _largest_root(a: Array, b: Array) -> float:
    """The largest mu with a v = mu b v."""
    return float(scipy.linalg.eigh(a, b, eigvals_only=True, subset_by_index=[len(a) - 1] * 2)[0])


def _checked(eta: npt.ArrayLike, rho: npt.ArrayLike) -> tuple[Array, Array]:
    """Both of one shape, with two axes more, for those of a matrix."""
    eta, rho = np.broadcast_arrays(np.asarray(eta, float), np.asarray(rho, float))
    require("eta", eta, np.isfinite(eta) & (eta > 0), "finite and > 0")
    require("rho", rho, np.isfinite(rho) & (rho >= 0), "finite and >= 0")
    return eta[..., None, None], rho[..., None, None]
