"""From arrays that fit into memory to a `Data`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.datasets.data import SHARD_BY_BATCH, Data
from recipes.datasets.label_noise import check_labels, noisy_labels
from recipes.datasets.split import Split, check_integer

Arrays = tuple[np.ndarray, np.ndarray]


def in_memory(
    name: str,
    train: Arrays,
    test: Arrays,
    split: Split,
    *,
    classes: int | None,
    normalize: Callable[[tf.Tensor], tf.Tensor],
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> Data:
    """Builds the pipelines of a dataset from its arrays.

    The images stay as they are in memory; a step gathers one batch of them by index, augments it as
    a whole, and normalises it. tf.data's autotuning is off: on few cores it halves the speed of a
    training loop at random.

    Args:
        name: the dataset's name.
        train: images (examples, *input_shape) and labels (examples, ...): integers of classes, or
            what else is learned.
        test: likewise.
        split: how to split and batch them.
        classes: number of classes; `None` where the labels are no classes.
        normalize: from a batch of images to float32 inputs.
        augment: from a batch of training images and a seed of shape (2,) to augmented images.

    Returns:
        The `Data`.

    Raises:
        ValueError: the split is not possible, or asks for label noise where there are no classes.

    Example:

    ```python
    data = in_memory(
        "noise", (x, y), (x_test, y_test), Split(batch_size=32, seed=1),
        classes=10, normalize=lambda x: tf.cast(x, tf.float32),
    )
    ```
    """
    images, labels = train
    seed, batch_size = split.seed, split.batch_size
    count, held_out = split.sizes(len(labels))
    order = np.random.default_rng([split.fixed_by, len(labels)]).permutation(len(labels))
    validation = order[:held_out]
    training = order[held_out : held_out + count]
    for part in (labels, test[1]):
        check_labels(part, classes)
    noisy = _noisy(labels[training], classes, split)
    label_type = noisy.dtype if classes is None else tf.int64
    steps = count // batch_size

    # On a GPU machine these tensors would otherwise go to the GPU, away from tf.data's operations.
    with tf.device("CPU:0"):
        train_images = tf.constant(images[training])
        train_labels = tf.constant(noisy, label_type)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=[seed, epoch])
        rows = tf.reshape(order[: steps * batch_size], [steps, batch_size])
        return tf.data.Dataset.from_tensor_slices(
            (epoch * steps + tf.range(steps, dtype=tf.int64), rows)
        )

    def batch_at(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.gather(train_images, indices)
        if augment is not None:
            x = augment(x, tf.stack([tf.constant(seed, tf.int64), step]))
        return normalize(x), tf.gather(train_labels, indices)

    def stream(initial_epoch: int = 0) -> tf.data.Dataset:
        check_integer("initial_epoch", initial_epoch, minimum=0)
        epochs = tf.data.Dataset.counter(initial_epoch)
        return _finish(epochs.flat_map(epoch_batches), batch_at)

    def one_pass(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
        with tf.device("CPU:0"):
            images, labels = tf.constant(images), tf.constant(labels, label_type)

        def batch_from(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return normalize(images[start : start + batch_size]), labels[start : start + batch_size]

        return _finish(tf.data.Dataset.range(0, len(labels), batch_size), batch_from)

    return Data(
        name=name,
        train=stream,
        validation=one_pass(images[validation], labels[validation]),
        test=one_pass(*test),
        steps_per_epoch=steps,
        batch_size=batch_size,
        input_shape=images.shape[1:],
        classes=classes,
        train_examples=count,
        validation_examples=held_out,
        test_examples=len(test[1]),
        in_memory=True,
    )


def _noisy(labels: np.ndarray, classes: int | None, split: Split) -> np.ndarray:
    if classes is not None:
        return noisy_labels(labels, classes, split.label_noise, split.noise_kind, split.fixed_by)
    if split.label_noise:
        raise ValueError(
            "`label_noise` must be 0 where labels are no classes. "
            f"Received: `label_noise={split.label_noise}`"
        )
    return labels


def _finish(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = SHARD_BY_BATCH
    cores = os.cpu_count() or 1
    mapped = dataset.map(function, num_parallel_calls=cores, deterministic=True)
    return mapped.prefetch(2 * cores).with_options(options)
