"""Training by proximal policy optimization: a rollout and one `SAMModel.fit` an iteration."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes.reinforcement.episodes import Episodes
from recipes.reinforcement.games import Array, Games
from recipes.reinforcement.rollout import Rollout, first_episodes, roll_out
from recipes.running.config import RunConfig
from recipes.running.recipe import find
from recipes.running.runtime import Runtime
from recipes.running.training import Progress, Training

if TYPE_CHECKING:
    import keras

# First numbers of seeds: what one is for, no other is.
_TRAINING, _ORDER, _ACTIONS, _EVALUATION = range(4)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a network and its compilation have to know of games.

    Attributes:
        actions: Number of actions.
        input_shape: Shape of what is seen.
        steps_per_epoch: Steps of an iteration.
        train: From any number to batches, of a policy that draws all actions alike.
        one_shape: Whether all batches have one shape.
    """

    actions: int
    input_shape: tuple[int, ...]
    steps_per_epoch: int
    train: Callable[[int], Iterator[tuple[Array, Array]]]
    one_shape: bool = True


class PPO(Training):
    """Trains by PPO; an epoch of the run is an iteration.

    `return` is the mean return of the last 100 training episodes. `val_return` and `test_return`
    are those of evaluation episodes, half of `evaluation_games` each, from seeds that are the same
    in all runs; they are NaN but at every `evaluate_every`-th iteration and the last. A return is
    the game's own score, whatever rewards are learnt from.

    The random numbers of an iteration follow from the seed and its number; games go on from their
    state. Every `fresh_every`-th iteration begins with new episodes (0: none does).

    Args:
        config: The run's settings, with the options of `recipes.reinforcement.settings`.
        runtime: How to carry it out; on one device.
        games: From a game's name and the number of copies to `Games`.
        clip_rewards: Whether only the sign of a reward is learnt from. Defaults to `False`.

    Raises:
        ValueError: If a setting is out of range, or the game is not to be had.

    Source: Schulman et al. 2017, arXiv 1707.06347.
    """

    def __init__(
        self,
        config: RunConfig,
        runtime: Runtime,
        games: Callable[[str, int], Games],
        clip_rewards: bool = False,
    ) -> None:
        self.config = config
        self.options = config.options
        _check(config)
        self.clip_rewards = clip_rewards
        self.games = games(self.options["game"], self.options["games"])
        self.evaluated = games(self.options["game"], self.options["evaluation_games"])
        examples = self.options["games"] * self.options["steps"]
        task = Task(
            self.games.actions,
            self.games.seen.shape[1:],
            self.options["passes"] * examples // config.batch_size,
            self._uniform_batches,
        )
        compiled = _compiled(config, task, runtime)
        self.sam, self.network = compiled.sam, compiled.network
        self.sam.optimizer.global_clipnorm = self.options["clip_norm"]
        if config.optimizer != "sgd":
            self.sam.optimizer.epsilon = 1e-5  # As is usual for PPO.
        self.variables = compiled.variables
        self.parameters = sum(math.prod(v.shape) for v in self.sam.trainable_variables)
        pruned = sum(int((~mask).sum()) for mask in self.sam.masks.values())
        self.kept_parameters = self.parameters - pruned
        self.episodes = Episodes(self.options["games"])
        self.games.reset([_TRAINING, config.seed, 0])
        self.last = {"loss": math.nan, "return": math.nan}

    def fit(self, run: Progress, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        import keras

        from recipes.running.progress import ProgressBar

        watchers = list(callbacks)
        if run.runtime.tensorboard:
            folder = str(run.folder / "tensorboard")
            watchers.insert(0, keras.callbacks.TensorBoard(folder, write_graph=False))
        if run.runtime.progress:
            watchers.insert(0, ProgressBar(self.config.epochs, find(self.config.recipe).metric))
        told = keras.callbacks.CallbackList(watchers, add_history=False, model=self.sam)
        told.on_train_begin()
        for iteration in range(run.epoch, self.config.epochs):
            began = time.monotonic()
            told.on_epoch_begin(iteration)
            self._iterate(iteration)
            logs = {**self.last, **self._evaluation(iteration)}
            run.end_epoch(logs, time.monotonic() - began)
            told.on_epoch_end(iteration, logs)
            if run.stopped():
                break
        told.on_train_end()

    def train_metrics(self) -> Mapping[str, float]:
        return self.last

    def save(self, path: pathlib.Path) -> None:
        self.network.save(path)

    def state(self) -> Mapping[str, Any]:
        parts = {"games": self.games.state(), "episodes": self.episodes.state(), "last": self.last}
        return {f"{name}.{key}": v for name, part in parts.items() for key, v in part.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        parts: dict[str, dict[str, Any]] = {}
        for key, value in state.items():
            name, _, rest = key.partition(".")
            parts.setdefault(name, {})[rest] = value
        self.games.restore(parts["games"])
        self.episodes.restore(parts["episodes"])
        self.last = parts["last"]

    def _iterate(self, iteration: int) -> None:
        fresh = self.options["fresh_every"]
        if fresh and iteration and iteration % fresh == 0:
            self.games.reset([_TRAINING, self.config.seed, iteration])
            self.episodes.restart()
        random = np.random.default_rng([_ACTIONS, self.config.seed, iteration])
        rollout = self._roll_out(self.network.predict_on_batch, random)
        self.episodes.add(rollout.rewards, rollout.ended)
        order = np.random.default_rng([_ORDER, self.config.seed, iteration])
        examples = len(rollout.seen)
        rows = np.concatenate([order.permutation(examples) for _ in range(self.options["passes"])])
        history = self.sam.fit(
            rollout.seen[rows],
            rollout.targets[rows],
            batch_size=self.config.batch_size,
            shuffle=False,  # All passes, in the order of the seed, are one epoch of Keras.
            verbose=0,
        )
        self.last = {"loss": float(history.history["loss"][-1]), "return": self.episodes.mean}

    def _roll_out(self, policy: Callable[[Array], Array], random: np.random.Generator) -> Rollout:
        return roll_out(
            self.games,
            policy,
            self.options["steps"],
            random,
            discount=self.options["discount"],
            trace=self.options["trace"],
            clip_rewards=self.clip_rewards,
        )

    def _evaluation(self, iteration: int) -> dict[str, float]:
        due = (iteration + 1) % self.options["evaluate_every"] == 0
        means = [math.nan, math.nan]
        if due or iteration + 1 == self.config.epochs:
            self.evaluated.reset([_EVALUATION])
            random = np.random.default_rng([_EVALUATION])
            returns = first_episodes(self.evaluated, self.network.predict_on_batch, random)
            means = [float(half.mean()) for half in np.split(returns, 2)]
        logs = {"val_loss": math.nan, "test_loss": math.nan}  # An episode has no loss.
        return {**logs, "val_return": means[0], "test_return": means[1]}

    def _uniform_batches(self, _: int) -> Iterator[tuple[Array, Array]]:
        """For scores of pruning: actions all alike, and values of 0."""
        random = np.random.default_rng([_ACTIONS, self.config.seed])
        actions = self.games.actions
        rollout = self._roll_out(lambda seen: np.zeros((len(seen), actions + 1)), random)
        size = self.config.batch_size
        for first in range(0, len(rollout.seen), size):
            yield rollout.seen[first : first + size], rollout.targets[first : first + size]


# Compiled models that are kept for the next run: one with SAM, one without.
_KEPT: dict[str, Any] = {}


def _compiled(config: RunConfig, task: Any, runtime: Runtime) -> Any:
    """A `Compiled` at its start; runs that differ in seed and rho alone share one."""
    from recipes.running.compiled import Compiled

    shared = config.replace(seed=0, rho=float(config.rho > 0)).to_dict()
    carried_out = (runtime.jit, runtime.steps_per_execution)
    key = json.dumps([shared, task.actions, task.input_shape, carried_out], sort_keys=True)
    if key in _KEPT:
        _KEPT[key].reset(config, task)
    else:
        if len(_KEPT) > 1:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = Compiled(config, task, runtime, None)
    return _KEPT[key]


def _check(config: RunConfig) -> None:
    """Raises a ValueError unless the settings are possible."""
    options = config.options
    for name in ("games", "steps", "passes", "evaluate_every"):
        _require(name, options[name], options[name] >= 1, ">= 1")
    for name in ("discount", "trace"):
        _require(name, options[name], 0 <= options[name] <= 1, "in [0, 1]")
    _require("clip_norm", options["clip_norm"], options["clip_norm"] > 0, "> 0")
    _require("fresh_every", options["fresh_every"], options["fresh_every"] >= 0, ">= 0")
    games = options["evaluation_games"]
    _require("evaluation_games", games, games >= 2 and games % 2 == 0, "even, >= 2")
    examples = options["games"] * options["steps"]
    divides = examples % config.batch_size == 0
    _require("batch_size", config.batch_size, divides, f"a divisor of games x steps, {examples}")
    every, patience = options["evaluate_every"], config.patience
    seen = patience is None or patience % every == 0
    _require("patience", patience, seen, f"none, or a multiple of evaluate_every, {every}")
    noise = config.label_noise
    _require("label_noise", noise, noise == 0, "0 where nothing is labelled")
    _require("take", config.take, config.take is None, "none where there is no training set")


def _require(name: str, value: Any, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"`{name}` must be {allowed}. Received: `{name}={value!r}`")
