"""What a model logs of the ascent if it is asked to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_sam.with_method import WithMethod

NAMES = ("gradient_norm", "perturbation_norm", "ascent")


class AscentLog(WithMethod):
    """Adds three metrics to a trainer: means over the training steps of an epoch."""

    _ascent_means: Sequence[keras.metrics.Mean] = ()
    _evaluates = False

    @property
    def log_ascent(self) -> bool:
        return bool(self._ascent_means)

    def watch_ascent(self) -> None:
        """Makes the metrics."""
        self._ascent_means = [keras.metrics.Mean(name=name) for name in NAMES]

    def update_ascent(self, values: Sequence[Any], skipped: Any) -> None:
        for mean, value in zip(self._ascent_means, values, strict=True):
            if skipped is not False:
                value = ops.where(skipped, ops.zeros_like(value), value)
            mean.update_state(value, sample_weight=1.0 - ops.cast(skipped, mean.dtype))

    @property
    def metrics(self) -> list[keras.Metric]:
        metrics = super().metrics
        if self._evaluates:
            hidden = {id(mean) for mean in self._ascent_means}
            metrics = [metric for metric in metrics if id(metric) not in hidden]
        return metrics

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`."""
        with self._evaluation():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`."""
        with self._evaluation():
            return super().test_on_batch(*args, **kwargs)

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        self._evaluates = True
        try:
            yield
        finally:
            self._evaluates = False
