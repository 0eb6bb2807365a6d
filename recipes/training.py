"""Training: build, prune, fit, evaluate, record. One path for every recipe.

A run is resumed by starting it again: after each epoch everything that the rest depends on
(weights, optimizer, random states, curves) goes into one file that is replaced as a whole, and what
the data look like in an epoch follows from the seed and the epoch's number alone. A finished run is
not run again: its record is returned.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import functools
import io
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sam import SAMModel, optimizers, sparsity
from recipes import datasets, networks
from recipes.checkpoint import Checkpoint
from recipes.config import RunConfig
from recipes.datasets import Data
from recipes.files import write_atomically
from recipes.learning_rate import LearningRate
from recipes.lock import locked
from recipes.progress import ProgressBar
from recipes.radius import Radius
from recipes.records import (
    DIVERGED,
    FINISHED,
    Record,
    append_record,
    find_record,
    summarize,
)
from recipes.runtime import Runtime, scope

# Compiled models that are kept for the next run: one with SAM, one without.
_MODELS_KEPT = 2
# Datasets that are kept for the next run with the same seed, and the size up to which they are.
_DATASETS_KEPT, _KEPT_BYTES = 8, 50_000_000
# Numbers in an evaluation set up to which it is one batch.
_ONE_BATCH = 250_000

_DATA_SETTINGS = (
    *("dataset", "batch_size", "validation_split", "seed", "data_seed"),
    *("label_noise", "noise_kind", "take"),
)


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
    config = RunConfig(dataset="digits", network="mlp", width=4, rho=0.05, epochs=10)
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
        self._compiled: collections.OrderedDict[str, _Compiled] = collections.OrderedDict()
        self._datasets: collections.OrderedDict[str, Data] = collections.OrderedDict()

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
            return finished
        with locked(folder, wait):
            if wait:
                finished = find_record(config, *path.parent.glob("records*.jsonl"))
                if finished is not None:
                    return finished
            run = _Run(config, folder, self)
            run.fit(callbacks)
            record = run.record()
            append_record(path, record)
            run.checkpoint.remove()
        return record

    def data(self, config: RunConfig) -> Data:
        """The data of a run; small ones are kept for the next run that needs the same."""
        changes = {name: getattr(config, name) for name in _DATA_SETTINGS}
        key = json.dumps(changes)
        if key not in self._datasets:
            data = load_data(config)
            if data.train_examples * math.prod(data.input_shape) > _KEPT_BYTES:
                return data
            self._datasets[key] = dataclasses.replace(
                data,
                train=functools.cache(data.train),
                validation=_in_one_batch(data.validation, data.validation_examples),
                test=_in_one_batch(data.test, data.test_examples),
            )
            while len(self._datasets) > _DATASETS_KEPT:
                self._datasets.popitem(last=False)
        return self._datasets[key]

    def compiled(self, config: RunConfig, data: Data) -> _Compiled:
        """A model for these settings, with its weights and its optimizer as at the start."""
        shared = config.replace(seed=0, rho=float(config.rho > 0), label_noise=0.0)
        key = json.dumps(shared.to_dict(), sort_keys=True)
        if key in self._compiled:
            self._compiled.move_to_end(key)
            self._compiled[key].reset(config, data)
        else:
            self._compiled[key] = _Compiled(config, data, self.runtime, self._strategy)
            while len(self._compiled) > _MODELS_KEPT:
                self._compiled.popitem(last=False)
        return self._compiled[key]


class _Compiled:
    """A SAMModel that is built and compiled for all runs that differ in seed and rho alone."""

    def __init__(self, config: RunConfig, data: Data, runtime: Runtime, strategy: Any) -> None:
        steps = data.steps_per_epoch
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        with scope(strategy):
            self.network = build_network(config, data)
            self.radius = Radius(config.rho) if config.rho > 0 else None
            self.sam = SAMModel(
                self.network,
                0.0 if self.radius is None else self.radius,
                config.num_batch_splits,
                normalize=config.normalize,
                adaptive=config.adaptive,
                sync_perturbation=config.sync_perturbation,
            )
            if self.radius is not None:
                # Part of the model's state, or JAX would compile in the radius of the first run.
                self.sam.radius = self.radius.variable
            self.sam.compile(
                build_optimizer(config, steps),
                build_loss(),
                metrics=["accuracy"],
                steps_per_execution=runtime.steps(steps, self.replicas),
                jit_compile="auto" if runtime.jit is None else runtime.jit,
            )
            self._prune(config, data)
            self.sam.optimizer.build(self.sam.trainable_variables)
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
        fresh = build_network(config, data)
        for variable, start in zip(self.network.variables, fresh.variables, strict=True):
            variable.assign(start)
        for variable, value in zip(
            self.sam.optimizer.variables, self._optimizer_start, strict=True
        ):
            variable.assign(value)
        self._prune(config, data)

    def _prune(self, config: RunConfig, data: Data) -> None:
        if config.sparsity > 0:
            batch = next(iter(data.train(0)))
            self.sam.masks = sparsity.prune(
                self.network,
                config.sparsity,
                score=config.pruner,
                data=tuple(keras.ops.convert_to_numpy(part) for part in batch),
                loss=build_loss(),
                seed=config.seed,
            )


class _Run:
    """One run, from its checkpoint to its record."""

    def __init__(self, config: RunConfig, folder: pathlib.Path, trainer: Trainer) -> None:
        keras.utils.set_random_seed(config.seed)  # For whatever has no seed of its own.
        self.config = config
        self.folder = folder
        self.runtime = trainer.runtime
        self.data = trainer.data(config)
        self.model = trainer.compiled(config, self.data)
        self.checkpoint = Checkpoint(folder / "checkpoint.npz")
        self.curves: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._restore()

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.curves.get("loss", []))

    def fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains until the last epoch, the early stop or divergence."""
        config, sam = self.config, self.model.sam
        if self.epoch >= config.epochs or self.stopped():
            return
        watchers: list[keras.callbacks.Callback] = [_EpochEnd(self)]
        if self.runtime.tensorboard:
            logs = str(self.folder / "tensorboard")
            watchers.append(keras.callbacks.TensorBoard(logs, write_graph=False))
        if self.runtime.progress:
            watchers.append(ProgressBar(config.epochs))
        sam.fit(
            self.data.train(self.epoch),
            initial_epoch=self.epoch,
            epochs=config.epochs,
            steps_per_epoch=self.data.steps_per_epoch,
            callbacks=[*watchers, *callbacks],
            shuffle=False,  # The data come in the order that the seed asks for.
            verbose=0,
        )

    def end_epoch(self, logs: dict[str, float], seconds: float) -> None:
        """Evaluates after an epoch, adds to the curves and saves the state."""
        sam = self.model.sam
        rate = float(keras.ops.convert_to_numpy(sam.optimizer.learning_rate))
        began = time.monotonic()
        for name, dataset in (("val", self.data.validation), ("test", self.data.test)):
            metrics = sam.evaluate(dataset, verbose=0, return_dict=True)
            logs.update({f"{name}_{key}": value for key, value in metrics.items()})
        for key, value in {**logs, "learning_rate": rate}.items():
            self.curves.setdefault(key, []).append(float(value))
        self.seconds += seconds + time.monotonic() - began
        if time.monotonic() - self._saved >= self.runtime.checkpoint_seconds:
            self._save()
        if self.runtime.csv:
            write_atomically(self.folder / "curves.csv", self._csv().encode())

    def stopped(self) -> bool:
        """Whether training has come to its end before the last epoch."""
        if not self.curves:
            return False
        if not math.isfinite(self.curves["loss"][-1]):
            return True
        patience = self.config.patience
        if patience is None:
            return False
        accuracy = self.curves["val_accuracy"]
        return len(accuracy) - 1 - int(np.argmax(accuracy)) >= patience

    def record(self) -> Record:
        """The finished run's record."""
        sam = self.model.sam
        diverged = not math.isfinite(self.curves["loss"][-1])
        began = time.monotonic()
        train: dict[str, float] = {}
        if not diverged:
            train = sam.evaluate(
                self.data.train(self.config.epochs),
                steps=self.data.steps_per_epoch,
                verbose=0,
                return_dict=True,
            )
        if self.runtime.save_model and not diverged:
            self._save_model()
        self.seconds += time.monotonic() - began
        total = sum(math.prod(v.shape) for v in sam.trainable_variables)
        pruned = sum(int((~mask).sum()) for mask in sam.masks.values())
        named = summarize(self.curves)
        if diverged:
            named["selected"] = named["best_test"] = {}
        return Record(
            config=self.config,
            environment=self.runtime.environment(self.model.replicas),
            parameters=total,
            kept_parameters=total - pruned,
            status=DIVERGED if diverged else FINISHED,
            curves=self.curves,
            train=train,
            seconds=round(self.seconds, 3),
            **named,
        )

    def _save(self) -> None:
        self.checkpoint.save(
            self.model.variables,
            {"config": self.config.to_dict(), "curves": self.curves, "seconds": self.seconds},
        )
        self._saved = time.monotonic()

    def _restore(self) -> None:
        self._saved = time.monotonic()
        state = self.checkpoint.state()
        if state is None:
            return
        differences = RunConfig.from_dict(state["config"]).differences(self.config)
        if differences:
            changed = ", ".join(f"{k}: {old} -> {new}" for k, (old, new) in differences.items())
            raise ValueError(
                f"{self.checkpoint.path} is of a run with other settings. Received: {changed}"
            )
        self.checkpoint.restore(self.model.variables)
        self.curves = state["curves"]
        self.seconds = state["seconds"]

    def _save_model(self) -> None:
        temporary = self.folder / f".model.{os.getpid()}.keras"
        self.model.network.save(temporary)
        os.replace(temporary, self.folder / "model.keras")

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self.curves])
        for epoch, row in enumerate(zip(*self.curves.values(), strict=True), start=1):
            writer.writerow([epoch, *row])
        return text.getvalue()


