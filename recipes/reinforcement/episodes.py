"""The returns of the last episodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray


class Episodes:
    """Adds rewards up to returns, and keeps those of the last episodes that are over.

    Args:
        games: Number of games.
        kept: Number of episodes. Defaults to 100.

    Example:

    >>> episodes = Episodes(1)
    >>> episodes.add(np.array([[1.0], [2.0], [5.0]]), np.array([[False], [True], [False]]))
    >>> episodes.mean
    3.0
    """

    def __init__(self, games: int, kept: int = 100) -> None:
        self._running = np.zeros(games)
        self._last: deque[float] = deque(maxlen=kept)

    def add(self, rewards: Array, ended: Array) -> None:
        """Takes in further steps: rewards and ends of episodes, (steps, games) each."""
        for reward, end in zip(rewards, ended, strict=True):
            self._running += reward
            self._last.extend(self._running[end])
            self._running[end] = 0

    def restart(self) -> None:
        """Forgets the episodes that are not over."""
        self._running[:] = 0

    @property
    def mean(self) -> float:
        """The mean return; NaN before the first episode is over."""
        return float(np.mean(self._last)) if self._last else float("nan")

    def state(self) -> Mapping[str, Any]:
        """All that it depends on."""
        return {"running": self._running.copy(), "last": np.array(self._last)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a `state`."""
        self._running = np.array(state["running"])
        self._last = deque(state["last"].tolist(), maxlen=self._last.maxlen)
