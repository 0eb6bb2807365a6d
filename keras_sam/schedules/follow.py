"""Follow: rho between two values, as the learning rate is between its own."""

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.validation import nonnegative


@keras.saving.register_keras_serializable(package="keras_sam")
class Follow(LearningRateSchedule):
    """rho in proportion to where the learning rate is in its range.

        rho(t) = rho_min + (rho_max - rho_min) (lr(t) - lr_min) / (lr_max - lr_min)

    GSAM's authors let rho fall with the learning rate. Outside of its range the learning rate
    counts as the nearer end.

    Args:
        learning_rate: The schedule that the optimizer has.
        rho_min: rho where the learning rate is `lr_min`, >= 0.
        rho_max: rho where the learning rate is `lr_max`, >= 0.
        lr_min: The learning rate's lowest value, >= 0. Defaults to 0.0.
        lr_max: Its highest. Defaults to `None`: the schedule's `warmup_target`, where it has one,
            or its `initial_learning_rate`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is negative or not finite, or the learning rate's range is empty or
            unknown.

    Example:

    >>> learning_rate = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0)
    >>> schedule = Follow(learning_rate, rho_min=0.2, rho_max=0.6)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10)]
    [0.6, 0.4, 0.2]

    References:
        - Zhuang et al. 2022, https://arxiv.org/abs/2203.08065, section 4
    """

    def __init__(
        self,
        learning_rate: LearningRateSchedule,
        rho_min: float,
        rho_max: float,
        lr_min: float = 0.0,
        lr_max: float | None = None,
    ) -> None:
        if not isinstance(learning_rate, LearningRateSchedule):
            raise TypeError(
                "`learning_rate` must be a keras.optimizers.schedules.LearningRateSchedule. "
                f"Received: `learning_rate={learning_rate!r}`"
            )
        if lr_max is None:
            lr_max = getattr(learning_rate, "warmup_target", None)
        if lr_max is None:
            lr_max = getattr(learning_rate, "initial_learning_rate", None)
        if lr_max is None:
            raise ValueError(
                "`lr_max` must be given for a schedule that has no `initial_learning_rate`. "
                f"Received: `lr_max=None`, `learning_rate={learning_rate!r}`"
            )
        self.learning_rate: Any = learning_rate
        self.rho_min: float = nonnegative("rho_min", rho_min)
        self.rho_max: float = nonnegative("rho_max", rho_max)
        self.lr_min: float = nonnegative("lr_min", lr_min)
        self.lr_max: float = nonnegative("lr_max", lr_max, " or None")
        if not self.lr_min < self.lr_max:
            raise ValueError(
                "`lr_min` must be below `lr_max`. "
                f"Received: `lr_min={self.lr_min}`, `lr_max={self.lr_max}`"
            )

    def __call__(self, step: Any) -> Any:
        rate = ops.cast(self.learning_rate(step), keras.config.floatx())
        share = ops.clip((rate - self.lr_min) / (self.lr_max - self.lr_min), 0.0, 1.0)
        return self.rho_min + (self.rho_max - self.rho_min) * share

    def __repr__(self) -> str:
        return f"Follow({self.learning_rate!r}, {self.rho_min}, {self.rho_max})"

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": keras.saving.serialize_keras_object(self.learning_rate),
            "rho_min": self.rho_min,
            "rho_max": self.rho_max,
            "lr_min": self.lr_min,
            "lr_max": self.lr_max,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Follow":
        learning_rate = keras.saving.deserialize_keras_object(config["learning_rate"])
        return cls(**{**config, "learning_rate": learning_rate})
