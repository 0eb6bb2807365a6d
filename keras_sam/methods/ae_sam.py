"""AE-SAM: SAM where the loss is sharp, told by the gradient's norm; the plain optimizer elsewhere.

    rho where s >= mu + c sd, else 0        s = ||g||^2
    mu = decay mu + (1 - decay) s           sd^2 = decay sd^2 + (1 - decay) (s - mu)^2

mu and sd are brought up to date first; at the first step `mu = s`, `sd = 0`, and SAM is used. With
c = 0 about half of the steps are SAM's. The authors let c fall from 1 to -1 over the training,
which makes SAM rare at first and frequent at the end; here c stays as it is.

Source: Jiang et al. 2023, "An Adaptive Policy to Employ Sharpness-Aware Minimization",
https://arxiv.org/abs/2304.14647, section 3. Reduces to SAM for c = -inf, to the plain optimizer for
c = inf. With `looksam` (`ae_sam() | looksam()`) it is their AE-LookSAM.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import ops

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Gradients, Radius, RuleState
from keras_sam.schedules import Every
from keras_sam.vectors import moving_average, norm, scalar, wide_dtype


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class WhereSharp(Radius):
    """rho where `||g||^2 >= mu + c sd`, else 0; see `ae_sam`."""

    c: float = 0.0
    decay: float = 0.9
    switches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number_in("c", self.c, -math.inf, math.inf, "[]")
        number_in("decay", self.decay, 0, 1)

    def state(self, weights: Sequence[Any]) -> RuleState:
        wide = {wide_dtype(w.dtype) for w in weights}
        dtype = "float64" if "float64" in wide else "float32"
        return [ops.zeros((), dtype) for _ in ("started", "mean", "variance")]

    def __call__(self, rho: Any, g: Gradients, state: RuleState) -> tuple[Any, RuleState]:
        started, mean, variance = state
        square = ops.cast(norm(g) ** 2, mean.dtype)
        (new_mean,) = moving_average([mean], [square], self.decay, started)
        deviation = (square - new_mean) ** 2
        # Not `moving_average`, whose start is the first value: that of the variance is 0.
        new_variance = self.decay * variance + (1 - self.decay) * deviation
        # A gradient whose square overflows is sharp, and no part of the statistics.
        is_finite = ops.isfinite(new_variance)
        is_sharp = square >= new_mean + self.c * ops.sqrt(new_variance)
        is_sharp = ops.logical_or(is_sharp, ops.logical_not(is_finite))
        if math.isinf(self.c):  # Infinity times a deviation of 0 is NaN.
            is_sharp = ops.full_like(is_sharp, self.c < 0)
        rho = scalar(rho, wide_dtype(mean.dtype))
        new = [ops.ones_like(started), new_mean, new_variance]
        state = [ops.where(is_finite, n, o) for n, o in zip(new, state, strict=True)]
        return ops.where(is_sharp, rho, ops.zeros_like(rho)), state

    def check(self, setting: Any) -> None:
        if isinstance(setting.rho, Every):
            raise ValueError(
                "`rho` must not be an Every with ae_sam, which itself decides at which steps there "
                f"is a perturbation. Received: `rho={setting.rho!r}`, `method={setting.method!r}`"
            )


def ae_sam(c: float = 0.0, decay: float = 0.9) -> Method:
    """SAM at steps where the gradient is large for its time, the plain optimizer at the others.

        rho where ||g||^2 >= mu + c sd, else 0

    Args:
        c: How many standard deviations above its mean the squared norm must be. The larger, the
            fewer steps are SAM's; -inf is SAM, inf the plain optimizer. Defaults to 0.0.
        decay: Of the moving mean and variance, in [0, 1). Defaults to 0.9.

    Returns:
        A `Method`; one to two passes a step, three scalars as state.

    Example:

    >>> rule = ae_sam(c=1.0, decay=0.5).radius
    >>> _, state = rule(0.1, [ops.ones(1)], rule.state([ops.ones(1)]))
    >>> for g in (3.0, 1.0):  # 9 >= 5 + sqrt(8); 1 < 3 + sqrt(6)
    ...     rho, state = rule(0.1, [g * ops.ones(1)], state)
    ...     print(round(float(rho), 6))
    0.1
    0.0
    """
    return Method(radius=WhereSharp(c, decay))
