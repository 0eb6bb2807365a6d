"""Extreme eigenvalues of the Hessian."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from keras_sam.memory import require_memory
from keras_sam.sharpness.block_lanczos import block_lanczos, images, stored_vectors
from keras_sam.sharpness.hessian import HessianOperator
from keras_sam.validation import integer, positive

# Which eigenvalues, and the key that sorts those wanted most to the front.
ORDERS = {"LA": lambda value: -value, "SA": lambda value: value, "LM": lambda value: -abs(value)}


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

    by a block Lanczos method with thick restarts, from k random vectors. Equal eigenvalues count as
    often as they occur, and 0 and negative ones as any other. BatchNorm is in inference mode and
    regularisation losses are included, by default.

    What is promised of the value returned in place of lambda_i is

        |value - lambda_i| <= tolerance * max(|lambda_i|, ||H||_2 / 1000)

    or the rounding of the products if that is more: 2e-6 ||H||_2 in float32, 4e-15 ||H||_2 in
    float64. It is checked in two ways. That k eigenvalues are so near, equal ones counted, is known
    from the residuals ||H u - value u|| of k orthonormal vectors, before anything is returned. That
    they are the outermost ones rests on the start: k random vectors hold k directions for every
    eigenvalue, and a Krylov space from them grows towards the outermost first. After m products
    from one random vector, the largest eigenvalue is further than epsilon (lambda_1 - lambda_n)
    from the result with a probability below 1.65 sqrt(n) exp(-(2 m - 1) sqrt(epsilon)) (Kuczynski
    and Wozniakowski), so there are never fewer than 21 products (or n). Where eigenvalues crowd at
    the end of the spectrum, a smaller tolerance makes the search longer and so surer.

    It takes 21 products `H v` or more, the more the closer the eigenvalues lie and the larger k is,
    each of two to three gradients of the data.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        k: How many, at most the number n of weights that are not pruned. Defaults to 1.
        which: "LA", the largest; "SA", the smallest (most negative); "LM", the largest in
            magnitude. Defaults to "LA".
        tolerance: Relative accuracy of each eigenvalue, > 0; see above. Defaults to 1e-3.
        max_products: Gives up after about so many products. Defaults to 1000.
        seed: Of the random start, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A float64 array of shape (k,), those wanted most first, in units of the loss (weights have
        none).

    Raises:
        TypeError: If an argument is of the wrong type.
        NotConvergedError: A ValueError: if `max_products` were not enough, or a product is not
            finite.
        ValueError: If an argument is out of range; if the Lanczos vectors, float64 arrays of n
            numbers, do not fit into memory (36 for k = 1, about 16 k for k > 2); and as for
            `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> x = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> hessian_eigenvalues(model, (x, np.zeros((2, 1))), k=2).round(6).tolist()  # of x^T x
    [4.0, 1.0]

    References:
        - Golub and Underwood 1977, "The Block Lanczos Method for Computing Eigenvalues"
        - Wu and Simon 2000, "Thick-Restart Lanczos Method for Large Symmetric Eigenvalue Problems"
        - Parlett 1998, "The Symmetric Eigenvalue Problem", section 11.5 (residuals)
        - Kuczynski and Wozniakowski 1992, "Estimating the Largest Eigenvalue by the Power and
          Lanczos Algorithms with a Random Start"
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
    k = integer("k", k, least=1)
    tolerance = positive("tolerance", tolerance)
    max_products = integer("max_products", max_products, least=1)
    seed = integer("seed", seed, least=0)
    if k > n:
        raise ValueError(
            f"`k` must not exceed the number of weights that are not pruned, {n}. Received: `k={k}`"
        )
    if not isinstance(which, str) or which not in ORDERS:
        raise ValueError(f"`which` must be one of {list(ORDERS)}. Received: `which={which!r}`")
    require_lanczos_memory(n, k)
    if stored_vectors(n, k):
        values = block_lanczos(operator, k, ORDERS[which], tolerance, max_products, seed)
    else:  # As many products give the whole matrix.
        matrix = images(operator, np.eye(n))
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    return values[np.argsort(ORDERS[which](values), kind="stable")][:k]


def require_lanczos_memory(n: int, k: int) -> None:
    """Raises if k eigenvalues of an n x n operator need more memory than there is."""
    vectors = stored_vectors(n, k) or n
    require_memory(
        8 * n * (1.5 * vectors + 4 * k),  # Half of them twice, while they are being replaced.
        f"The Lanczos vectors of {k} eigenvalues",
        f"Received: `k={k}`",
    )
