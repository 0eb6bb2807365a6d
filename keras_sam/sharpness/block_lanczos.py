"""Extreme eigenvalues of a symmetric operator, equal ones counted, by block Lanczos.

With V orthonormal and Q the next block, the recurrence leaves a residual in that block alone:

    A V = V T + Q R E^T        T = V^T A V,    E: the last block's columns of the identity

so an eigenpair (theta, s) of T gives a vector u = V s with A u - theta u = Q R E^T s. Orthonormal
u_1, ..., u_k belong to k eigenvalues, equal ones counted, each as near to its theta_i as the
2-norm of the matrix of these residuals is small (Parlett 1998, section 11.5).

Why not SciPy's: ARPACK (`eigsh`) starts from one vector, whose Krylov space holds one direction for
each distinct eigenvalue, so that it misses copies; its accuracy is relative to each eigenvalue,
which none is where that is 0; and it fails for A = 0. `lobpcg` has one absolute tolerance for all,
and no "LM". A block of k random vectors holds k directions for every eigenvalue.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator

# Fewer products are no search: early on a residual may be small by chance.
LEAST_PRODUCTS = 21
# Blocks in memory: with fewer, restarts forget too much. With 3, of 10 eigenvalues of a 45 x 45
# matrix the last was the eleventh.
BLOCKS = 8
# An eigenvalue below this share of the largest is given no more digits than one of that size: there
# are no relative digits of 0.
SMALLEST_SHARE = 1e-3
# What rounding adds up to, in errors of one product.
ROUNDINGS = 16.0

Order = Callable[[np.ndarray], np.ndarray]


class NotConvergedError(ValueError):
    """More products are needed, or less accuracy; or products are not finite."""


def stored_vectors(n: int, k: int) -> int:
    """How many vectors of length n are kept besides the next block.

    0 if n is too small for that. The n products that make the whole matrix are then no more.
    """
    blocks = max(BLOCKS, -(-LEAST_PRODUCTS // k))
    return blocks * k if n >= (blocks + 1) * k else 0


def block_lanczos(
    operator: LinearOperator, k: int, order: Order, tolerance: float, max_products: int, seed: int
) -> np.ndarray:
    """The first k eigenvalues in an order. `hessian_eigenvalues` says what is promised of them.

    Args:
        operator: A, symmetric. Its attribute `rounding`, where it has one, is the rounding error of
            its products with unit vectors so far.
        k: How many; `stored_vectors(n, k)` must not be 0.
        order: Gives the key by which eigenvalues are sorted, those wanted most first.
        tolerance: Accuracy relative to each eigenvalue.
        max_products: After how many products to give up.
        seed: Of the random block to start from, and of what replaces a block that is used up.

    Returns:
        A float64 array of shape (k,).

    Raises:
        NotConvergedError: If `max_products` were not enough, or a product is not finite.
    """
    random = np.random.default_rng(seed)
    n = operator.shape[0]
    stored = stored_vectors(n, k)
    restart = stored // k // 2 * k
    basis = np.empty((n, stored), order="F")
    projected = np.zeros((stored, stored))  # T
    used = products = 0
    block = np.linalg.qr(random.standard_normal((n, k)))[0]
    while True:
        image = images(operator, block)
        products += k
        old, used = used, used + k
        basis[:, old:used] = block
        present, t = basis[:, :used], projected[:used, :used]
        t[:, old:] = present.T @ image
        t[old:, :] = t[:, old:].T
        t[old:, old:] = (t[old:, old:] + t[old:, old:].T) / 2
        for _ in range(2):  # Twice is enough (Kahan): orthogonal to working precision.
            image -= present @ (present.T @ image)
        noise = ROUNDINGS * max(
            np.finfo(float).eps * np.abs(t).max(), getattr(operator, "rounding", 0.0)
        )
        block = _next_block(image, present, noise, random)
        if products < LEAST_PRODUCTS:
            continue
        values, vectors = np.linalg.eigh(t)
        wanted = np.argsort(order(values), kind="stable")
        values, vectors = values[wanted], vectors[:, wanted]
        residuals = block.T @ image @ vectors[old:, :]
        scale = np.maximum(np.abs(values[:k]), SMALLEST_SHARE * np.abs(values).max())
        allowed = np.maximum(np.maximum(tolerance * scale, noise), np.finfo(float).tiny)
        shares = residuals[:, :k] / allowed
        if np.linalg.norm(shares, 2) <= 1 and not _overtaken(
            order(values), k, np.linalg.norm(residuals, axis=0), allowed[-1]
        ):
            return values[:k]
        if products + k > max_products:
            raise NotConvergedError(
                f"`max_products` must be larger, or `tolerance` too: "
                f"{(np.linalg.norm(shares, axis=0) <= 1).sum()} of {k} eigenvalues converged. "
                f"Received: `max_products={max_products}`, `tolerance={tolerance}`"
            )
        if used == stored:
            used = restart
            basis[:, :used] = basis @ vectors[:, :used]
            projected[:used, :used] = np.diag(values[:used])


def _overtaken(keys: np.ndarray, k: int, residuals: np.ndarray, allowed: float) -> bool:
    """Whether what has not converged may yet come before the k-th: it is right to its residual."""
    return bool(np.any(keys[k:] - residuals[k:] < keys[k - 1] - allowed))


def images(operator: LinearOperator, block: np.ndarray) -> np.ndarray:
    """The products of an operator with the columns of a block, if all are finite."""
    products = np.asarray(operator @ block, np.float64)
    if not np.all(np.isfinite(products)):
        raise NotConvergedError(
            "`model` must have a finite Hessian. Received: a product with NaN or infinite entries"
        )
    return products


def _next_block(
    image: np.ndarray, basis: np.ndarray, noise: float, random: np.random.Generator
) -> np.ndarray:
    """An orthonormal basis of the image, orthogonal to `basis`; random where only noise is left."""
    block, triangle = np.linalg.qr(image)
    noisy = np.abs(np.diag(triangle)) <= noise
    block[:, noisy] = random.standard_normal((len(image), noisy.sum()))
    for _ in range(2):
        block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
    return block
