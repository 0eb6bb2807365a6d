"""Rows of different lengths, one after the other in one array."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths: words of sentences, nodes or edges of graphs.

    Args:
        values: All rows one after the other, shape (sum of lengths, ...).
        lengths: Length of each row, shape (rows,).

    Raises:
        ValueError: If a length is negative, or the lengths do not add up to the values.

    Example:

    >>> rows = Ragged(np.array([5, 6, 7]), np.array([1, 2]))
    >>> rows.padded(np.array([0, 1]), width=3).tolist()
    [[5, 0, 0], [6, 7, 0]]
    """

    values: np.ndarray
    lengths: np.ndarray

    def __post_init__(self) -> None:
        if self.lengths.size and self.lengths.min() < 0:
            raise ValueError(f"`lengths` must be >= 0. Received: a length of {self.lengths.min()}")
        if int(self.lengths.sum()) != len(self.values):
            raise ValueError(
                "`lengths` must add up to the number of values. "
                f"Received: {self.lengths.sum()} for {len(self.values)} values"
            )

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """Some arrays, one after the other."""
        return cls(np.concatenate(rows), np.array([len(row) for row in rows]))

    def __len__(self) -> int:
        return len(self.lengths)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Where each row begins among the values."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def row(self, index: int) -> np.ndarray:
        """One row."""
        return self.values[self.starts[index] : self.starts[index] + self.lengths[index]]

    def take(self, rows: np.ndarray) -> Ragged:
        """Some of the rows, in the given order."""
        lengths = self.lengths[rows]
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.values[np.repeat(self.starts[rows], lengths) + inside], lengths)

    def padded(self, rows: np.ndarray, width: int, fill: float = 0) -> np.ndarray:
        """Some of the rows as one array, what they lack filled in behind them.

        Args:
            rows: Their numbers.
            width: Length of the longest of them, or more.
            fill: What to fill in. Defaults to 0.

        Returns:
            An array of shape (rows, width, ...).
        """
        if not len(self.values):
            shape = (len(rows), width, *self.values.shape[1:])
            return np.full(shape, fill, self.values.dtype)
        columns = np.arange(width)
        there = columns < self.lengths[rows][:, None]
        places = np.where(there, self.starts[rows][:, None] + columns, 0)
        there = there.reshape(*there.shape, *[1] * (self.values.ndim - 1))
        return np.where(there, self.values[places], np.asarray(fill, self.values.dtype))
