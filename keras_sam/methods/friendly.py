"""F-SAM (Friendly): what the gradients have in common is taken out of the direction.

    d = g - sigma m,    m = decay m + (1 - decay) g        m is used before g enters it

What is left is this batch's noise: going along it is said to be what makes SAM generalise. At the
first step `m = d = g`.

Source: Li et al. 2024, "Friendly Sharpness-Aware Minimization",
https://arxiv.org/abs/2403.12350, algorithm 1. Reduces to SAM for sigma = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Direction, Gradients, RuleState, zeros_like
from keras_sam.vectors import combine, moving_average


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class Friendly(Direction):
    """`d = g - sigma m`, m the moving average of g; see `friendly`."""

    sigma: float = 1.0
    decay: float = 0.9

    def __post_init__(self) -> None:
        number_in("sigma", self.sigma, 0)
        number_in("decay", self.decay, 0, 1)

    def state(self, weights: Sequence[Any]) -> RuleState:
        return [ops.zeros((), "float32"), *zeros_like(weights)]

    def __call__(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        started, *m = state
        d = combine((1.0, g), (-self.sigma, m), like=g)
        return d, [ops.ones_like(started), *moving_average(m, g, self.decay, started)]


def friendly(sigma: float = 1.0, decay: float = 0.9) -> Method:
    """Perturbs along what is this batch's own: the gradient without the average one.

        d = g - sigma m,    m = decay m + (1 - decay) g

    Args:
        sigma: How much of the average is taken off, >= 0. 0 is SAM. Defaults to 1.0.
        decay: Of the moving average, in [0, 1). Defaults to 0.9.

    Returns:
        A `Method`; two passes a step, the weights once more as state.

    Example:

    >>> rule, g = friendly(decay=0.5).direction, [ops.ones(1)]
    >>> d, state = rule(g, rule.state(g))  # m is 0 before the first step: d = g
    >>> (d,), _ = rule([3 * ops.ones(1)], state)
    >>> float(d[0])  # 3 - 1
    2.0
    """
    return Method(direction=Friendly(sigma, decay))
