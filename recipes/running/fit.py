"""Training by Keras's `fit` over a dataset: what recipes do unless they bring their own."""

from __future__ import annotations

import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from recipes.datasets.data import Data
from recipes.running.compiled import Compiled
from recipes.running.config import RunConfig
from recipes.running.progress import ProgressBar
from recipes.running.recipe import find
from recipes.running.training import Progress, Training


class Fit(Training):
    """Trains a compiled SAMModel, and evaluates it after each epoch.

    Args:
        config: The run's settings.
        data: Its data.
        compiled: Its model, at the start.
    """

    def __init__(self, config: RunConfig, data: Data, compiled: Compiled) -> None:
        self.config = config
        self.data = data
        self.sam: Any = compiled.sam
        self.network = compiled.network
        self.resident = compiled.resident
        # A recipe that evaluates by a function of its own gives it a dataset.
        own = find(config.recipe).evaluate is not None
        self._evaluates_by_itself = compiled.resident and not own
        self.variables = compiled.variables
        self.replicas = compiled.replicas
        self.parameters = sum(math.prod(v.shape) for v in self.sam.trainable_variables)
        pruned = sum(int((~mask).sum()) for mask in self.sam.masks.values())
        self.kept_parameters = self.parameters - pruned

    def fit(self, run: Progress, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        watchers: list[keras.callbacks.Callback] = [_EpochEnd(self, run)]
        if run.runtime.tensorboard:
            logs = str(run.folder / "tensorboard")
            watchers.append(keras.callbacks.TensorBoard(logs, write_graph=False))
        if run.runtime.progress:
            watchers.append(ProgressBar(self.config.epochs, find(self.config.recipe).metric))
        self.sam.fit(
            self.sam.plans(run.epoch) if self.resident else self.data.train(run.epoch),
            initial_epoch=run.epoch,
            epochs=self.config.epochs,
            steps_per_epoch=(
                self.sam.plans_per_epoch if self.resident else self.data.steps_per_epoch
            ),
            callbacks=[*watchers, *callbacks],
            shuffle=False,  # The data come in the order that the seed asks for.
            verbose=0,
        )

    def evaluations(self) -> dict[str, float]:
        """Loss and metrics on validation and test data, by their names in the curves."""
        found: dict[str, float] = {}
        for name, part in (("val", "validation"), ("test", "test")):
            if self._evaluates_by_itself:
                values = self.sam.evaluation(part)
            else:
                values = self._evaluate(getattr(self.data, part))
            found |= {f"{name}_{key}": value for key, value in values.items()}
        return found

    def train_metrics(self) -> Mapping[str, float]:
        if self._evaluates_by_itself:
            return self.sam.training_evaluation(self.config.epochs)
        stream = self.data.train(self.config.epochs)
        return self._evaluate(stream, steps=self.data.steps_per_epoch)

    def save(self, path: pathlib.Path) -> None:
        self.network.save(path)

    def _evaluate(self, dataset: Any, steps: int | None = None) -> dict[str, float]:
        evaluate = find(self.config.recipe).evaluate
        if evaluate is not None:
            return evaluate(self.sam, dataset, steps)
        return self.sam.evaluate(dataset, steps=steps, verbose=0, return_dict=True)


class _EpochEnd(keras.callbacks.Callback):
    """Tells a run that an epoch is over; what it adds to the logs, later callbacks see."""

    def __init__(self, training: Fit, run: Progress) -> None:
        super().__init__()
        self.training = training
        self.run = run
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.training.sam.optimizer.learning_rate))
        logs.update(self.training.evaluations())
        seconds = time.monotonic() - self._began
        self.run.end_epoch({**logs, "learning_rate": rate}, seconds)
        if self.run.stopped():
            self.model.stop_training = True
