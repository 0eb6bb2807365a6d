"""Several copies of one game, which are played in step."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Step(NamedTuple):
    """What a step of all games came to, an entry a game.

    Attributes:
        rewards: What the game gives, float64.
        ended: Whether an episode is over. The next has begun: `Games.seen` is its first picture.
        cut: Whether it was cut off by a limit of time rather than lost: it has a value beyond.
        final: What was seen at last, where an episode is over.
    """

    rewards: Array
    ended: Array
    cut: Array
    final: Array


class Games(abc.ABC):
    """Several copies of one game. Same seed and same actions: same course, also after `restore`.

    Attributes:
        actions: Number of actions.
        seen: What is seen now, (games, height, width, channels).
    """

    actions: int
    seen: Array

    @abc.abstractmethod
    def reset(self, seed: Sequence[int]) -> None:
        """Begins an episode in every game.

        Args:
            seed: Integers >= 0, all of which count.
        """

    @abc.abstractmethod
    def step(self, actions: Array) -> Step:
        """Takes an action in every game, integers (games,); where an episode ends, one begins."""

    @abc.abstractmethod
    def state(self) -> Mapping[str, Any]:
        """All that the further course depends on: plain data and NumPy arrays, by name."""

    @abc.abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a `state`."""


def check_game(game: str, known: Sequence[str]) -> None:
    """Raises a ValueError unless the game is among those known."""
    if game not in known:
        raise ValueError(
            f"`game` must be one of {', '.join(sorted(known))}. Received: `game={game!r}`"
        )


def missing(game: str, package: str) -> ValueError:
    """The error of a game whose package is not installed."""
    return ValueError(
        f"`game` needs the package {package}, which `pip install 'keras_sam[rl]'` installs. "
        f"Received: `game={game!r}`, and no {package}"
    )
