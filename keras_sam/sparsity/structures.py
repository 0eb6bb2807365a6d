"""Which weights of a layer are kept, given a score for each.

    unstructured    any weights: the highest scores of the layer
    "N:M"           N of each M consecutive weights along the layer's input axis, such as "2:4"

Ties go to the weight that comes first in the array (C order), so a mask follows from scores alone.
"""

import re

import numpy as np

UNSTRUCTURED = "unstructured"


def top(scores: np.ndarray, kept: int) -> np.ndarray:
    """A mask of the `kept` highest scores.

    Args:
        scores: A float array of any shape.
        kept: How many to keep, 0 to `scores.size`.

    Returns:
        A boolean array of the same shape with exactly `kept` times `True`.

    Example:

    >>> top(np.array([1.0, 3.0, 3.0, 3.0]), 2)
    array([False,  True,  True, False])
    """
    flat = scores.ravel()
    if kept == 0:
        return np.zeros(scores.shape, bool)
    threshold = np.partition(flat, flat.size - kept)[flat.size - kept]
    mask = flat > threshold
    mask[np.flatnonzero(flat == threshold)[: kept - np.count_nonzero(mask)]] = True
    return mask.reshape(scores.shape)


def n_of_m(scores: np.ndarray, n: int, m: int, axis: int) -> np.ndarray:
    """A mask of the `n` highest scores of each `m` consecutive ones along an axis.

    Args:
        scores: A float array.
        n: How many of each group are kept.
        m: The size of a group; divides `scores.shape[axis]`.
        axis: The axis.

    Returns:
        A boolean array of the same shape.

    Example:

    >>> n_of_m(np.array([[4.0], [1.0], [2.0], [3.0]]), 1, 2, axis=0).ravel()
    array([ True, False, False,  True])

    References:
        - Mishra et al. 2021, https://arxiv.org/abs/2104.08378 (2:4)
    """
    last = np.moveaxis(scores, axis, -1)
    groups = last.reshape(-1, m)
    best = np.argsort(-groups, axis=-1, kind="stable")[:, :n]
    mask = np.zeros(groups.shape, bool)
    np.put_along_axis(mask, best, True, axis=-1)
    return np.moveaxis(mask.reshape(last.shape), -1, axis)


def parse(structure: str) -> tuple[int, int] | None:
    """`(N, M)` of a structure like "2:4", or `None` if it is "unstructured".

    Args:
        structure: "unstructured" or "N:M" with 1 <= N <= M.

    Returns:
        A pair of ints, or `None`.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(structure, str) and structure == UNSTRUCTURED:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", structure) if isinstance(structure, str) else None
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            '`structure` must be "unstructured" or "N:M" with 1 <= N <= M, such as "2:4". '
            f"Received: `structure={structure!r}`"
        )
    return int(match[1]), int(match[2])
