"""How unlike each other the Hessians of single examples are."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from keras_sam.sharpness.eigenvalues import extreme_eigenvalues
from keras_sam.sharpness.loss_surface import surface_of
from keras_sam.validation import integer


class MomentDeviation(LinearOperator):
    """`mean_i(H_i^k) - H^k`, with H_i the Hessian of example i and H their mean.

    One product costs k products with the H_i of each example, vectorised over examples, and k - 1
    products with H. Where the examples are alike the difference is small, and the rounding of the
    two terms, `rounding`, is not.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        k: The power, an int >= 2. Defaults to 2.
        **options: The keyword arguments of `LossSurface`.

    Attributes:
        rounding: The rounding error of products with unit vectors, as far as seen.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `k` is below 2; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")  # H_i = 2 x_i^2
    >>> deviation = MomentDeviation(model, (np.array([[1.0], [2.0]]), np.zeros((2, 1))))
    >>> float((deviation @ np.ones(1))[0])  # (2^2 + 8^2) / 2 - 5^2
    9.0
    """

    def __init__(self, model: Any, data: Any = None, k: int = 2, **options: Any) -> None:
        self._power = integer("k", k, least=2)
        self._surface = surface_of(model, data, options)
        self.rounding = 0.0
        super().__init__(np.float64, (self._surface.size, self._surface.size))

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        power_of_mean = vector = np.ravel(vector)
        mean_power = self._surface.mean_example_power(vector, self._power)
        for _ in range(self._power):
            power_of_mean = self._surface.hessian_product(power_of_mean)
        if size := np.linalg.norm(vector):
            largest = max(np.linalg.norm(mean_power), np.linalg.norm(power_of_mean))
            error = self._power * self._surface.precision * largest / size
            self.rounding = max(self.rounding, float(error))
        return mean_power - power_of_mean

    def _adjoint(self) -> "MomentDeviation":
        return self


def non_uniformity(
    model: Any,
    data: Any = None,
    k: int = 2,
    *,
    tolerance: float = 1e-3,
    max_products: int = 1000,
    seed: int = 0,
    **options: Any,
) -> float:
    """Computes the non-uniformity of the k-th Hessian moments of the examples.

        s_k = lambda_max(mean_i(H_i^k) - H^k)^(1 / k),    H = mean_i H_i

    with H_i the Hessian of the loss of example i alone. It is 0 if all examples have the same
    Hessian, and for minima that SGD (k = 2) or SAM (k = 2, 3, 4) finds linearly stable it is
    bounded, the more tightly the larger the learning rate and rho.

    For even k the largest eigenvalue is never negative (the trace is not), and what rounding makes
    of a 0 counts as 0. For k = 3 it can be, where the H_i have negative eigenvalues: the root is
    the real one, with that sign.

    BatchNorm is in inference mode: in training mode an example has no loss of its own. The weights'
    regularisation losses are included by default; they belong to every H_i.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        k: The power, an int >= 2. Defaults to 2.
        tolerance: Relative accuracy of the eigenvalue, > 0; that of s_k is k times better.
            Defaults to 1e-3.
        max_products: Gives up after about so many products. Defaults to 1000.
        seed: Of the random start. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        s_k, a float, in the units of an eigenvalue of the Hessian.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `k` is below 2; if `training=True`; if the vectors of one example do not fit
            into memory; if `max_products` were not enough; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")  # H_i = 2 x_i^2
    >>> non_uniformity(model, (np.array([[1.0], [2.0]]), np.zeros((2, 1))))  # std of 2 and 8
    3.0

    References:
        - Wu, Ma and E 2018, "How SGD Selects the Global Minima in Over-parameterized Learning: A
          Dynamical Stability Perspective", k = 2
        - Shin et al. 2025, https://arxiv.org/abs/2311.17539, linear stability of SAM, k = 2, 3, 4
    """
    operator = MomentDeviation(model, data, k, **options)
    (value,) = extreme_eigenvalues(operator, 1, "LA", tolerance, max_products, seed)
    if k % 2 == 0:
        return max(float(value), 0.0) ** (1 / k)
    return float(np.sign(value)) * abs(float(value)) ** (1 / k)
