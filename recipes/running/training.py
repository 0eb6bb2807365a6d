"""What a run carries out: the interface between a run and whatever trains."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from recipes.running.config import RunConfig
from recipes.running.runtime import Runtime

if TYPE_CHECKING:
    import keras


class Progress(Protocol):
    """What training sees of its run.

    Attributes:
        config: The run's settings.
        runtime: How to carry it out.
        folder: The run's folder, for logs.
    """

    config: RunConfig
    runtime: Runtime
    folder: pathlib.Path

    @property
    def epoch(self) -> int:
        """Number of finished epochs: where to begin."""

    def end_epoch(self, logs: Mapping[str, float], seconds: float) -> None:
        """Takes in what an epoch came to, and saves the state of training.

        Args:
            logs: `loss`, the metric, and both again with `val_` and `test_` before the name.
            seconds: What the epoch took, evaluation included.
        """

    def stopped(self) -> bool:
        """Whether training is over before its last epoch."""


class Training(abc.ABC):
    """Something that trains epoch after epoch and can go on from any of them.

    A run restores `variables` and `state` to where they were after an epoch, and calls `fit`.

    Attributes:
        variables: Everything that training changes and Keras holds.
        parameters: Number of trainable weights.
        kept_parameters: Those that are not pruned.
        replicas: Devices that share a batch.
    """

    variables: Sequence[keras.Variable]
    parameters: int
    kept_parameters: int
    replicas: int = 1

    @abc.abstractmethod
    def fit(self, run: Progress, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Trains from epoch `run.epoch` to `run.config.epochs`, or until `run.stopped()`.

        After each epoch it calls `run.end_epoch`.
        """

    @abc.abstractmethod
    def train_metrics(self) -> Mapping[str, float]:
        """`loss` and the metric of the final weights on training data."""

    @abc.abstractmethod
    def save(self, path: pathlib.Path) -> None:
        """Writes the trained network, a `.keras` file."""

    def state(self) -> Mapping[str, Any]:
        """What training depends on besides `variables`: plain data and NumPy arrays, by name."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a `state`; to be defined where there is one."""
        if state:
            raise NotImplementedError(f"{type(self).__name__} has a state and no `restore`.")
