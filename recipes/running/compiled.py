"""A compiled SAMModel that several runs take turns with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.distribution import distribution

from keras_sam import SAMModel, sparsity
from recipes.datasets.arrays import ArrayData
from recipes.datasets.data import Data
from recipes.running import parts
from recipes.running.config import RunConfig
from recipes.running.radius import Radius
from recipes.running.resident import ResidentModel
from recipes.running.runtime import Runtime, scope


class Compiled:
    """A SAMModel that is built and compiled for all runs that differ in seed and rho alone.

    Args:
        config: The settings of the first run.
        data: Its data.
        runtime: How to carry out runs.
        strategy: A `tf.distribute` strategy, or `None`.
    """

    def __init__(self, config: RunConfig, data: Data, runtime: Runtime, strategy: Any) -> None:
        steps = data.steps_per_epoch
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        with scope(strategy):
            self.network = parts.build_network(config, data)
            self.radius = Radius(config.rho) if config.rho > 0 else None
            rho: Any = 0.0
            if self.radius is not None:
                rho = parts.build_schedule(config, self.radius, steps)
            self.sam: Any = _model(data, strategy)(
                self.network,
                rho,
                config.num_batch_splits,
                normalize=config.normalize,
                adaptive=config.adaptive,
                sync_perturbation=config.sync_perturbation,
                method=parts.build_method(config),
                perturb=config.perturb,
                ascent_steps=config.ascent_steps,
            )
            if self.radius is not None:
                # Part of the model's state, or JAX would compile in the radius of the first run.
                self.sam.radius = self.radius.variable
            self.resident = isinstance(self.sam, ResidentModel)
            in_one_go = runtime.steps(
                steps, self.replicas, data.one_shape, self.resident, _loops_well(self.network)
            )
            self.sam.compile(
                parts.build_optimizer(config, steps),
                parts.build_loss(config),
                metrics=parts.build_metrics(config),
                steps_per_execution=1 if self.resident else in_one_go,
                jit_compile="auto" if runtime.jit is None else runtime.jit,
            )
            if self.resident:
                self.sam.build_programs(in_one_go)
            self._prune(config, data)
            self.sam.optimizer.build(self.sam.trainable_variables)
            self.sam.fit_method()
        self._optimizer_start = [
            keras.ops.convert_to_numpy(variable) for variable in self.sam.optimizer.variables
        ]

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that training changes."""
        variables = [*self.sam.variables, *self.sam.optimizer.variables]
        return list({id(variable): variable for variable in variables}.values())

    def reset(self, config: RunConfig, data: Data) -> None:
        """Puts the model where a new one with this config's seed and rho would start."""
        if self.radius is not None:
            self.radius.assign(config.rho)
        if self.resident:
            self.sam.feed.replace(data)
        fresh = parts.build_network(config, data)
        for variable, start in zip(self.network.variables, fresh.variables, strict=True):
            variable.assign(start)
        for variable, value in zip(
            self.sam.optimizer.variables, self._optimizer_start, strict=True
        ):
            variable.assign(value)
        for of_rule in self.sam.method_variables:
            for variable in of_rule:
                variable.assign(np.zeros(variable.shape))
        self._prune(config, data)

    def _prune(self, config: RunConfig, data: Data) -> None:
        if config.sparsity > 0:
            batch = next(iter(data.train(0)))
            self.sam.masks = sparsity.prune(
                self.network,
                config.sparsity,
                score=config.pruner,
                data=keras.tree.map_structure(keras.ops.convert_to_numpy, tuple(batch)),
                loss=parts.build_loss(config),
                seed=config.seed,
            )


def _model(data: Data, strategy: Any) -> Callable[..., Any]:
    """What makes the model: one with its data on the device, where that is one device."""
    if isinstance(data, ArrayData) and strategy is None and distribution() is None:
        return functools.partial(ResidentModel, data)
    return SAMModel


def _loops_well(network: keras.Model) -> bool:
    """Whether a step takes no longer inside a loop of a program than by itself.

    XLA computes convolutions inside a loop on one core of a CPU: 4 times as long on two.
    """
    if keras.backend.backend() != "jax":
        return True
    import jax

    convolves = any(len(variable.shape) >= 4 for variable in network.trainable_variables)
    return jax.default_backend() != "cpu" or not convolves
