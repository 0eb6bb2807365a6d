"""Every: a perturbation at every k-th update."""

import numbers
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.schedules.radius import check_radius, deserialized, radius_at, serialized


@keras.saving.register_keras_serializable(package="keras_sam")
class Every(LearningRateSchedule):
    """rho at every k-th update, 0 and no second gradient at the others.

        rho(t) = rho if t mod k == 0 else 0        t = 0, 1, ...: the optimizer's updates

    A step costs 1 + 1/k gradients in the mean. Micro-batches of a gradient accumulation belong to
    one update and are treated alike. A larger rho makes up for the rarer perturbations: the authors
    of MosaicML's Composer use 0.5 for k = 10.

    Args:
        rho: The radius, >= 0, or another schedule of it.
        k: The period in updates, an int >= 1. 1 is rho itself.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If rho is negative or not finite, or k is below 1.

    Example:

    >>> schedule = Every(0.5, k=3)
    >>> [float(schedule(step)) for step in range(5)]
    [0.5, 0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, rho: float | LearningRateSchedule, k: int) -> None:
        self.rho: Any = check_radius("rho", rho)
        if isinstance(k, bool) or not isinstance(k, numbers.Integral):
            raise TypeError(f"`k` must be an int. Received: `k={k!r}`")
        if k < 1:
            raise ValueError(f"`k` must be >= 1. Received: `k={k}`")
        self.k: int = int(k)

    def __call__(self, step: Any) -> Any:
        rho = radius_at(self.rho, step)
        is_due = ops.equal(ops.mod(ops.convert_to_tensor(step), self.k), 0)
        return ops.where(is_due, rho, ops.zeros_like(rho))

    def __repr__(self) -> str:
        return f"Every({self.rho!r}, {self.k})"

    def get_config(self) -> dict[str, Any]:
        return {"rho": serialized(self.rho), "k": self.k}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Every":
        return cls(deserialized(config["rho"]), config["k"])
