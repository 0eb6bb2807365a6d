"""How many weights each layer keeps, given how many are kept in all.

Every function here has the same signature, and so does a distribution of your own:

    distribution(scores, kept) -> counts

    scores: a list of float arrays, one for each layer; -inf marks a weight that is pruned already.
    kept: the number of weights to keep in all of them together, at most those that are left.
    counts: a list of ints, one for each layer, whose sum is `kept`.

The total is exact: the real-valued shares of `uniform` and `erk` are rounded down, and the weights
that are left over go one by one to the layers that are farthest below their share (the first of
equals). Both give each layer at least one weight whenever `kept` allows it; `global_` does not.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from keras_sam.sparsity.structures import top

Distribution = Callable[[Sequence[np.ndarray], int], list[int]]


def kept_count(sparsity: float, size: int) -> int:
    """The number of weights kept: `(1 - sparsity) * size`, rounded to the nearest, halves up.

    `sparsity` counts as it is written, as a decimal: 0.9 is nine tenths, although no float is.

    Args:
        sparsity: Fraction of weights to remove, in [0, 1].
        size: Number of weights.

    Returns:
        An int.

    Example:

    >>> kept_count(0.9, 5)  # 0.5, a half, goes up; in floats, (1 - 0.9) * 5 is below it
    1
    """
    return math.floor((1 - Fraction(str(float(sparsity)))) * size + Fraction(1, 2))


def global_(scores: Sequence[np.ndarray], kept: int) -> list[int]:
    """One threshold for all layers: the `kept` highest scores, wherever they are."""
    mask = top(np.concatenate([score.ravel() for score in scores]), kept)
    ends = np.cumsum([score.size for score in scores])
    return [int(part.sum()) for part in np.split(mask, ends[:-1])]


def uniform(scores: Sequence[np.ndarray], kept: int) -> list[int]:
    """The same sparsity in each layer."""
    return _proportional([score.size for score in scores], scores, kept)


def erk(scores: Sequence[np.ndarray], kept: int) -> list[int]:
    """Erdős-Rényi-Kernel: a layer's density is proportional to sum(shape) / prod(shape).

    Layers whose density would exceed 1 stay dense, and the others share the rest.

    References:
        - Evci et al. 2020, https://arxiv.org/abs/1911.11134, section 3 (1)
    """
    return _proportional([sum(score.shape) for score in scores], scores, kept)


DISTRIBUTIONS: dict[str, Distribution] = {"global": global_, "uniform": uniform, "erk": erk}


def _proportional(weights: Sequence[int], scores: Sequence[np.ndarray], kept: int) -> list[int]:
    """Integers near `min(c * weight, available)`, where c makes their sum `kept`."""
    available = np.array([np.count_nonzero(score > -np.inf) for score in scores])
    share = _shares(np.asarray(weights, float), available, kept)
    least = np.minimum(available, 1 if kept >= np.count_nonzero(available) else 0)
    counts = np.clip(np.floor(share).astype(int), least, available)
    while (missing := kept - counts.sum()) != 0:
        step = np.sign(missing)
        movable = counts < available if step > 0 else counts > least
        counts[np.argmax(np.where(movable, (share - counts) * step, -np.inf))] += step
    return counts.tolist()


def _shares(weights: np.ndarray, available: np.ndarray, kept: int) -> np.ndarray:
    full = available == 0
    while not full.all():
        c = (kept - available[full].sum()) / weights[~full].sum()
        overfull = ~full & (c * weights > available)
        if not overfull.any():
            return np.where(full, available, c * weights)
        full |= overfull
    return available.astype(float)
