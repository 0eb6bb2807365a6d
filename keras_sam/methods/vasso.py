"""VaSSO: the direction is a moving average of the gradients, with less of a batch's noise in it.

    d = (1 - theta) d + theta g

The opposite of F-SAM, which perturbs along the noise alone. At the first step `d = g`.

Source: Li and Giannakis 2023, "Enhancing Sharpness-Aware Optimization Through Variance
Suppression", https://arxiv.org/abs/2309.15639, eq. 5. Reduces to SAM for theta = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Direction, Gradients, RuleState, zeros_like
from keras_sam.vectors import moving_average


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class MovingAverage(Direction):
    """`d = (1 - theta) d + theta g`; see `vasso`."""

    theta: float = 0.9

    def __post_init__(self) -> None:
        number_in("theta", self.theta, 0, 1, "(]")

    def state(self, weights: Sequence[Any]) -> RuleState:
        return [ops.zeros((), "float32"), *zeros_like(weights)]

    def __call__(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        started, *old = state
        new = moving_average(old, g, 1 - self.theta, started)
        d = [None if g_w is None else d_w for g_w, d_w in zip(g, new, strict=True)]
        return d, [ops.ones_like(started), *new]


def vasso(theta: float = 0.9) -> Method:
    """Perturbs along the moving average of the gradients (variance-suppressed SAM).

        d = (1 - theta) d + theta g

    Args:
        theta: The share of the present gradient, in (0, 1]. 1 is SAM. Defaults to 0.9; 0.4 was used
            too, under label noise.

    Returns:
        A `Method`; two passes a step, the weights once more as state.

    Example:

    >>> rule, g = vasso(0.25).direction, [ops.ones(1)]
    >>> _, state = rule(g, rule.state(g))
    >>> (d,), _ = rule([3 * ops.ones(1)], state)
    >>> float(d[0])  # 0.75 * 1 + 0.25 * 3
    1.5
    """
    return Method(direction=MovingAverage(theta))
