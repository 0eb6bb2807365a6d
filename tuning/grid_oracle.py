"""Each point of a grid exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras_tuner


class GridOracle(keras_tuner.Oracle):
    """Hands out the values of one hyperparameter in their order, each exactly once.

    KerasTuner's own GridSearch cannot be resumed (its issue 1055) and orders its points by what has
    ended, which differs with the number of workers.

    Args:
        name: The hyperparameter.
        values: Its values, in the order of the trials.
        **kwargs: The further arguments of `keras_tuner.Oracle`.
    """

    def __init__(self, name: str, values: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.grid = tuple(values)
        self.hyperparameters.Choice(name, list(values))

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        started = {trial.hyperparameters.values[self.name] for trial in self.trials.values()}
        left = [value for value in self.grid if value not in started]
        if not left:
            return {"status": "STOPPED"}
        fixed = {hp.name: hp.default for hp in self.hyperparameters.space if hp.name != self.name}
        return {"status": "RUNNING", "values": {**fixed, self.name: left[0]}}
