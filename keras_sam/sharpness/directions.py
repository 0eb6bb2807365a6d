"""Directions in weight space whose scale is that of the weights."""

from collections.abc import Sequence

import numpy as np


def filter_normalized(
    direction: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Rescales each filter of a direction to the norm of the same filter of the weights.

        d_f <- d_f / ||d_f|| * ||w_f||

    A filter is the weights that feed one output: a slice of a kernel along its last axis. Biases,
    and scales and offsets of normalisation layers (arrays of one axis or none), are no direction:
    their part is set to 0, as is a filter of zeros.

    Args:
        direction: Arrays d, parallel to `weights`.
        weights: Arrays w.

    Returns:
        New arrays of the same shapes.

    Example:

    >>> weights = np.array([[0.0, 0.0], [1.0, 2.0]])
    >>> filter_normalized([np.array([[3.0, 1.0], [4.0, 0.0]])], [weights])
    [array([[0.6, 2. ],
           [0.8, 0. ]])]

    References:
        - Li et al. 2018, https://arxiv.org/abs/1712.09913, section 4
    """
    return [_normalized(d, w) for d, w in zip(direction, weights, strict=True)]


def _normalized(direction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if weights.ndim < 2:
        return np.zeros_like(direction)
    inputs = tuple(range(weights.ndim - 1))
    own = np.sqrt((direction**2).sum(axis=inputs, keepdims=True))
    wanted = np.sqrt((weights**2).sum(axis=inputs, keepdims=True))
    return direction * np.divide(wanted, own, out=np.zeros_like(own), where=own > 0)
