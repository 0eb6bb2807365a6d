"""Data of a population: checked, on the device, in each member's order."""

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam.validation import integer


def checked(x: Any, y: Any, sample_weight: Any, batch_size: Any) -> int:
    """The number of examples, if all arrays have it and it is not below the batch size.

    Raises:
        TypeError: If there are none in memory.
        ValueError: If the numbers do not go together.
    """
    batch_size = integer("batch_size", batch_size, 1)
    leaves = [leaf for leaf in tree.flatten((x, y, sample_weight)) if leaf is not None]
    if not leaves or not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves):
        raise TypeError(
            "`x` and `y` must be arrays, or nests of arrays: a population takes its batches from "
            f"memory. Received: `x` of {type(x)}, `y` of {type(y)}"
        )
    lengths = {int(leaf.shape[0]) for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have one row for each example, all the same number. "
            f"Received: {[tuple(leaf.shape) for leaf in leaves]}"
        )
    examples = lengths.pop()
    if batch_size > examples:
        raise ValueError(
            f"`batch_size` must not be above the number of examples, {examples}. "
            f"Received: `batch_size={batch_size}`"
        )
    return examples


def on_device(structure: Any) -> Any:
    """Arrays as tensors, float64 in Keras's default as `fit` does it; tensors as they are."""
    return tree.map_structure(_tensor, structure)


def own_order(seed: int, epoch: int, examples: int, shuffle: bool) -> np.ndarray:
    """The order in which a member sees the examples."""
    if not shuffle:
        return np.arange(examples, dtype="int32")
    return np.random.default_rng([seed, epoch]).permutation(examples).astype("int32")


def all_rows(pool: Any, members: int) -> np.ndarray:
    """All rows, for each member."""
    examples = next(leaf for leaf in tree.flatten(pool) if leaf is not None).shape[0]
    return np.broadcast_to(np.arange(examples, dtype="int32"), (members, examples))


def _tensor(leaf: Any) -> Any:
    if leaf is None or ops.is_tensor(leaf):
        return leaf
    array = np.asarray(leaf)
    if array.dtype == np.float64:
        array = array.astype(keras.config.floatx())
    return ops.convert_to_tensor(array)
