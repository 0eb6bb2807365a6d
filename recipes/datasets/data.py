"""What every dataset of the recipes returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Data:
    """A dataset, split, batched and ready for `keras.Model.fit`.

    `train(epoch)` is an infinite stream of batches that begins with the given epoch. Order and
    augmentation of each epoch are functions of (seed, epoch) alone, so a run that is resumed at
    epoch k sees what the uninterrupted run sees. Every epoch has `steps_per_epoch` full batches;
    which examples are left over changes from epoch to epoch.

    Streams are what `fit` and `evaluate` take. That of training is a `tf.data.Dataset` on
    TensorFlow; on other backends all are `keras.utils.PyDataset`s, but for ImageNet's.

    Attributes:
        name: the dataset's name.
        train: from the first epoch (0-based) to an endless stream of (inputs, labels): float32
            (batch_size, *input_shape), and integers (batch_size,) for classes.
        validation: one pass over the validation examples in fixed order, the last batch smaller;
            cut from the training set, clean labels: the split to select by.
        test: one pass over the test examples, likewise: the split to report.
        steps_per_epoch: batches in an epoch of `train`.
        batch_size: examples in a batch, over all replicas together.
        input_shape: shape of one example.
        classes: number of classes; `None` where the labels are no classes.
        train_examples: size of the training split.
        validation_examples: size of the validation split.
        test_examples: size of the test split.
        one_shape: whether all batches of `train` have one shape.

    Example:

    ```python
    data = digits(Split(batch_size=64, seed=0))
    model.fit(
        data.train(initial_epoch),
        initial_epoch=initial_epoch,
        epochs=epochs,
        steps_per_epoch=data.steps_per_epoch,
        validation_data=data.validation,
    )
    ```
    """

    name: str
    train: Callable[[int], Any]
    validation: Any
    test: Any
    steps_per_epoch: int
    batch_size: int
    input_shape: tuple[int, ...]
    classes: int | None
    train_examples: int
    validation_examples: int
    test_examples: int
    one_shape: bool = True
