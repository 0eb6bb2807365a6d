"""One run, from its checkpoint to its record."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recipes.files import write_atomically
from recipes.running.checkpoint import Checkpoint
from recipes.running.config import RunConfig
from recipes.running.metric import Metric
from recipes.running.recipe import read_config
from recipes.running.records import DIVERGED, FINISHED, Record, summarize
from recipes.running.runtime import Runtime
from recipes.running.training import Training

if TYPE_CHECKING:
    import keras


class Run:
    """Keeps the state and the curves of a training, so that it can go on after any epoch.

    Args:
        config: The settings.
        folder: The run's own folder.
        runtime: How to carry it out.
        training: What trains, at its start; it is brought to where the checkpoint was.
        metric: What selects an epoch.

    Raises:
        ValueError: If the folder holds a checkpoint of other settings.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: pathlib.Path,
        runtime: Runtime,
        training: Training,
        metric: Metric,
    ) -> None:
        self.config = config
        self.folder = folder
        self.runtime = runtime
        self.training = training
        self.metric = metric
        self.checkpoint = Checkpoint(folder / "checkpoint.npz")
        self.checkpoint.clean()
        for left in folder.glob(".model.*.keras"):  # Of a process that was killed.
            left.unlink(missing_ok=True)
        self.curves: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._restore()

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.curves.get("loss", []))

    def fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains until the last epoch, the early stop or divergence."""
        if self.epoch < self.config.epochs and not self.stopped():
            self.training.fit(self, callbacks)

    def end_epoch(self, logs: Mapping[str, float], seconds: float) -> None:
        """Adds an epoch to the curves and saves the state."""
        for key, value in logs.items():
            self.curves.setdefault(key, []).append(float(value))
        self.seconds += seconds
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
        scores = [self.metric.score(value) for value in self.curves[f"val_{self.metric.name}"]]
        return len(scores) - 1 - scores.index(max(scores)) >= patience

    def record(self) -> Record:
        """The finished run's record."""
        diverged = not math.isfinite(self.curves["loss"][-1])
        began = time.monotonic()
        train = {} if diverged else dict(self.training.train_metrics())
        if self.runtime.save_model and not diverged:
            self._save_model()
        self.seconds += time.monotonic() - began
        named = summarize(self.curves, self.metric)
        if diverged:
            named["selected"] = named["best_test"] = {}
        return Record(
            config=self.config,
            environment=self.runtime.environment(self.training.replicas),
            metric=self.metric,
            parameters=self.training.parameters,
            kept_parameters=self.training.kept_parameters,
            status=DIVERGED if diverged else FINISHED,
            curves=self.curves,
            train=train,
            seconds=round(self.seconds, 3),
            **named,
        )

    def _save(self) -> None:
        progress = {
            "config": self.config.to_dict(),
            "curves": self.curves,
            "seconds": self.seconds,
        }
        self.checkpoint.save(self.training.variables, progress, self.training.state())
        self._saved = time.monotonic()

    def _restore(self) -> None:
        self._saved = time.monotonic()
        progress = self.checkpoint.progress()
        if progress is None:
            return
        differences = read_config(progress["config"]).differences(self.config)
        if differences:
            changed = ", ".join(f"{k}: {old} -> {new}" for k, (old, new) in differences.items())
            raise ValueError(
                f"{self.checkpoint.path} is of a run with other settings. Received: {changed}"
            )
        self.training.restore(self.checkpoint.restore(self.training.variables))
        self.curves = progress["curves"]
        self.seconds = progress["seconds"]

    def _save_model(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".model.{os.getpid()}.keras"
        self.training.save(temporary)
        os.replace(temporary, self.folder / "model.keras")

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self.curves])
        for epoch, row in enumerate(zip(*self.curves.values(), strict=True), start=1):
            writer.writerow([epoch, *row])
        return text.getvalue()
