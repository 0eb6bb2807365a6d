"""Directions in weight space whose scale is that of the weights."""

from collections.abc import Sequence
from typing import Any

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

    Raises:
        TypeError: If an argument is no sequence of arrays.
        ValueError: If their shapes differ.

    Example:

    >>> weights = np.array([[0.0, 0.0], [1.0, 2.0]])
    >>> filter_normalized([np.array([[3.0, 1.0], [4.0, 0.0]])], [weights])
    [array([[0.6, 2. ],
           [0.8, 0. ]])]

    References:
        - Li et al. 2018, https://arxiv.org/abs/1712.09913, section 4
    """
    shapes = [_shapes("direction", direction), _shapes("weights", weights)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`direction` must have the shapes of `weights`, {shapes[1]}. "
            f"Received: arrays of shapes {shapes[0]}"
        )
    return [_normalized(d, w) for d, w in zip(direction, weights, strict=True)]


def _shapes(argument: str, arrays: Any) -> list[tuple[int, ...]]:
    if not isinstance(arrays, list | tuple) or any(not hasattr(a, "shape") for a in arrays):
        raise TypeError(f"`{argument}` must be a list of arrays. Received: `{argument}={arrays!r}`")
    return [tuple(array.shape) for array in arrays]


def _normalized(direction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if weights.ndim < 2:
        return np.zeros_like(direction)
    inputs = tuple(range(weights.ndim - 1))
    own = np.sqrt((direction**2).sum(axis=inputs, keepdims=True))
    wanted = np.sqrt((weights**2).sum(axis=inputs, keepdims=True))
    return direction * np.divide(wanted, own, out=np.zeros_like(own), where=own > 0)
