"""From arrays that fit into memory to a `Data`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from recipes.datasets.array_streams import endless, one_pass
from recipes.datasets.arrays import ArrayData, Arrays
from recipes.datasets.augmentation import Augmentation
from recipes.datasets.label_noise import check_labels, noisy_labels
from recipes.datasets.members import members
from recipes.datasets.split import Split, check_integer

# What tells the random numbers of an epoch's augmentation from those of its order.
_AUGMENTATION = 1


def as_float(inputs: Any) -> Any:
    """The same numbers in float32."""
    return ops.cast(inputs, "float32")


def in_memory(
    name: str,
    train: Arrays,
    test: Arrays,
    split: Split,
    *,
    classes: int | None,
    prepare: Callable[[Any], Any] = as_float,
    augment: Augmentation | None = None,
) -> ArrayData:
    """Splits and batches a dataset that is given as arrays.

    Args:
        name: the dataset's name.
        train: inputs (examples, *input_shape), such as images in uint8, and labels (examples, ...):
            integers of classes, or what else is learned.
        test: likewise.
        split: how to split and batch them.
        classes: number of classes; `None` where the labels are no classes.
        prepare: from a batch of inputs as they are in memory to float32, by `keras.ops`. Default:
            the numbers as they are.
        augment: what happens to training inputs at random; default nothing.

    Returns:
        The `ArrayData`.

    Raises:
        ValueError: the split is not possible, or asks for label noise where there are no classes.

    Example:

    ```python
    data = in_memory("noise", (x, y), (x_test, y_test), Split(batch_size=32, seed=1), classes=10)
    ```
    """
    inputs, labels = train
    seed, batch_size = split.seed, split.batch_size
    for part in (labels, test[1]):
        check_labels(part, classes)
    label_type = labels.dtype if classes is None else np.dtype(np.int32)
    training, validation = members(split, len(labels))
    count = len(training)
    steps = count // batch_size
    arrays = {
        "train": (inputs[training], _noisy(labels[training], classes, split).astype(label_type)),
        "validation": (inputs[validation], labels[validation].astype(label_type)),
        "test": (test[0], test[1].astype(label_type)),
    }

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        check_integer("epoch", epoch, minimum=0)
        rows = np.random.default_rng([seed, epoch]).permutation(count)
        return rows[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)

    @functools.lru_cache(maxsize=2)
    def draws(epoch: int) -> np.ndarray:
        assert augment is not None
        random = np.random.default_rng([seed, epoch, _AUGMENTATION])
        return augment.draw(random, (steps, batch_size)).astype(np.int32)

    def training_stream(initial_epoch: int = 0) -> Any:
        check_integer("initial_epoch", initial_epoch, minimum=0)

        def plan_at(index: int) -> tuple[np.ndarray, ...]:
            epoch, step = initial_epoch + index // steps, index % steps
            rows = order(epoch)[step]
            return (rows,) if augment is None else (rows, draws(epoch)[step])

        return endless(arrays["train"], prepare, augment, plan_at)

    return ArrayData(
        name=name,
        train=training_stream,
        validation=one_pass(arrays["validation"], prepare, batch_size),
        test=one_pass(arrays["test"], prepare, batch_size),
        steps_per_epoch=steps,
        batch_size=batch_size,
        input_shape=inputs.shape[1:],
        classes=classes,
        train_examples=count,
        validation_examples=len(validation),
        test_examples=len(test[1]),
        arrays=arrays,
        prepare=prepare,
        augment=augment,
        order=order,
        draws=None if augment is None else draws,
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
