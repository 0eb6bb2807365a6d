"""A `Data` whose examples are arrays in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recipes.datasets.data import Data

Arrays = tuple[np.ndarray, np.ndarray]
PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ArrayData(Data):
    """A `Data` in memory: the host decides what is in a batch, the device makes the batch.

    What an epoch looks like are two arrays of integers, NumPy's, functions of (seed, epoch): the
    same on every backend. The batch of a step is then

        inputs = prepare(augment(x[order[step]], draws[step])),   labels = y[order[step]]

    which are a few `keras.ops` on arrays that may lie on the device. `train`, `validation` and
    `test` are streams of the same batches.

    Attributes:
        arrays: inputs and labels of "train", "validation" and "test" as they are in memory: images
            are uint8, labels of classes int32; those of "train" with the label noise.
        prepare: from a batch of inputs to float32.
        augment: from a batch of training inputs and its draws to augmented ones, before `prepare`;
            `None` if there is no augmentation.
        order: from an epoch to the rows of each batch, int32 (steps_per_epoch, batch_size).
        draws: from an epoch to what `augment` is given, int32 (steps_per_epoch, batch_size, k).

    Example:

    ```python
    data = digits(Split(batch_size=64, seed=0))
    x, y = data.arrays["train"]
    rows = data.order(epoch)[step]
    inputs, labels = data.prepare(x[rows]), y[rows]
    ```
    """

    arrays: Mapping[str, Arrays]
    prepare: Callable[[Any], Any]
    augment: Callable[[Any, Any], Any] | None
    order: Callable[[int], np.ndarray]
    draws: Callable[[int], np.ndarray] | None
