"""Data of a population: checked, on the device, in each member's order."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_sam.validation import integer


def checked(x: Any, y: Any, sample_weight: Any = None, batch_size: Any = 1) -> int:
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


def batches_of(rows: np.ndarray, batch_size: int | None) -> list[np.ndarray]:
    """(members, n, ...) as batches (members, steps, batch, ...), the last, smaller one apart.

    Without a `batch_size` they are batches already.
    """
    if batch_size is None:
        return [rows]
    batch_size = integer("batch_size", batch_size, 1)
    full = rows.shape[1] // batch_size * batch_size
    shape = (len(rows), -1, batch_size, *rows.shape[2:])
    batches = [rows[:, :full].reshape(shape)] if full else []
    return batches if full == rows.shape[1] else [*batches, rows[:, None, full:]]


def of_places(values: Any, places: Sequence[int]) -> Any:
    """Some members' part of arrays with a first axis of members; `None` stays `None`."""
    return tree.map_structure(lambda a: None if a is None else np.asarray(a)[places], values)


def in_order(parts: Sequence[tuple[Sequence[int], Any]]) -> Any:
    """Joins what was computed for some members each: pairs of places and nests of arrays."""
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    return tree.map_structure(
        lambda *arrays: np.concatenate([ops.convert_to_numpy(a) for a in arrays])[order],
        *[nest for _, nest in parts],
    )


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
