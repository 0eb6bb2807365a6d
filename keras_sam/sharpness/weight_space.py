"""A model's trainable weights as one vector."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam.validation import floats


class WeightSpace:
    """The space of a model's trainable weights, pruned ones left out: lists of arrays <-> vectors.

    Args:
        variables: The trainable variables, in the order of the vector.
        masks: From `variable.path` to a boolean mask, `True` for the weights that are kept; the
            others are 0 and no direction of the space.

    Attributes:
        size: The number of kept weights.
    """

    def __init__(self, variables: Sequence[keras.Variable], masks: Any = None) -> None:
        self._shapes = [tuple(v.shape) for v in variables]
        kept = [
            np.asarray(ops.convert_to_numpy(masks[v.path])).ravel()
            if masks and v.path in masks
            else np.ones(int(np.prod(v.shape)), bool)
            for v in variables
        ]
        self._kept = np.concatenate([*kept, np.zeros(0, bool)])
        self.size = int(self._kept.sum())

    def vector(self, argument: str, value: Any) -> np.ndarray:
        """`value` as a float64 vector of the space.

        Args:
            argument: The argument's name, for the message.
            value: What was received.

        Raises:
            TypeError: If it is no sequence of real numbers.
            ValueError: If its shape is not (size,).
        """
        array = floats(argument, value)
        if len(array) != self.size:
            raise ValueError(
                f"`{argument}` must have a number for each weight that is not pruned, {self.size}. "
                f"Received: an array of shape {array.shape}"
            )
        return array

    def flatten(self, tensors: Sequence[Any]) -> np.ndarray:
        """Tensors parallel to the variables as one float64 vector."""
        parts = [np.asarray(ops.convert_to_numpy(t), np.float64).ravel() for t in tensors]
        return np.concatenate([*parts, np.zeros(0)])[self._kept]

    def unflatten(self, vector: np.ndarray) -> list[np.ndarray]:
        """A vector as float64 arrays parallel to the variables, 0 for pruned weights."""
        whole = np.zeros(self._kept.size)
        whole[self._kept] = vector
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])
        parts = np.split(whole, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
