"""Batches of examples that are about equally long, so that little of them is padding."""

from __future__ import annotations

import dataclasses

import numpy as np

NARROWEST = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Which examples stand in a batch, and to which length they are padded.

    Attributes:
        rows: numbers of the examples.
        width: length of the batch, one of 8, 16, 32, ...: XLA compiles a program for each.
    """

    rows: np.ndarray
    width: int


def shuffled(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[Plan]:
    """Plans an epoch: full batches, in an order that is a function of (seed, epoch) alone.

    The examples that make up floor(n / batch_size) batches are drawn and sorted by their width
    (in random order where it is the same), and the batches come in random order.

    Args:
        lengths: length of each example.
        batch_size: examples in a batch.
        seed: of the run.
        epoch: the epoch's number, from 0.

    Returns:
        A plan a batch.

    Example:

    >>> [plan.width for plan in shuffled(np.array([3, 30, 5, 20]), 2, seed=0, epoch=0)]
    [8, 32]
    """
    random = np.random.default_rng([seed, epoch])
    steps = len(lengths) // batch_size
    rows = random.permutation(len(lengths))[: steps * batch_size]
    rows = rows[np.argsort(widths(lengths[rows]), kind="stable")]
    plans = _cut(lengths, rows, batch_size)
    return [plans[index] for index in random.permutation(steps)]


def in_order(lengths: np.ndarray, batch_size: int) -> list[Plan]:
    """Plans one pass over all examples, the short ones first; the last batch may be smaller.

    Args:
        lengths: length of each example.
        batch_size: examples in a batch.

    Returns:
        A plan a batch.
    """
    return _cut(lengths, np.argsort(widths(lengths), kind="stable"), batch_size)


def widths(lengths: np.ndarray) -> np.ndarray:
    """The next of 8, 16, 32, ... to each length."""
    doublings = np.ceil(np.log2(np.maximum(lengths, 1) / NARROWEST))
    return NARROWEST * 2 ** np.maximum(doublings, 0).astype(np.int64)


def _cut(lengths: np.ndarray, rows: np.ndarray, batch_size: int) -> list[Plan]:
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [Plan(batch, int(widths(lengths[batch]).max())) for batch in batches]
