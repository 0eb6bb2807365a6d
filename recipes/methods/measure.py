"""One run of `recipes.methods`: its curves, and what an epoch of training takes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from recipes.methods.setting import Setting


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains at each of the settings, one after the other.

    Yields:
        The setting and, of its run:

        - `validation`, `test`: the metric after each epoch.
        - `selected`: the epoch that validation selects, from 1; NaN if the run diverged.
        - `metric`: its name, direction and whether it is shown in percent.
        - `diverged`: whether the training loss ceased to be finite.
        - `epoch_seconds`: what an epoch of training took, evaluation left out, the median.
        - `train_loss`: of the final weights.
        - `parameters`: number of trainable weights.
    """
    from recipes.running.recipe import find
    from recipes.running.runtime import Runtime
    from recipes.running.trainer import Trainer

    trainer = Trainer(Runtime(progress=False, checkpoint_seconds=1e9))
    for setting in settings:
        metric = find(setting.recipe).metric
        clock = _clock()
        with tempfile.TemporaryDirectory() as folder:
            record = trainer.train(setting.config, f"{folder}/run", callbacks=[clock])
        yield (
            setting,
            {
                "validation": record.curves[f"val_{metric.name}"],
                "test": record.curves[f"test_{metric.name}"],
                "selected": record.selected.get("epoch", math.nan),
                "metric": metric.to_dict(),
                "diverged": record.status != "finished",
                "epoch_seconds": clock.median(),
                "train_loss": record.train.get("loss", math.nan),
                "parameters": record.parameters,
            },
        )


def _clock() -> Any:
    """A Keras callback that measures epochs; `--help` need not wait for Keras."""
    import statistics
    import time

    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._began = self._last = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._last = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(self._last - self._began)

        def median(self) -> float:
            # The first epoch compiles.
            return statistics.median(self.seconds[1:] or self.seconds)

    return Clock()
