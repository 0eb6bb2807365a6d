"""Late: a perturbation in the last part of the training alone."""

import numbers
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_sam.schedules.radius import check_radius, deserialized, radius_at, serialized


@keras.saving.register_keras_serializable(package="keras_sam")
class Late(LearningRateSchedule):
    """0 before an update, rho from then on.

        rho(t) = rho if t >= start else 0        t = 0, 1, ...: the optimizer's updates

    The last epochs of SAM are said to give nearly all that SAM gives (Zhou et al. 2025).

    Args:
        rho: The radius, >= 0, or another schedule of it.
        start: The first update with a perturbation, an int >= 0; or, with `total`, the share of the
            training that is done by then, a float in [0, 1].
        total: The number of updates of the training, an int >= 1. Defaults to `None`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If rho is negative or not finite, `start` or `total` out of range.

    Example:

    >>> [float(Late(0.5, start=2)(step)) for step in range(4)]
    [0.0, 0.0, 0.5, 0.5]
    >>> Late(0.05, start=0.9, total=20 * 469)  # the last tenth of 20 epochs of 469 batches
    Late(0.05, 8442)

    References:
        - Zhou et al. 2025, https://arxiv.org/abs/2410.10373
    """

    def __init__(
        self, rho: float | LearningRateSchedule, start: float, total: int | None = None
    ) -> None:
        self.rho: Any = check_radius("rho", rho)
        self.start: int = _first_step(start, total)

    def __call__(self, step: Any) -> Any:
        rho = radius_at(self.rho, step)
        has_begun = ops.greater_equal(ops.convert_to_tensor(step), self.start)
        return ops.where(has_begun, rho, ops.zeros_like(rho))

    def __repr__(self) -> str:
        return f"Late({self.rho!r}, {self.start})"

    def get_config(self) -> dict[str, Any]:
        return {"rho": serialized(self.rho), "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Late":
        return cls(deserialized(config["rho"]), config["start"])


def _first_step(start: Any, total: Any) -> int:
    if total is None:
        if isinstance(start, bool) or not isinstance(start, numbers.Integral):
            raise TypeError(
                "`start` must be an int, the number of an update, or a share of the training with "
                f"`total`, the number of its updates. Received: `start={start!r}`, `total=None`"
            )
        if start < 0:
            raise ValueError(f"`start` must be >= 0. Received: `start={start}`")
        return int(start)
    if isinstance(total, bool) or not isinstance(total, numbers.Integral):
        raise TypeError(f"`total` must be an int or None. Received: `total={total!r}`")
    if total < 1:
        raise ValueError(f"`total` must be >= 1. Received: `total={total}`")
    if isinstance(start, bool) or not isinstance(start, numbers.Real):
        raise TypeError(f"`start` must be a number. Received: `start={start!r}`")
    if not 0 <= float(start) <= 1:
        raise ValueError(
            "`start` must be in [0, 1], a share of the training, where `total` is given. "
            f"Received: `start={start}`, `total={total}`"
        )
    return round(float(start) * int(total))
