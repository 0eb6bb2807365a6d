"""Carries out runs: what is finished is not run again, what was interrupted goes on.

A run is resumed by starting it again: after each epoch everything that the rest depends on
(weights, optimizer, random states, curves) goes into one file that is replaced as a whole, and what
the data look like in an epoch follows from the seed and the epoch's number alone. A finished run is
not run again: its record is returned.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Sequence

import keras

from recipes.datasets.arrays import ArrayData
from recipes.datasets.data import Data
from recipes.running import parts
from recipes.running.checkpoint import Checkpoint
from recipes.running.compiled import Compiled
from recipes.running.config import RunConfig
from recipes.running.fit import Fit
from recipes.running.lock import locked
from recipes.running.recipe import find
from recipes.running.records import Record, append_record, find_record
from recipes.running.run import Run
from recipes.running.runtime import Runtime
from recipes.running.training import Training
from recipes.seeding import set_seed

# Compiled models that are kept for the next run: one with SAM, one without.
_MODELS_KEPT = 2
# Datasets that are kept for the next run with the same seed, and the size up to which they are.
_DATASETS_KEPT, _KEPT_BYTES = 8, 50_000_000


def train(
    config: RunConfig,
    folder: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Record:
    """Carries out a run, from its beginning or from where it was interrupted.

    Args:
        config: The settings.
        folder: The run's own folder, for its checkpoint and what else `runtime` asks for. The
            record goes to `records.jsonl` beside the folder.
        runtime: How to run it. Defaults to `Runtime()`.
        callbacks: Further Keras callbacks. Defaults to none.

    Returns:
        The record; if the run was finished before, the one that exists.

    Raises:
        RuntimeError: If another process is at work in the folder.
        ValueError: If the folder holds a checkpoint of other settings.

    Example:

    ```python
    config = RunConfig(recipe="digits", width=4, rho=0.05, epochs=10)
    record = train(config, "runs/example/width=4")
    print(record.selected["test_accuracy"])
    ```
    """
    return Trainer(runtime).train(config, folder, callbacks=callbacks)


class Trainer:
    """Carries out runs one after the other; those that differ in seed and rho share one trace.

    Each run ends exactly as if it had been carried out alone.

    Args:
        runtime: How to run them. Defaults to `Runtime()`.
    """

    def __init__(self, runtime: Runtime | None = None) -> None:
        self.runtime = runtime or Runtime()
        self.runtime.prepare()
        self._strategy = self.runtime.strategy()
        self._compiled: collections.OrderedDict[str, Compiled] = collections.OrderedDict()
        self._datasets: collections.OrderedDict[str, Data] = collections.OrderedDict()

    @property
    def is_distributed(self) -> bool:
        """Whether several devices share a batch."""
        return self._strategy is not None or keras.distribution.distribution() is not None

    def train(
        self,
        config: RunConfig,
        folder: str | os.PathLike[str],
        *,
        records: str | os.PathLike[str] | None = None,
        wait: bool = False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> Record:
        """As the function `train`.

        Args:
            config: The settings.
            folder: The run's own folder.
            records: The file to append the record to. Defaults to `records.jsonl` beside the
                folder; a finished run is looked for in all `records*.jsonl` there.
            wait: Whether to wait for another process that is at this run, and to return its record.
                Defaults to `False`.
            callbacks: Further Keras callbacks. Defaults to none.
        """
        folder = pathlib.Path(folder)
        path = pathlib.Path(records) if records is not None else folder.parent / "records.jsonl"
        finished = find_record(config, *path.parent.glob("records*.jsonl"))
        if finished is not None:
            _clean(folder)
            return finished
        with locked(folder, wait):
            if wait:
                finished = find_record(config, *path.parent.glob("records*.jsonl"))
                if finished is not None:
                    return finished
            metric = find(config.recipe).metric
            run = Run(config, folder, self.runtime, self.training(config), metric)
            run.fit(callbacks)
            record = run.record()
            append_record(path, record)
            run.checkpoint.remove()
        return record

    def training(self, config: RunConfig) -> Training:
        """What trains a run, at its start."""
        set_seed(config.seed)  # For whatever has no seed of its own.
        own = find(config.recipe).training
        if own is not None:
            return own(config, self.runtime)
        data = self.data(config)
        return Fit(config, data, self.compiled(config, data))

    def data(self, config: RunConfig) -> Data:
        """The data of a run; small ones are kept for the next run that needs the same."""
        settings = [config.recipe, dict(config.options), dataclasses.asdict(config.split)]
        key = json.dumps(settings, sort_keys=True)
        if key not in self._datasets:
            data = parts.load_data(config)
            size = data.train_examples * math.prod(data.input_shape)
            if not isinstance(data, ArrayData) or size > _KEPT_BYTES:
                return data
            self._datasets[key] = data
            while len(self._datasets) > _DATASETS_KEPT:
                self._datasets.popitem(last=False)
        return self._datasets[key]

    def compiled(self, config: RunConfig, data: Data) -> Compiled:
        """A model for these settings, with its weights and its optimizer as at the start."""
        shared = config.replace(seed=0, rho=float(config.rho > 0), label_noise=0.0)
        key = json.dumps(shared.to_dict(), sort_keys=True)
        if key in self._compiled:
            self._compiled.move_to_end(key)
            self._compiled[key].reset(config, data)
        else:
            self._compiled[key] = Compiled(config, data, self.runtime, self._strategy)
            while len(self._compiled) > _MODELS_KEPT:
                self._compiled.popitem(last=False)
        return self._compiled[key]


def _clean(folder: pathlib.Path) -> None:
    """Removes the checkpoint of a finished run, whose process was killed before it could."""
    if (folder / "checkpoint.npz").exists():
        with contextlib.suppress(RuntimeError), locked(folder):
            Checkpoint(folder / "checkpoint.npz").remove()
