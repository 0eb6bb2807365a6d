"""Runs of one architecture that are trained together, as a `keras_sam.Population`.

Each gets the record that it would have got alone, to rounding. Curves, divergence, patience and
selection are those of `Run`; what differs is that one program steps all of them, and that one
checkpoint holds all of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_sam import Member, Population, sparsity
from keras_sam.backend import keras_internals
from recipes.datasets.arrays import ArrayData
from recipes.files import append_line
from recipes.running import parts
from recipes.running.checkpoint import Checkpoint
from recipes.running.config import RunConfig
from recipes.running.lock import locked
from recipes.running.member_run import MemberRun
from recipes.running.pool import Pool
from recipes.running.recipe import find
from recipes.running.records import Record, read_records
from recipes.running.trainer import Trainer
from recipes.seeding import set_seed

# What is added to the name of a folder of a population, in place of seeds and rhos.
_NAME = "population"


class Together:
    """Carries out runs that differ in seed and rho alone as one population.

    Args:
        trainer: What knows data, and carries out what cannot be trained together.
        chunk: How many members are trained at once. Defaults to `None`, as many as there is memory
            for.
    """

    def __init__(self, trainer: Trainer, chunk: int | None = None) -> None:
        self._trainer, self._chunk = trainer, chunk
        self._population: tuple[str, Population] | None = None
        self._example: tuple[str, keras.Model] | None = None
        self._pruned: dict[int, int] = {}  # How many weights of each seed's network are.

    def can_train(self, configs: Sequence[RunConfig]) -> bool:
        """Whether these runs are such as a population trains; if not, they are for one by one."""
        if len(configs) < 2 or len({_shared(config) for config in configs}) > 1:
            return False
        config, recipe = configs[0], find(configs[0].recipe)
        runtime = self._trainer.runtime
        if recipe.training is not None or recipe.evaluate is not None:
            return False
        if runtime.tensorboard or runtime.csv or runtime.save_model or runtime.jit:
            return False
        if self._trainer.is_distributed or config.mixed_precision is not None:
            return False
        if config.every > 1 or config.late > 0:
            return False
        data = self._trainer.data(config)
        if not isinstance(data, ArrayData):
            return False
        network = self._network(config)
        constrained = any(v.constraint is not None for v in network.trainable_variables)
        # On a CPU a convolution keeps all cores busy by itself, and is slower inside of a loop.
        names = [type(layer).__name__ for layer in keras_internals.all_layers(network)]
        return not constrained and (on_accelerator() or not any("Conv" in name for name in names))

    def train(
        self,
        configs: Sequence[RunConfig],
        folder: pathlib.Path,
        records: pathlib.Path,
        wait: bool = False,
    ) -> list[Record]:
        """Trains those of the runs that have no record, from where their checkpoint is.

        Args:
            configs: Runs for which `can_train`.
            folder: The folder of their study. Records are looked for in its `records*.jsonl`.
            records: The file to append records to.
            wait: Whether to wait for another process that is at it.

        Returns:
            The new records.
        """
        name = hashlib.sha256(_shared(configs[0]).encode()).hexdigest()[:12]
        own = folder / f"{_NAME}-{name}"
        with locked(own, wait):
            done = [record.config for record in read_records(*folder.glob("records*.jsonl"))]
            left = [config for config in configs if config not in done]
            checkpoint = Checkpoint(own / "checkpoint.npz")
            checkpoint.clean()
            progress = checkpoint.progress()
            if progress is not None:
                saved = [RunConfig.from_dict(config) for config in progress["configs"]]
                if all(config in saved for config in left):
                    left = saved if left else []  # Those that go on from one file go on together.
                else:
                    progress = None
            found = self._train(left, own, checkpoint, progress) if left else []
            found = [record for record in found if record.config not in done]
            if found:  # In one write: no kill comes in between.
                append_line(records, "\n".join(record.to_json() for record in found))
            checkpoint.remove()
        return found

    def _train(
        self,
        configs: Sequence[RunConfig],
        folder: pathlib.Path,
        checkpoint: Checkpoint,
        progress: Mapping[str, Any] | None,
    ) -> list[Record]:
        pool = Pool([self._data(config) for config in configs])
        population = self._of(configs, pool)
        network = self._network(configs[0])
        parameters = sum(math.prod(v.shape) for v in network.trainable_variables)
        runs = [
            MemberRun(
                config,
                folder,
                self._trainer.runtime,
                parameters,
                parameters - self._pruned[config.seed],
                members=len(configs),
            )
            for config in configs
        ]
        if progress is not None:
            population.set_states(checkpoint.restore([]))
            for run, saved in zip(runs, progress["runs"], strict=True):
                run.resume(saved)
        saved_at = time.monotonic()
        epochs = configs[0].epochs
        for epoch in range(max(run.epoch for run in runs), epochs):
            going = [run for run in runs if not run.stopped()]
            if not going:
                break
            began = time.monotonic()
            curves = self._epoch(population, pool, epoch)
            seconds = (time.monotonic() - began) / len(going)
            for i, run in enumerate(runs):
                if not run.stopped():
                    logs = {name: float(values[i]) for name, values in curves.items()}
                    run.end_epoch(logs, seconds)
            ended = [run for run in going if run.stopped() or run.epoch == epochs]
            if ended:
                # Now: the others go on, and those that have ended with them.
                values = self._train_metrics(population, pool, epochs)
                for i, run in enumerate(runs):
                    if run in ended:
                        run.final = {name: float(of[i]) for name, of in values.items()}
            if time.monotonic() - saved_at >= self._trainer.runtime.checkpoint_seconds:
                state = {
                    "configs": [config.to_dict() for config in configs],
                    "runs": [run.progress() for run in runs],
                }
                checkpoint.save([], state, population.states())
                saved_at = time.monotonic()
        return [run.record() for run in runs]

    def _epoch(self, population: Population, pool: Pool, epoch: int) -> dict[str, np.ndarray]:
        """Trains for an epoch, and what the curves get of it."""
        order, draws = pool.order(epoch), pool.draws(epoch)
        curves = dict(population.train_epoch(pool.x, pool.y, order, draws=draws))
        for name, part in (("val", "validation"), ("test", "test")):
            values = population.evaluate(
                pool.x, pool.y, rows=pool.rows(part), batch_size=pool.evaluation_batch(part)
            )
            curves |= {f"{name}_{key}": of for key, of in values.items()}
        return {**curves, "learning_rate": population.learning_rate()}

    def _train_metrics(
        self, population: Population, pool: Pool, epoch: int
    ) -> dict[str, np.ndarray]:
        order, draws = pool.order(epoch), pool.draws(epoch)
        flat = [a if a is None else a.reshape(len(a), -1, *a.shape[3:]) for a in (order, draws)]
        return population.evaluate(
            pool.x, pool.y, rows=flat[0], draws=flat[1], batch_size=order.shape[2]
        )

    def _of(self, configs: Sequence[RunConfig], pool: Pool) -> Population:
        """A population at its start, by the programs of the last one if it was of this kind."""
        members = self._members(configs, pool)
        key = _shared(configs[0])
        if self._population is not None and self._population[0] == key:
            self._population[1].restart(members)
            return self._population[1]
        config, data = configs[0], pool.data[0]
        population = Population(
            self._builder(config),
            members,
            prepare=data.prepare,
            augment=data.augment,
            chunk=self._chunk,
            method=parts.build_method(config),
            normalize=config.normalize,
            adaptive=config.adaptive,
            perturb=config.perturb,
            ascent_steps=config.ascent_steps,
            num_batch_splits=config.num_batch_splits,
        )
        population.compile(
            lambda: parts.build_optimizer(config, data.steps_per_epoch),
            parts.build_loss(config),
            metrics=parts.build_metrics(config),
        )
        self._population = (key, population)
        return population

    def _builder(self, config: RunConfig) -> Callable[[int], keras.Model]:
        def build(seed: int) -> keras.Model:
            own = config.replace(seed=seed)
            set_seed(seed)  # For whatever has no seed of its own.
            return parts.build_network(own, self._data(own))

        return build

    def _members(self, configs: Sequence[RunConfig], pool: Pool) -> list[Member]:
        masks: dict[int, Any] = {}
        for config, data in zip(configs, pool.data, strict=True):
            if config.seed not in masks:
                masks[config.seed] = _masks(config, data)
        self._pruned = {seed: _pruned(of_seed) for seed, of_seed in masks.items()}
        return [Member(c.seed, c.rho, masks=masks[c.seed]) for c in configs]

    def _network(self, config: RunConfig) -> keras.Model:
        """A network of this kind, whatever its weights are."""
        key = _shared(config)
        if self._example is None or self._example[0] != key:
            self._example = (key, parts.build_network(config, self._trainer.data(config)))
        return self._example[1]

    def _data(self, config: RunConfig) -> ArrayData:
        data = self._trainer.data(config)
        assert isinstance(data, ArrayData)
        return data


def on_accelerator() -> bool:
    """Whether the backend computes on anything but CPUs."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return keras.ops.zeros(()).device.type != "cpu"


def _shared(config: RunConfig) -> str:
    """What runs of one population have in common."""
    return json.dumps(config.replace(seed=0, rho=0.0).to_dict(), sort_keys=True)


def _masks(config: RunConfig, data: ArrayData) -> list[Any] | None:
    """The masks of a seed, in the order of the weights: those that the run alone has."""
    if not config.sparsity:
        return None
    network = parts.build_network(config, data)
    x, y = data.arrays["train"]
    rows = data.order(0)[0]
    inputs = x[rows]
    if data.augment is not None and data.draws is not None:
        inputs = data.augment(keras.ops.convert_to_tensor(inputs), data.draws(0)[0])
    masks = sparsity.prune(
        network,
        config.sparsity,
        score=config.pruner,
        data=(keras.ops.convert_to_numpy(data.prepare(inputs)), y[rows]),
        loss=parts.build_loss(config),
        seed=config.seed,
    )
    return [masks.get(variable.path) for variable in network.trainable_variables]


def _pruned(masks: Sequence[Any] | None) -> int:
    """How many weights masks leave out."""
    return sum(math.prod(m.shape) - int(np.sum(m)) for m in masks or () if m is not None)
