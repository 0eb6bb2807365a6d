"""Minima to look at: random Hessians of examples, of the kinds that the theorem tells apart.

uniform     all examples have one Hessian
commuting   diagonal, with eigenvalues drawn for each example
rank1       a a^T, what one example with one output has
wishart     A A^T / d, full rank
heavy       wishart, with one example ten times as sharp
two_point   one weight, half of the examples 0, half 1
"""

import numpy as np

from recipes.theory.validation import require

KINDS = ("uniform", "commuting", "rank1", "wishart", "heavy", "two_point")


def ensemble(kind: str, examples: int, dimension: int, seed: int) -> np.ndarray:
    """Draws Hessians.

    Args:
        kind: One of `KINDS`.
        examples: n.
        dimension: d; "two_point" has 1 whatever this is.
        seed: Fixes the draw.

    Returns:
        An array (n, d, d), positive semi-definite.

    Raises:
        ValueError: If the kind is none.

    Example:

    >>> ensemble("two_point", 4, 1, seed=0).ravel()
    array([0., 1., 0., 1.])
    """
    require("kind", kind, kind in KINDS, f"one of {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    if kind == "two_point":
        return (np.arange(examples) % 2).astype(float)[:, None, None]
    if kind == "commuting":
        return rng.exponential(size=(examples, dimension))[:, :, None] * np.eye(dimension)
    columns = 1 if kind == "rank1" else dimension
    factor = rng.normal(size=(examples, dimension, columns))
    hessians = factor @ factor.swapaxes(1, 2) / columns
    if kind == "uniform":
        hessians[:] = hessians[0]
    if kind == "heavy":
        hessians[0] *= 10
    return hessians
