"""Streams of batches from arrays in memory, for what does not keep them on the device."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from recipes.datasets.batches import Batch, NumpyBatches, fed

# From a batch's number to its rows and, where there is an augmentation, its draws.
Plans = Callable[[int], tuple[np.ndarray, ...]]


def endless(
    arrays: tuple[np.ndarray, np.ndarray],
    prepare: Callable[[Any], Any],
    augment: Callable[[Any, Any], Any] | None,
    plan_at: Plans,
) -> Any:
    """Makes a dataset without end of batches of some rows of arrays.

    Args:
        arrays: Inputs and labels.
        prepare: From a batch of inputs as they are to float32.
        augment: From a batch of inputs and its draws to augmented ones; `None` if there is none.
        plan_at: From a batch's number to its rows and, with `augment`, its draws.

    Returns:
        What `fit`, `evaluate` and `predict` take: on TensorFlow a `tf.data.Dataset`, which
        strategies can share out; on other backends a `keras.utils.PyDataset`.
    """
    finished = _finish(prepare, augment)
    if keras.backend.backend() != "tensorflow":
        return NumpyBatches(_batches(arrays, finished, plan_at), None)
    import tensorflow as tf

    # On a GPU machine these tensors would otherwise go to the GPU, away from tf.data's operations.
    with tf.device("CPU:0"):
        inputs, labels = (tf.constant(array) for array in arrays)

    def batch(rows: Any, *draws: Any) -> tuple[Any, Any]:
        return finished(tf.gather(inputs, rows), *draws), tf.gather(labels, rows)

    signature = tuple(keras.KerasTensor(part.shape, part.dtype.name) for part in plan_at(0))
    cores = os.cpu_count() or 1
    dataset = fed(plan_at, None, signature)
    return dataset.map(batch, num_parallel_calls=cores, deterministic=True).prefetch(2 * cores)


def one_pass(
    arrays: tuple[np.ndarray, np.ndarray], prepare: Callable[[Any], Any], batch_size: int
) -> keras.utils.PyDataset:
    """Makes a dataset of all rows of arrays in their order, the last batch smaller.

    Args:
        arrays: Inputs and labels.
        prepare: From a batch of inputs as they are to float32.
        batch_size: Rows in a batch.
    """
    examples = len(arrays[1])

    def plan_at(index: int) -> tuple[np.ndarray, ...]:
        first = index * batch_size
        return (np.arange(first, min(first + batch_size, examples)),)

    return NumpyBatches(
        _batches(arrays, _finish(prepare, None), plan_at), -(-examples // batch_size)
    )


def _finish(
    prepare: Callable[[Any], Any], augment: Callable[[Any, Any], Any] | None
) -> Callable[..., Any]:
    return lambda raw, *draws: prepare(raw if augment is None else augment(raw, *draws))


def _batches(
    arrays: tuple[np.ndarray, np.ndarray], finished: Callable[..., Any], plan_at: Plans
) -> Callable[[int], Batch]:
    inputs, labels = arrays

    def batch_at(index: int) -> Batch:
        rows, *draws = plan_at(index)
        return keras.ops.convert_to_numpy(finished(inputs[rows], *draws)), labels[rows]

    return batch_at
