"""How many examples a batch has, as far as that can be told before training starts."""

from typing import Any

import keras
from keras import ops, tree

KERAS_DEFAULT_BATCH_SIZE = 32


def examples_per_batch(x: Any, batch_size: int | None) -> int | None:
    """Number of examples of the first batch that `fit(x, batch_size=batch_size)` would take.

    Args:
        x: What `fit` takes: arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset`, a torch
            `DataLoader` or a generator.
        batch_size: `fit`'s argument.

    Returns:
        The number, or `None` for a generator: to look would use its first batch up.
    """
    if hasattr(x, "element_spec"):  # tf.data, which may be used on every backend.
        try:
            first = next(iter(x), None)
        except (TypeError, ValueError, RuntimeError):  # A distributed dataset.
            return None
        return None if first is None else _examples(first)
    if isinstance(x, keras.utils.PyDataset):
        return _examples(x[0])
    if hasattr(x, "batch_size") and hasattr(x, "dataset"):
        return x.batch_size
    if hasattr(x, "__next__"):
        return None
    examples = _examples(x)
    return None if examples is None else min(examples, batch_size or KERAS_DEFAULT_BATCH_SIZE)


def _examples(batch: Any) -> int | None:
    for leaf in tree.flatten(batch):
        shape = getattr(leaf, "shape", None)
        if shape is not None and len(shape) > 0:
            return None if shape[0] is None else int(shape[0])
    return None


def count_examples(x: Any, y: Any) -> Any:
    """How many examples a batch holds: rows of y, as x may be packed; of x where there is no y."""
    leaves = [leaf for leaf in [*tree.flatten(y), *tree.flatten(x)] if leaf is not None]
    return ops.shape(next(leaf for leaf in leaves if len(leaf.shape) > 0))[0]
