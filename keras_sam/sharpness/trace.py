"""The trace of the Hessian."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from keras_sam.sharpness.estimate import Estimate
from keras_sam.sharpness.hessian import HessianOperator
from keras_sam.validation import integer


def hessian_trace(
    model: Any, data: Any = None, *, num_samples: int = 30, seed: int = 0, **options: Any
) -> Estimate:
    """Estimates the trace of the Hessian of a model's loss, the sum of its eigenvalues.

        tr(H) = E[z^T H z],    z uniform over {-1, 1}^n    (Hutchinson)

    Each sample takes one product `H z`, of two to three gradients of the data. BatchNorm is in
    inference mode and regularisation losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        num_samples: The number of random vectors z, >= 2. Defaults to 30.
        seed: Of the random vectors, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        An `Estimate`: `value`, and its `standard_error`, which is at most
        sqrt(2 / num_samples) ||H||_F in expectation.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `num_samples` is below 2; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> hessian_trace(model, (np.array([[2.0, 0.0], [0.0, 1.0]]), np.zeros((2, 1)))).value
    5.0

    References:
        - Hutchinson 1990, "A Stochastic Estimator of the Trace of the Influence Matrix"
    """
    num_samples = integer("num_samples", num_samples, least=2)
    seed = integer("seed", seed, least=0)
    return estimated_trace(HessianOperator(model, data, **options), num_samples, seed)


def estimated_trace(operator: LinearOperator, num_samples: int, seed: int) -> Estimate:
    """The same for any linear operator of SciPy."""
    random = np.random.default_rng(seed)
    samples = []
    for _ in range(num_samples):
        z = random.choice([-1.0, 1.0], operator.shape[0])
        samples.append(z @ (operator @ z))
    return Estimate.of(samples)