class _EpochEnd(keras.callbacks.Callback):
    """Tells a run that an epoch is over; what it adds to the logs, later callbacks see."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self.run = run
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.run.end_epoch(logs, time.monotonic() - self._began)
        if self.run.stopped():
            self.model.stop_training = True


def build_network(config: RunConfig, data: Data) -> keras.Model:
    """The plain network of a run, with the initial weights of its seed.

    Raises:
        ValueError: If the network is unknown.
    """
    shapes: dict[str, Any] = {"input_shape": data.input_shape, "classes": data.classes}
    shapes |= {"seed": config.seed, **config.network_options}
    with _mixed_precision(config.mixed_precision):
        match config.network:
            case "mlp":
                return networks.mlp(config.width, **shapes)
            case "resnet18":
                return networks.resnet18(_whole(config.width), **shapes)
            case "resnet50":
                return networks.resnet50(_whole(config.width), **shapes)
            case "vit":
                return networks.vit(_whole(config.width), **shapes)
    raise ValueError(
        "`network` must be one of mlp, resnet18, resnet50, vit. "
        f"Received: `network={config.network!r}`"
    )


def build_optimizer(config: RunConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run, with its learning rate over time."""
    rate = LearningRate.of_run(config, steps_per_epoch)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    if config.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    return optimizers.SGD(rate, config.momentum, weight_decay=config.weight_decay or None)


