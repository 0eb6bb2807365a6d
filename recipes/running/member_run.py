"""A run that is one of several trained together."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recipes.running.config import RunConfig
from recipes.running.recipe import find
from recipes.running.records import Record
from recipes.running.run import Run
from recipes.running.runtime import Runtime
from recipes.running.training import Progress, Training

if TYPE_CHECKING:
    import keras


class MemberRun(Run):
    """Keeps the curves of a member; its weights are the population's affair.

    Args:
        config: The settings.
        folder: The population's folder.
        runtime: How runs are carried out.
        parameters: Number of trainable weights.
        kept_parameters: Those that are not pruned.
        members: How many are trained together.

    Attributes:
        final: `loss` and the metric on training data, once the member has ended.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: pathlib.Path,
        runtime: Runtime,
        parameters: int,
        kept_parameters: int,
        members: int,
    ) -> None:
        training = _Member(self, parameters, kept_parameters)
        super().__init__(config, folder, runtime, training, find(config.recipe).metric)
        self._members = members
        self.final: Mapping[str, float] = {}

    def record(self) -> Record:
        """The finished run's record, which says that others were trained with it."""
        record = super().record()
        return dataclasses.replace(
            record, environment={**record.environment, "population": self._members}
        )

    def progress(self) -> dict[str, Any]:
        """Plain data that `resume` goes on from."""
        return {"curves": self.curves, "seconds": self.seconds, "final": dict(self.final)}

    def resume(self, progress: Mapping[str, Any]) -> None:
        """Goes back to where `progress` was called."""
        self.curves, self.seconds = progress["curves"], progress["seconds"]
        self.final = progress["final"]

    def _save(self) -> None:
        """Nothing is saved: the population is."""

    def _restore(self) -> None:
        self._saved = math.inf


class _Member(Training):
    """What a run knows of the training that others carry out."""

    variables: Sequence[keras.Variable] = ()

    def __init__(self, run: MemberRun, parameters: int, kept_parameters: int) -> None:
        self.parameters, self.kept_parameters = parameters, kept_parameters
        self._run = run

    def fit(self, run: Progress, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        raise NotImplementedError("A member is trained with the others.")

    def train_metrics(self) -> Mapping[str, float]:
        return self._run.final

    def save(self, path: pathlib.Path) -> None:
        raise NotImplementedError("Runs whose network is kept are trained one by one.")
