"""Atari games, through the Arcade Learning Environment's own vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recipes.reinforcement.games import Array, Games, Step, check_game, missing


class Atari(Games):
    """Games in grey, 84 x 84, four pictures, each action four times, up to 30 idle ones at first.

    The emulator's state cannot be had from the vector environment. `state` holds the seed and the
    actions since `reset`, and `restore` plays them again, at some 800 actions a second and core: to
    `reset` now and then keeps that short.

    Args:
        game: A game of ale-py by its name in small letters: "breakout", "pong", "space_invaders".
        games: Number of copies.

    Raises:
        ValueError: If the game is unknown, or ale-py or gymnasium is not installed.

    Example:

    ```python
    games = Atari("breakout", 8)
    games.reset([0])
    games.step(np.zeros(8, int)).rewards
    ```

    Source: Bellemare et al. 2013, arXiv 1207.4708; Machado et al. 2018, arXiv 1709.06009.
    """

    def __init__(self, game: str, games: int) -> None:
        try:
            from ale_py import roms
            from ale_py.vector_env import AtariVectorEnv
            from gymnasium.vector import AutoresetMode
        except ImportError as error:
            raise missing(game, "ale-py") from error
        check_game(game, roms.get_all_rom_ids())
        self._env = AtariVectorEnv(
            game,
            games,
            autoreset_mode=AutoresetMode.SAME_STEP,
            reward_clipping=False,  # The score is what counts; who trains may clip.
        )
        self._games = games
        self.actions = len(self._env.ale.get_action_set())
        self.reset([0])

    def reset(self, seed: Sequence[int]) -> None:
        self._seed = list(map(int, seed))
        self._played: list[Array] = []
        seeds = np.random.default_rng(self._seed).integers(2**31 - 1, size=self._games)
        self.seen = _last(self._env.reset(seed=seeds)[0])

    def step(self, actions: Array) -> Step:
        actions = np.asarray(actions, np.int64)
        seen, rewards, terminated, truncated, _ = self._env.step(actions)
        self._played.append(actions.astype(np.uint8))
        self.seen = _last(seen)
        ended = np.asarray(terminated | truncated)
        # The limit of time is half an hour of play: an episode that it ends counts as lost.
        return Step(np.asarray(rewards, float), ended, np.zeros_like(ended), self.seen)

    def state(self) -> Mapping[str, Any]:
        played = np.reshape(np.array(self._played, np.uint8), (-1, self._games))
        return {"seed": self._seed, "played": played}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.reset(state["seed"])
        for actions in state["played"]:
            self.step(actions)


def _last(pictures: Array) -> Array:
    """Channels last."""
    return np.ascontiguousarray(np.moveaxis(pictures, 1, -1))
