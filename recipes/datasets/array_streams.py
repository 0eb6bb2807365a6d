"""Streams of batches from arrays in memory, for what does not keep them on the device."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from recipes.datasets.batches import Batch, NumpyBatches, fed


def stream(
    arrays: tuple[np.ndarray, np.ndarray],
    prepare: Callable[[Any], Any],
    augment: Callable[[Any, Any], Any] | None,
    plan_at: Callable[[int], tuple[np.ndarray, ...]],
    count: int | None,
) -> Any:
    """Makes a dataset of batches of some rows of arrays.

    Args:
        arrays: Inputs and labels.
        prepare: From a batch of inputs as they are to float32.
        augment: From a batch of inputs and its draws to augmented ones; `None` if there is none.
        plan_at: From a batch's number to its rows and, with `augment`, its draws.
        count: Number of batches; `None` if there is no end to them.

    Returns:
        What `fit`, `evaluate` and `predict` take.
    """
    inputs, labels = arrays

    def finished(raw: Any, draws: tuple[Any, ...]) -> Any:
        return prepare(raw if augment is None else augment(raw, *draws))

    def batch_at(index: int) -> Batch:
        rows, *draws = plan_at(index)
        return finished(inputs[rows], tuple(draws)), labels[rows]

    if keras.backend.backend() != "tensorflow":
        return NumpyBatches(batch_at, count)
    import tensorflow as tf

    # On a GPU machine these tensors would otherwise go to the GPU, away from tf.data's operations.
    with tf.device("CPU:0"):
        inputs_there, labels_there = tf.constant(inputs), tf.constant(labels)

    def batch(rows: Any, *draws: Any) -> tuple[Any, Any]:
        return finished(tf.gather(inputs_there, rows), draws), tf.gather(labels_there, rows)

    first = plan_at(0)
    endless = count is None  # Batches of an endless stream have one size.
    signature = tuple(
        keras.KerasTensor(part.shape if endless else (None, *part.shape[1:]), part.dtype.name)
        for part in first
    )
    cores = os.cpu_count() or 1
    dataset = fed(plan_at, count, signature)
    return dataset.map(batch, num_parallel_calls=cores, deterministic=True).prefetch(2 * cores)
