"""Extreme eigenvalues of the Hessian."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from keras_sam.sharpness.hessian import HessianOperator
from keras_sam.sharpness.memory import require_memory
from keras_sam.sharpness.validation import positive, positive_integer

# Which eigenvalues, and the key that sorts those wanted most to the front.
ORDERS = {"LA": lambda value: -value, "SA": lambda value: value, "LM": lambda value: -abs(value)}


class NotConvergedError(ValueError):
    """More products are needed, or less accuracy."""


def hessian_eigenvalues(
    model: Any,
    data: Any = None,
    k: int = 1,
    *,
    which: str = "LA",
    tolerance: float = 1e-3,
    max_products: int = 1000,
    seed: int = 0,
    **options: Any,
) -> np.ndarray:
    """Computes the k largest eigenvalues of the Hessian of a model's loss.

        H u_i = lambda_i u_i,    lambda_1 >= lambda_2 >= ... >= lambda_k

    by the implicitly restarted Lanczos method (ARPACK), from a random start. It takes 20 products
    `H v` or more, the more the closer the eigenvalues lie, each of two to three gradients of the
    data. BatchNorm is in inference mode and regularisation losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        k: How many, at most the number n of weights that are not pruned. Defaults to 1.
        which: "LA", the largest; "SA", the smallest (most negative); "LM", the largest in
            magnitude. Defaults to "LA".
        tolerance: Relative accuracy of each eigenvalue, > 0. Products computed in float32 allow no
            better than about 1e-6. Defaults to 1e-3.
        max_products: Gives up after about so many products. Defaults to 1000.
        seed: Of the random start. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A float64 array of shape (k,), those wanted most first, in units of the loss (weights have
        none).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `k` exceeds n; if the n x max(2 k + 1, 20) float64 matrix of Lanczos vectors
            does not fit into memory; if `max_products` were not enough; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> x = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> hessian_eigenvalues(model, (x, np.zeros((2, 1))), k=2).round(6).tolist()  # of x^T x
    [4.0, 1.0]

    References:
        - Lehoucq, Sorensen and Yang 1998, "ARPACK Users' Guide"
    """
    return extreme_eigenvalues(
        HessianOperator(model, data, **options), k, which, tolerance, max_products, seed
    )


def extreme_eigenvalues(
    operator: LinearOperator,
    k: int = 1,
    which: str = "LA",
    tolerance: float = 1e-3,
    max_products: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """The same for any symmetric linear operator of SciPy."""
    n = operator.shape[0]
    k = positive_integer("k", k)
    tolerance = positive("tolerance", tolerance)
    max_products = positive_integer("max_products", max_products)
    if k > n:
        raise ValueError(
            f"`k` must not exceed the number of weights that are not pruned, {n}. Received: `k={k}`"
        )
    if which not in ORDERS:
        raise ValueError(f"`which` must be one of {list(ORDERS)}. Received: `which={which!r}`")
    basis = min(n, max(2 * k + 1, 20))
    require_memory(
        8 * n * (basis + 4), f"The Lanczos vectors of {k} eigenvalues", f"Received: `k={k}`"
    )
    if basis == n:  # As many products as give the whole matrix.
        matrix = operator @ np.eye(n)
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    else:
        values = _lanczos(operator, k, which, tolerance, max_products, seed, basis)
    return np.array(sorted(values, key=ORDERS[which])[:k])


def _lanczos(
    operator: LinearOperator,
    k: int,
    which: str,
    tolerance: float,
    max_products: int,
    seed: int,
    basis: int,
) -> np.ndarray:
    start = np.random.default_rng(seed).standard_normal(operator.shape[0])
    # A product decides what ARPACK, which needs a direction to go on, could not: H = 0.
    start = operator @ start
    if not np.any(start):
        return np.zeros(k)
    if not np.all(np.isfinite(start)):
        raise ValueError(
            "`model` must have a finite Hessian. Received: a product with NaN or infinite entries"
        )
    restarts = max(1, (max_products - basis) // (basis - k))
    try:
        return eigsh(
            operator,
            k,
            which=which,
            v0=start,
            ncv=basis,
            tol=tolerance,
            maxiter=restarts,
            return_eigenvectors=False,
        )
    except ArpackNoConvergence as error:
        raise ValueError(
            f"`max_products` must be larger, or `tolerance` too: {len(error.eigenvalues)} of {k} "
            "eigenvalues converged. "
            f"Received: `max_products={max_products}`, `tolerance={tolerance}`"
        ) from None
