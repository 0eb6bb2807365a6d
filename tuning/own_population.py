"""Trainings of a user's own network, all at once, for `RhoSearch`."""

from __future__ import annotations

import json
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_sam import Member, Population, SAMModel
from keras_sam.backend import keras_internals
from keras_sam.population.data import checked, on_device
from recipes.files import append_line
from recipes.running.checkpoint import Checkpoint
from tuning.fit_arguments import FitArguments
from tuning.fit_order import fit_order
from tuning.own_run import build, check_objective
from tuning.population_check import arrays, check_arguments, checked_model, options, triple

Run = tuple[float, int]  # rho and seed.
Values = dict[str, np.ndarray]
# What Keras takes where no batch size is given.
_BATCH_SIZE = 32
# A kill costs no more than this, and an epoch.
_CHECKPOINT_SECONDS = 10.0
_BEST = "best/"


class OwnPopulation:
    """Trains runs of a user's network as one `keras_sam.Population`.

    Each begins with the weights, and sees the batches, that it would have had alone, so that its
    record is the same to rounding.

    Args:
        build_model: From rho to a new, compiled SAMModel.
        rhos: Radii that will be tried, for a look at their models.
        seeds: Seeds of the runs.
        objective: What chooses the epoch.
        arguments: Those of `fit`, and the data to test on.
        checkpoint: File of what training goes on from.

    Raises:
        ValueError: If a population cannot do what is asked for; names the argument.
    """

    def __init__(
        self,
        build_model: Callable[[float], SAMModel],
        rhos: Sequence[float],
        seeds: Sequence[int],
        objective: keras_tuner.Objective,
        arguments: FitArguments,
        checkpoint: pathlib.Path,
    ) -> None:
        check_arguments(arguments)
        given = arguments.options
        self._build_model, self._objective = build_model, objective
        self._data = tuple(arrays(name, given.get(name)) for name in ("x", "y", "sample_weight"))
        self._validation = triple("validation_data", given.get("validation_data"))
        self._test = triple("test_data", arguments.test_data)
        self._examples = checked(*self._data)
        batch_size = given.get("batch_size") or _BATCH_SIZE
        self._batch_size = min(batch_size, self._examples)
        self._evaluated = given.get("validation_batch_size") or batch_size
        self._shuffle = given.get("shuffle", True)
        self._verbose = bool(given.get("verbose", "auto"))
        self._checkpoint = Checkpoint(checkpoint)
        self._orders: dict[int, np.ndarray] = {}
        self._trained: tuple[int, Sequence[Run]] = (0, ())
        model = checked_model(build_model, rhos, seeds[0])
        self._parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
        self._compile = keras_internals.compile_arguments(model)
        self._population = self._new(model, seeds[0])
        self._check_objective(model)

    def train(self, runs: Sequence[Run], epochs: int, records: pathlib.Path) -> None:
        """Trains runs, from where the checkpoint is if it is theirs, and appends their records.

        Args:
            runs: Pairs of rho and seed: of rho 0 all, or none.
            epochs: How many to train.
            records: The file to append to.
        """
        began, wanted = time.monotonic(), set(runs)
        progress = self._progress(runs, epochs)
        runs = runs if progress is None else [(rho, seed) for rho, seed in progress["runs"]]
        population = self._restarted(runs)
        curves: dict[str, list[list[float]]] = {"loss": [], self._objective.name: []}
        best: Values = {}
        if progress is not None:
            curves, began = progress["curves"], began - progress["seconds"]
            saved = self._checkpoint.restore([])
            population.set_states({k: v for k, v in saved.items() if not k.startswith(_BEST)})
            best = {k.removeprefix(_BEST): v for k, v in saved.items() if k.startswith(_BEST)}
        saved_at = time.monotonic()
        for epoch in range(len(curves["loss"]), epochs):
            logs = self._epoch(population, runs, epoch, epochs)
            for name, curve in curves.items():
                curve.append(logs[name].tolist())
            _keep(best, population, self._improved(curves))
            if epoch + 1 < epochs and time.monotonic() - saved_at >= _CHECKPOINT_SECONDS:
                seconds = time.monotonic() - began
                plain = {"runs": runs, "epochs": epochs, "curves": curves, "seconds": seconds}
                kept = {_BEST + name: value for name, value in best.items()}
                self._checkpoint.save([], plain, {**population.states(), **kept})
                saved_at = time.monotonic()
        population.set_states(best)
        self._trained = epochs, runs
        seconds = (time.monotonic() - began) / len(runs)
        found = self._records(population, runs, curves, seconds)
        left = [record for run, record in zip(runs, found, strict=True) if run in wanted]
        append_line(records, "\n".join(map(json.dumps, left)))  # At once: all of them, or none.
        self._checkpoint.remove()

    def model(self, rho: float, seed: int, epochs: int) -> SAMModel | None:
        """The model of a run with the weights of its best epoch; `None` if it is not at hand."""
        if self._trained[0] != epochs or (rho, seed) not in self._trained[1]:
            return None
        network = self._population.network(list(self._trained[1]).index((rho, seed)))
        model = build(self._build_model, rho, seed)
        model.model.set_weights(network.get_weights())
        return model

    def _new(self, model: SAMModel, seed: int) -> Population:
        def network(seed: int) -> keras.Model:
            return build(self._build_model, 0.0, seed).model

        population = Population(network, [Member(seed)], **options(model))
        names = ("loss", "loss_weights", "metrics", "weighted_metrics")
        # The optimizer as it is now: its learning rate may have been set since.
        population.compile(model.optimizer, **{name: self._compile[name] for name in names})
        return population

    def _restarted(self, runs: Sequence[Run]) -> Population:
        masks = {}
        for seed in dict.fromkeys(seed for _, seed in runs):
            model = build(self._build_model, 0.0, seed)
            found = model.masks
            weights = model.model.trainable_variables
            masks[seed] = [found.get(v.path) for v in weights] if found else None
        self._trained = 0, ()
        self._population.restart([Member(seed, rho, masks=masks[seed]) for rho, seed in runs])
        return self._population

    def _epoch(
        self, population: Population, runs: Sequence[Run], epoch: int, epochs: int
    ) -> Values:
        """Trains for an epoch; what the logs of `fit` would have of it."""
        self._data, self._validation = on_device(self._data), on_device(self._validation)
        rows = np.stack([self._order(seed, epochs)[epoch] for _, seed in runs])
        x, y, weight = self._data
        logs = population.train_epoch(x, y, rows, batch_size=self._batch_size, sample_weight=weight)
        if self._validation is not None:
            found = population.evaluate(*self._validation, batch_size=self._evaluated)
            logs = {**logs, **{f"val_{name}": values for name, values in found.items()}}
        if self._verbose:
            means = "  ".join(f"{name} {np.mean(values):.4f}" for name, values in logs.items())
            print(f"Epoch {epoch + 1}/{epochs}, {len(runs)} runs: {means} (means)", flush=True)
        return logs

    def _order(self, seed: int, epochs: int) -> np.ndarray:
        """The rows that a run alone would see, epoch by epoch."""
        if not self._shuffle:
            return np.broadcast_to(np.arange(self._examples), (epochs, self._examples))
        if seed not in self._orders or len(self._orders[seed]) < epochs:
            given = self._compile
            self._orders[seed] = fit_order(
                seed,
                self._examples,
                epochs,
                peeks=any(given[k] for k in ("loss", "metrics", "weighted_metrics")),
                validates=self._validation is not None,
            )
        return self._orders[seed]

    def _improved(self, curves: dict[str, list[list[float]]]) -> np.ndarray:
        """Which runs are at the best epoch so far, as Keras's EarlyStopping has it."""
        sign = 1 if self._objective.direction == "max" else -1
        values = sign * np.array(curves[self._objective.name])
        if len(values) == 1:
            return np.ones(len(values[0]), bool)
        with np.errstate(invalid="ignore"):
            return values[-1] > np.fmax.reduce(values[:-1], axis=0, initial=-np.inf)

    def _records(
        self, population: Population, runs: Sequence[Run], curves: Any, seconds: float
    ) -> list[dict[str, Any]]:
        name, sign = self._objective.name, 1 if self._objective.direction == "max" else -1
        values, losses = np.array(curves[name]), np.array(curves["loss"])
        test = sign * np.max(sign * values, axis=0)
        if self._test is not None:
            test = population.evaluate(*self._test, batch_size=_BATCH_SIZE)[
                name.removeprefix("val_")
            ]
        records = []
        for i, (rho, seed) in enumerate(runs):
            ended = bool(np.isfinite(values[:, i]).all() and np.isfinite(losses[:, i]).all())
            records.append(
                {
                    "rho": rho,
                    "seed": seed,
                    "epochs": len(losses),
                    "score": float(np.max(sign * values[:, i])) if ended else None,
                    "test": float(test[i]) if ended else None,
                    "train_loss": float(losses[-1, i]) if ended else None,
                    "parameters": self._parameters,
                    "seconds": round(seconds, 3),
                    "population": len(runs),
                }
            )
        return records

    def _progress(self, runs: Sequence[Run], epochs: int) -> dict[str, Any] | None:
        """What is known of the checkpoint, if it is one of these runs."""
        progress = self._checkpoint.progress()
        if progress is None or progress["epochs"] != epochs:
            return None
        saved = {(rho, seed) for rho, seed in progress["runs"]}
        return progress if set(runs) <= saved else None

    def _check_objective(self, model: SAMModel) -> None:
        x, y, weight = keras.tree.map_structure(
            lambda a: None if a is None else on_device(a[:1]), self._data
        )
        keras_internals.build_from_batch(model, (x, y, weight))
        names = list(model.get_metrics_result())
        if self._validation is not None:
            names += [f"val_{name}" for name in names]
        check_objective(self._objective.name, names)


def _keep(best: Values, population: Population, improved: np.ndarray) -> None:
    """Replaces the states of those members that are at their best; members come first in each."""
    if not improved.any():
        return
    for name, value in population.states().items():
        if name in best and np.ndim(value):
            best[name][improved] = value[improved]
        else:
            best[name] = value
