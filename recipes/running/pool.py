"""The examples of several runs in one place, and the rows of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from recipes.datasets.arrays import PARTS, ArrayData

# Numbers in an evaluation set up to which it is one batch.
_ONE_BATCH = 250_000


class Pool:
    """Joins the arrays of runs: runs of one seed share theirs, and all runs what is equal.

    Args:
        data: The data of each run, of one kind.

    Attributes:
        data: The same.
        x: Inputs, as they are in memory, a tensor.
        y: Labels, a tensor.
    """

    def __init__(self, data: Sequence[ArrayData]) -> None:
        self.data = list(data)
        inputs: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        starts: list[int] = []
        self._starts: list[dict[str, int]] = []
        known: dict[int, dict[str, int]] = {}
        for own in self.data:
            if id(own) not in known:
                known[id(own)] = {}
                for part in PARTS:
                    x, y = own.arrays[part]
                    place = next(
                        (i for i in range(len(inputs)) if _equal(inputs[i], labels[i], x, y)), None
                    )
                    if place is None:
                        place = len(inputs)
                        starts.append(sum(map(len, labels)))
                        inputs.append(x)
                        labels.append(y)
                    known[id(own)][part] = starts[place]
            self._starts.append(known[id(own)])
        self.x = ops.convert_to_tensor(np.concatenate(inputs))
        self.y = ops.convert_to_tensor(np.concatenate(labels))

    def order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch's batches, (runs, steps, batch)."""
        pairs = zip(self.data, self._starts, strict=True)
        return np.stack([data.order(epoch) + starts["train"] for data, starts in pairs])

    def draws(self, epoch: int) -> np.ndarray | None:
        """What its augmentation is given, (runs, steps, batch, k)."""
        drawn = [data.draws(epoch) for data in self.data if data.draws is not None]
        return np.stack(drawn) if drawn else None

    def rows(self, part: str) -> np.ndarray:
        """The rows of "validation" or "test", (runs, examples)."""
        pairs = zip(self.data, self._starts, strict=True)
        return np.stack(
            [
                np.arange(len(data.arrays[part][1]), dtype=np.int32) + starts[part]
                for data, starts in pairs
            ]
        )

    def evaluation_batch(self, part: str) -> int:
        """How many examples are evaluated at once: all of a small part."""
        x, y = self.data[0].arrays[part]
        return len(y) if x.size <= _ONE_BATCH else self.data[0].batch_size


def _equal(x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray) -> bool:
    if x.shape != other_x.shape:
        return False
    same = x is other_x and y is other_y
    return same or (np.array_equal(y, other_y) and np.array_equal(x, other_x))
