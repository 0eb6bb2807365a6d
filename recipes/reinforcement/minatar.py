"""MinAtar's games (Young and Tian 2019), as gymnax computes them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recipes.reinforcement.games import Array, Games, Step, check_game, missing

# By the names that MinAtar gives them.
GAMES = {
    "asterix": "Asterix-MinAtar",
    "breakout": "Breakout-MinAtar",
    "freeway": "Freeway-MinAtar",
    "seaquest": "Seaquest-MinAtar",
    "space_invaders": "SpaceInvaders-MinAtar",
}


class MinAtar(Games):
    """Games on a 10 x 10 board, a channel an object, without sticky actions; at most 1,000 steps.

    They are pure functions of their state, which `state` holds: going on is exact. They run on the
    CPU by JAX, whatever Keras runs on.

    Args:
        game: "asterix", "breakout", "freeway", "seaquest" or "space_invaders".
        games: Number of copies.

    Raises:
        ValueError: If the game is unknown, or gymnax is not installed.

    Example:

    ```python
    games = MinAtar("breakout", 4)
    games.reset([0])
    games.step(np.zeros(4, int)).rewards    # array([0., 0., 0., 0.])
    ```

    Source: Young and Tian 2019, arXiv 1903.03176; gymnax, https://github.com/RobertTLange/gymnax.
    """

    def __init__(self, game: str, games: int) -> None:
        check_game(game, tuple(GAMES))
        try:
            import jax

            self.actions, self._begin, self._step = _program(game, games)
        except ImportError as error:
            raise missing(game, "gymnax") from error
        self._cpu = jax.devices("cpu")[0]
        self.reset([0])

    def reset(self, seed: Sequence[int]) -> None:
        import jax

        self._seed = int(np.random.default_rng(list(seed)).integers(2**31))
        self._count = 0
        with jax.default_device(self._cpu):
            seen, self._state = self._begin(_key(self._seed))
        self.seen = np.asarray(seen, np.float32)

    def step(self, actions: Array) -> Step:
        import jax

        with jax.default_device(self._cpu):
            seen, self._state, rewards, terminated, truncated, final = self._step(
                _key(self._seed), self._count, self._state, np.asarray(actions, np.int32)
            )
        self._count += 1
        self.seen = np.asarray(seen, np.float32)
        terminated, truncated = np.asarray(terminated), np.asarray(truncated)
        return Step(
            np.asarray(rewards, float),
            terminated | truncated,
            truncated & ~terminated,
            np.asarray(final, np.float32),
        )

    def state(self) -> Mapping[str, Any]:
        import jax

        leaves = jax.tree.leaves(self._state)
        arrays = {f"board_{index}": np.asarray(leaf) for index, leaf in enumerate(leaves)}
        return {"seed": self._seed, "count": self._count, "seen": self.seen, **arrays}

    def restore(self, state: Mapping[str, Any]) -> None:
        import jax

        self._seed, self._count, self.seen = state["seed"], state["count"], state["seen"]
        leaves, structure = jax.tree.flatten(self._state)
        arrays = [state[f"board_{index}"] for index in range(len(leaves))]
        self._state = jax.tree.unflatten(structure, arrays)


@functools.lru_cache(maxsize=4)
def _key(seed: int) -> Any:
    import jax

    return jax.random.PRNGKey(seed)


@functools.cache
def _program(game: str, games: int) -> tuple[int, Any, Any]:
    """Number of actions, and what begins and what steps: compiled once a process."""
    import gymnax
    import jax

    env, params = gymnax.make(GAMES[game])

    def begin(key: Any) -> tuple[Any, Any]:
        return jax.vmap(env.reset, (0, None))(jax.random.split(key, games), params)

    def step(key: Any, count: Any, state: Any, actions: Any) -> Any:
        keys = jax.random.split(jax.random.fold_in(key, count), games)
        seen, state, rewards, terminated, truncated, info = jax.vmap(env.step, (0, 0, 0, None))(
            keys, state, actions, params
        )
        return seen, state, rewards, terminated, truncated, info["final_observation"]

    return env.num_actions, jax.jit(begin), jax.jit(step)