def build_loss() -> keras.losses.Loss:
    """Cross-entropy of logits and integer labels."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def load_data(config: RunConfig) -> Data:
    """The data of a run.

    Raises:
        ValueError: If the dataset is unknown, or not there.
    """
    known: dict[str, Callable[..., Data]] = {
        "digits": datasets.digits,
        "mnist": datasets.mnist,
        "cifar10": datasets.cifar10,
        "imagenet2012": datasets.imagenet2012,
    }
    if config.dataset not in known:
        raise ValueError(
            f"`dataset` must be one of {', '.join(known)}. Received: `dataset={config.dataset!r}`"
        )
    return known[config.dataset](
        config.batch_size,
        validation_split=config.validation_split,
        seed=config.seed,
        data_seed=config.seed if config.data_seed is None else config.data_seed,
        label_noise=config.label_noise,
        noise_kind=config.noise_kind,
        take=config.take,
    )


def _in_one_batch(dataset: Any, examples: int) -> Any:
    """A few small examples as one batch in memory: making an iterator is what costs time then."""
    if examples * math.prod(dataset.element_spec[0].shape[1:]) > _ONE_BATCH:
        return dataset
    batch = tuple(np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True))
    return tf.data.Dataset.from_tensors(batch).with_options(dataset.options())


def _whole(width: float) -> int:
    if not width.is_integer():
        raise ValueError(f"`width` must be a whole number here. Received: `width={width}`")
    return int(width)


@contextlib.contextmanager
def _mixed_precision(dtype: str | None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if dtype is None else f"mixed_{dtype}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
