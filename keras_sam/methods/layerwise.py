"""Layerwise: each weight tensor is perturbed in proportion to its own size.

    e_l = rho ||w_l|| g_l / (||g_l|| + 1e-12)        l: a kernel, a bias, ...

So `||e_l|| = rho ||w_l||`: rho is relative, a tensor of zeros stays where it is.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_sam.perturbation import normalized
from keras_sam.vectors import Tensor, Vector, norm, scalar, wide_dtype


@keras.saving.register_keras_serializable(package="keras_sam")
def layerwise(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any) -> Vector:
    """`e_l = rho ||w_l|| g_l / (||g_l|| + 1e-12)`, for each weight tensor by itself.

    Args:
        weights: The weights.
        gradients: The gradient, or another direction; `None` stays `None`.
        rho: The radius, relative to the norm of each tensor: a number, or a scalar tensor.

    Example:

    >>> from keras import ops
    >>> (e,) = layerwise([ops.array([6.0, 8.0])], [ops.array([0.0, 3.0])], 0.1)
    >>> [round(float(value), 6) for value in e]  # ||w|| = 10
    [0.0, 1.0]
    """
    result: Vector = []
    for w, g in zip(weights, gradients, strict=True):
        length = norm([w])
        result += normalized([w], [g], scalar(rho, wide_dtype(length.dtype)) * length)
    return result
