"""Sign: the steepest way within a cube, every entry as far as the others.

    e = rho sign(g)

The perturbation that raises the loss most, to first order, among those with `max |e| <= rho`, where
SAM's does among those with `||e||_2 <= rho`. Its norm is rho times the square root of the number of
weights: rho is far below SAM's.

Source: Foret et al. 2021, https://arxiv.org/abs/2010.01412, eq. 2 with p = infinity (q = 1).
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_sam.vectors import Tensor, Vector, combine


@keras.saving.register_keras_serializable(package="keras_sam")
def sign(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any) -> Vector:
    """`e = rho sign(g)`.

    Args:
        weights: The weights.
        gradients: The gradient, or another direction; `None` stays `None`.
        rho: The size of every entry: a number, or a scalar tensor.

    Example:

    >>> (e,) = sign([ops.ones(3)], [ops.array([-5.0, 0.0, 0.1])], 0.5)
    >>> [float(value) for value in e]
    [-0.5, 0.0, 0.5]
    """
    signs = [None if g is None else ops.sign(g) for g in gradients]
    return combine((rho, signs), like=gradients)
