"""A rho that can be changed between runs without tracing the training step again."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="recipes")
class Radius(keras.optimizers.schedules.LearningRateSchedule):
    """A constant rho that is held in a variable, for many runs of one compiled SAMModel.

    It costs two passes at every value, 0 included, which SAMModel skips for the plain number 0.

    Args:
        rho: The radius, >= 0.

    Example:

    >>> radius = Radius(0.05)
    >>> radius.assign(0.2)
    >>> round(float(radius(0)), 2)
    0.2
    """

    def __init__(self, rho: float) -> None:
        super().__init__()
        self.variable = keras.Variable(rho, dtype="float32", trainable=False, name="rho")

    def assign(self, rho: float) -> None:
        """Sets the radius from the next step on."""
        self.variable.assign(rho)

    def __call__(self, step: Any) -> Any:
        return ops.convert_to_tensor(self.variable)

    def get_config(self) -> dict[str, Any]:
        return {"rho": float(ops.convert_to_numpy(self.variable))}
