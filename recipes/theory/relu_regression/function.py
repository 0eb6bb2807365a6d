"""A function that a one-hidden-layer ReLU network draws, and how simple it is. NumPy alone.

    f(x) = sum_j a_j relu(w_j x + b_j) + c

is piecewise linear: at the kink of neuron j, `t_j = -b_j / w_j`, the slope changes by `a_j |w_j|`.
How bent f is on [-1, 1] is the total variation of f', the sum of `|a_j w_j|` over the kinks there,
once kinks that lie together have been merged: it depends on the function alone, not on which
weights draw it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray

# Kinks closer than this are one.
_TOGETHER = 0.02


class Weights(NamedTuple):
    """w, b and a of m neurons, and c, a number."""

    w: Array
    b: Array
    a: Array
    c: float

    def flat(self) -> Array:
        """All in one array: w, b, a, c."""
        return np.concatenate([self.w, self.b, self.a, [self.c]])

    @classmethod
    def of(cls, flat: Array) -> Weights:
        """The weights that `flat` gave."""
        w, b, a = np.split(np.asarray(flat[:-1], float), 3)
        return cls(w, b, a, float(flat[-1]))


def initial(neurons: int, seed: int) -> Weights:
    """w, b ~ N(0, 1), a ~ N(0, 1 / m), c = 0."""
    rng = np.random.default_rng([seed, 0])
    w, b, a = rng.normal(size=(3, neurons))
    return Weights(w, b, a / np.sqrt(neurons), 0.0)


def evaluate(weights: Weights, x: Array) -> Array:
    """f at the points x, (n,)."""
    return np.maximum(np.outer(x, weights.w) + weights.b, 0) @ weights.a + weights.c


def slope_changes(weights: Weights) -> Array:
    """The change of slope at every kink in [-1, 1], merged where they lie together.

    Example, kinks of the slopes 2 and -2 at 0 and at .5:

    >>> slope_changes(Weights(np.full(2, 2.0), np.array([0, -1.0]), np.array([1, -1.0]), 0.0))
    array([ 2., -2.])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        places = -weights.b / weights.w
    inside = np.isfinite(places) & (np.abs(places) <= 1)
    order = np.argsort(places[inside])
    places = places[inside][order]
    changes = (weights.a * np.abs(weights.w))[inside][order]
    if not len(places):
        return changes
    starts = np.flatnonzero(np.diff(places, prepend=-np.inf) >= _TOGETHER)
    return np.add.reduceat(changes, starts)


def total_variation(weights: Weights) -> float:
    """The total variation of f' on [-1, 1]."""
    return float(np.abs(slope_changes(weights)).sum())


def kinks(weights: Weights) -> int:
    """How many kinks make up more than a hundredth of the total variation each."""
    changes = np.abs(slope_changes(weights))
    return int((changes > 0.01 * changes.sum()).sum())


def loss(weights: Weights, x: Array, y: Array) -> float:
    """mean (f(x) - y)^2 / 2."""
    return float(np.mean((evaluate(weights, x) - y) ** 2) / 2)


def gradient(weights: Weights, x: Array, y: Array) -> Array:
    """The gradient of `loss` in the order of `Weights.flat`."""
    return _features(weights, x).T @ (evaluate(weights, x) - y) / len(x)


def hessian(weights: Weights, x: Array, y: Array) -> Array:
    """The Hessian of `loss` in the order of `Weights.flat`, exactly, away from kinks at data.

    `J^T J / n` of the features, and the residuals times the only second derivatives that are not
    0: `d^2 f / da_j dw_j = x` and `d^2 f / da_j db_j = 1`, where neuron j is active.
    """
    features = _features(weights, x)
    m = len(weights.w)
    total = features.T @ features / len(x)
    residual = (evaluate(weights, x) - y) / len(x)
    active = np.outer(x, weights.w) + weights.b > 0
    for first, values in ((0, residual * x), (m, residual)):
        mixed = values @ active
        index = np.arange(m)
        total[first + index, 2 * m + index] += mixed
        total[2 * m + index, first + index] += mixed
    return total


def largest_eigenvalue(weights: Weights, x: Array, y: Array) -> float:
    """lambda_max of the Hessian."""
    return float(np.linalg.eigvalsh(hessian(weights, x, y))[-1])


def barrier(one: Weights, other: Weights, x: Array, y: Array) -> float:
    """How far the loss rises above the higher end on the segment between two sets of weights."""
    shares = np.linspace(0, 1, 51)
    losses = [loss(Weights.of((1 - s) * one.flat() + s * other.flat()), x, y) for s in shares]
    return max(losses) - max(losses[0], losses[-1])


def _features(weights: Weights, x: Array) -> Array:
    """df / d(w, b, a, c) at each x, (n, 3 m + 1)."""
    before = np.outer(x, weights.w) + weights.b
    active = (before > 0) * weights.a
    return np.concatenate(
        [active * x[:, None], active, np.maximum(before, 0), np.ones((len(x), 1))], axis=1
    )
