"""The Hessian, never built: what it does to a vector."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from keras_sam.sharpness.loss_surface import surface_of


class HessianOperator(LinearOperator):
    """The Hessian of a model's loss over data, as a SciPy linear operator.

        H = d^2 L / dw^2,    `HessianOperator(model, data) @ v` = H v

    One product costs about two to three times a gradient of the whole data. Each is computed in the
    precision of the model's weights; everything around it is float64.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        **options: The keyword arguments of `LossSurface`. By default BatchNorm is in inference
            mode, and the weights' regularisation losses are included.

    Attributes:
        products: How many products were computed so far.
        rounding: The rounding error of their products with unit vectors, as far as seen.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: As for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> hessian = HessianOperator(model, (np.array([[1.0], [3.0]]), np.zeros((2, 1))))
    >>> (hessian @ np.eye(2)).tolist()  # 2 mean([x, 1] [x, 1]^T)
    [[10.0, 4.0], [4.0, 2.0]]

    References:
        - Pearlmutter 1994, "Fast Exact Multiplication by the Hessian"
    """

    def __init__(self, model: Any, data: Any = None, **options: Any) -> None:
        self._surface = surface_of(model, data, options)
        self.products = 0
        self.rounding = 0.0
        super().__init__(np.float64, (self._surface.size, self._surface.size))

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        self.products += 1
        vector = np.ravel(vector)
        product = self._surface.hessian_product(vector)
        if size := np.linalg.norm(vector):
            error = self._surface.precision * np.linalg.norm(product) / size
            self.rounding = max(self.rounding, float(error))
        return product

    def _adjoint(self) -> "HessianOperator":
        return self
