"""The learning rate over a run: constant, step or cosine, after an optional warm-up."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from recipes.running.config import RunConfig


@keras.saving.register_keras_serializable(package="recipes")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of the step `t` of `total_steps` T.

        lr(t) = peak * min(1, t / warmup_steps) * shape(t)
        constant:  shape(t) = 1
        step:      shape(t) = decay^(number of milestones m with t >= round(m T))
        cosine:    shape(t) = (1 + cos(pi (t - warmup_steps) / (T - warmup_steps))) / 2

    Args:
        peak: The highest learning rate.
        total_steps: Steps of the whole run, T.
        schedule: "constant", "step" or "cosine". Defaults to "step".
        milestones: Fractions of all steps, for "step". Defaults to none.
        decay: Factor at each milestone. Defaults to 0.1.
        warmup_steps: Steps of linear rise from 0, below `total_steps`. Defaults to 0.

    Raises:
        ValueError: If the warm-up is not shorter than the run, or the schedule is unknown.

    Example:

    >>> schedule = LearningRate(0.1, total_steps=100, schedule="step", milestones=(0.5, 0.75))
    >>> [round(float(schedule(step)), 4) for step in (0, 49, 50, 75)]
    [0.1, 0.1, 0.01, 0.001]

    References: arXiv 2311.17539 (step, cosine); Goyal et al. 2017, arXiv 1706.02677 (warm-up).
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        schedule: str = "step",
        milestones: tuple[float, ...] = (),
        decay: float = 0.1,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        if schedule not in ("constant", "step", "cosine"):
            raise ValueError(
                f"`schedule` must be constant, step or cosine. Received: `schedule={schedule!r}`"
            )
        if warmup_steps >= total_steps:
            raise ValueError(
                f"`warmup_steps` must be below the steps of the run, {total_steps}. "
                f"Received: `warmup_steps={warmup_steps}`"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.schedule = schedule
        self.milestones = tuple(milestones)
        self.decay = decay
        self.warmup_steps = warmup_steps

    @classmethod
    def of_run(cls, config: RunConfig, steps_per_epoch: int) -> LearningRate:
        """The learning rate that a config asks for."""
        return cls(
            config.learning_rate,
            config.epochs * steps_per_epoch,
            config.schedule,
            config.milestones,
            config.decay,
            config.warmup_steps,
        )

    def __call__(self, step: Any) -> Any:
        t = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.peak, "float32")
        if self.schedule == "step":
            for milestone in self.milestones:
                rate = rate * ops.where(t >= round(milestone * self.total_steps), self.decay, 1.0)
        elif self.schedule == "cosine":
            progress = (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)
            # (1 + cos x) / 2 as cos^2(x / 2), which keeps its precision where it is small.
            rate = rate * ops.square(ops.cos(math.pi / 2 * ops.clip(progress, 0.0, 1.0)))
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, t / self.warmup_steps)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "schedule": self.schedule,
            "milestones": self.milestones,
            "decay": self.decay,
            "warmup_steps": self.warmup_steps,
        }
