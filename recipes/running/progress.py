"""Progress of a run: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recipes.running.metric import ACCURACY, Metric


class ProgressBar(keras.callbacks.Callback):
    """Shows the epoch, the metrics and the time left.

    Where the output is no terminal, a line is printed at most every `seconds`.

    Args:
        epochs: Epochs of the run.
        metric: What is shown besides the loss. Defaults to accuracy.
        seconds: Least time between two lines, in seconds. Defaults to 10.
    """

    def __init__(self, epochs: int, metric: Metric = ACCURACY, seconds: float = 10.0) -> None:
        super().__init__()
        self.epochs = epochs
        self.metric = metric
        self.seconds = seconds
        self._printed = time.monotonic()
        self._started: tuple[int, float] | None = None
        self._bar: Progress | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._started is not None:
            return
        self._started = (epoch, time.monotonic())
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=Console(),
            )
            self._task = self._bar.add_task("", total=self.epochs, completed=epoch)
            self._bar.start()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        name = self.metric.name
        shown = ("loss", name, f"val_{name}", f"test_{name}")
        text = "  ".join(f"{name} {logs[name]:.4f}" for name in shown if name in (logs or {}))
        if self._bar is not None:
            self._bar.update(self._task, completed=epoch + 1, description=text)
        elif time.monotonic() - self._printed >= self.seconds:
            self._printed = time.monotonic()
            print(f"epoch {epoch + 1}/{self.epochs}  {text}  {self._left(epoch)}", flush=True)

    def on_train_end(self, logs: Any = None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _left(self, epoch: int) -> str:
        assert self._started is not None
        first, began = self._started
        seconds = (time.monotonic() - began) / (epoch + 1 - first) * (self.epochs - epoch - 1)
        return f"{seconds:.0f} s left"
