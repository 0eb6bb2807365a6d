"""How much better actions were than expected."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def advantages(
    rewards: Array, values: Array, ended: Array, last: Array, discount: float, trace: float
) -> Array:
    """The generalised advantage estimate.

        A_t = delta_t + discount trace (1 - ended_t) A_(t+1)
        delta_t = r_t + discount (1 - ended_t) V_(t+1) - V_t

    Args:
        rewards: r, (steps, games).
        values: V of what was seen before each action, (steps, games).
        ended: Whether the action ended an episode, (steps, games).
        last: V of what is seen after the last step, (games,).
        discount: gamma, in [0, 1].
        trace: lambda, in [0, 1]: 0 looks one step ahead, 1 to the end.

    Returns:
        A, float64 (steps, games). A + V is what V should have been.

    Example, of one game that ends at the first step:

    >>> one = np.ones((2, 1))
    >>> advantages(one, 0 * one, np.array([[True], [False]]), np.array([4.0]), 0.5, 1.0).ravel()
    array([1., 3.])

    Source: Schulman et al. 2016, arXiv 1506.02438, equation 16.
    """
    result = np.zeros(rewards.shape)
    following, ahead = np.asarray(last, float), np.zeros(rewards.shape[1:])
    for t in range(len(rewards) - 1, -1, -1):
        alive = discount * ~ended[t]
        ahead = rewards[t] + alive * following - values[t] + trace * alive * ahead
        result[t], following = ahead, values[t]
    return result
