"""Batches that NumPy makes, as what Keras's `fit` takes on each backend."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras

# Inputs, labels and, where there are any, weights of the labels: arrays of one first axis.
Batch = tuple[Any, ...]


class NumpyBatches(keras.utils.PyDataset):
    """Batches by their number; without end if `count` is `None`."""

    def __init__(self, batch_at: Callable[[int], Batch], count: int | None) -> None:
        super().__init__()
        self._batch_at = batch_at
        self._count = count

    @property
    def num_batches(self) -> int | None:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        return self._batch_at(index)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._batch_at, itertools.count() if self._count is None else range(self._count))


def fed(batch_at: Callable[[int], Batch], count: int | None, signature: Batch) -> Any:
    """Makes a dataset of batches, which may differ in shape.

    The host decides what is in a batch, so that every backend sees the same: on TensorFlow this is
    a `tf.data.Dataset` (whose element must be declared, and which strategies can share out), on
    the others a `keras.utils.PyDataset`, which needs no TensorFlow.

    Args:
        batch_at: From a batch's number to the batch.
        count: Number of batches; `None` if there is no end to them.
        signature: A batch of `keras.KerasTensor`s, whose shapes have `None` where batches differ.

    Returns:
        What `fit`, `evaluate` and `predict` take.

    Example:

    ```python
    signature = (keras.KerasTensor((None, 4)), keras.KerasTensor((None,), "int32"))
    dataset = fed(lambda i: (x[i], y[i]), len(x), signature)
    ```
    """
    batches = NumpyBatches(batch_at, count)
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    dataset = tf.data.Dataset.from_generator(
        lambda: batches,
        output_signature=keras.tree.map_structure(
            lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), signature
        ),
    )
    cardinality = tf.data.INFINITE_CARDINALITY if count is None else count
    options = shared_by_batch()
    # On few cores, tf.data's autotuning halves the speed of a training loop at random.
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return dataset.prefetch(2).with_options(options)


def shared_by_batch() -> Any:
    """Options by which several workers take turns in a `tf.data.Dataset`'s batches.

    Left to itself, tf.data shares out files where it finds some, and no worker would see the epochs
    that one worker alone sees.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
