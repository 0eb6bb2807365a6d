"""Playing with a policy, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special

from recipes.reinforcement.advantages import advantages
from recipes.reinforcement.games import Array, Games

# From what is seen to logits and value, (games, actions + 1).
Policy = Callable[[Array], Array]


class Rollout(NamedTuple):
    """What a number of steps came to.

    Attributes:
        seen: What was seen before each action, (steps * games, ...).
        targets: For `PPOLoss`, float32 (steps * games, 4).
        rewards: As the games give them, (steps, games).
        ended: Whether an episode ended, (steps, games).
    """

    seen: Array
    targets: Array
    rewards: Array
    ended: Array


def roll_out(
    games: Games,
    policy: Policy,
    steps: int,
    random: np.random.Generator,
    *,
    discount: float,
    trace: float,
    clip_rewards: bool = False,
) -> Rollout:
    """Plays on for some steps.

    Args:
        games: They are left where they are then.
        policy: Whose actions are drawn.
        steps: Number of steps, >= 1.
        random: What draws them.
        discount: gamma.
        trace: lambda of `advantages`, which are then scaled to mean 0 and deviation 1.
        clip_rewards: Whether only the sign of a reward is learnt from. Defaults to `False`.

    Returns:
        The `Rollout`.
    """
    seen, taken, logs, values, rewards, learnt, ended = ([] for _ in range(7))
    for _ in range(steps):
        outputs = policy(games.seen)
        actions, log_p = draw(outputs[:, :-1], random)
        seen.append(games.seen)
        step = games.step(actions)
        reward = np.sign(step.rewards) if clip_rewards else step.rewards
        if step.cut.any():  # Beyond the limit of time there is what the value says.
            reward = reward + discount * step.cut * policy(step.final)[:, -1]
        taken.append(actions)
        logs.append(log_p)
        values.append(outputs[:, -1].astype(float))
        rewards.append(step.rewards)
        learnt.append(reward)
        ended.append(step.ended)
    value = np.array(values)
    last = policy(games.seen)[:, -1].astype(float)
    gains = advantages(np.array(learnt), value, np.array(ended), last, discount, trace)
    scaled = (gains - gains.mean()) / (gains.std() + 1e-8)
    columns = (np.array(taken), np.array(logs), scaled, gains + value)
    return Rollout(
        np.concatenate(seen),
        np.stack([np.ravel(column) for column in columns], axis=1).astype(np.float32),
        np.array(rewards),
        np.array(ended),
    )


def draw(logits: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Actions drawn from logits (games, actions), and their log-probabilities."""
    log_p = scipy.special.log_softmax(logits.astype(float), axis=-1)
    # The largest of log p + Gumbel noise is drawn with probability p.
    actions = np.argmax(log_p + random.gumbel(size=log_p.shape), axis=-1)
    return actions, np.take_along_axis(log_p, actions[:, None], axis=-1)[:, 0]


def first_episodes(
    games: Games, policy: Policy, random: np.random.Generator, limit: int = 30_000
) -> Array:
    """The return of the first episode of every game, played from where they are.

    Args:
        games: Just reset.
        policy: Whose actions are drawn.
        random: What draws them.
        limit: Steps after which those that are not over count as they are. Defaults to 30,000.

    Returns:
        float64, (games,).
    """
    returns = np.zeros(len(games.seen))
    playing = np.ones(len(games.seen), bool)
    for _ in range(limit):
        actions, _ = draw(policy(games.seen)[:, :-1], random)
        step = games.step(actions)
        returns += playing * step.rewards
        playing &= ~step.ended
        if not playing.any():
            break
    return returns
