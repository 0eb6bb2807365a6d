"""MSAM: the direction is that of the momentum, which is known before the step: one pass.

    d = -v,    g' = dL/dw at w + e,    v = decay v + g'        v_0 = 0

The weights are about to move along -v anyway; the gradient is taken that far ahead, as Nesterov's
method does, but rho far instead of a learning rate. A rho of about 3 is a good start, many times
SAM's.

Source: Becker et al. 2024, "Momentum-SAM: Sharpness Aware Minimization without Computational
Overhead", https://arxiv.org/abs/2401.12033, algorithm 1. With `normalize=False` and rho = learning
rate * decay it is, under SGD with that momentum, Nesterov's momentum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Descent, Direction, Gradients, Radius, RuleState, zeros_like
from keras_sam.vectors import combine


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class Momentum(Direction):
    """`d = -v`, v the momentum; see `msam`."""

    decay: float = 0.9
    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        number_in("decay", self.decay, 0, 1)

    def state(self, weights: Sequence[Any]) -> RuleState:
        return zeros_like(weights)

    def __call__(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        return combine((-1.0, state), like=state), state

    def after(self, g: Gradients, state: RuleState) -> RuleState:
        return combine((self.decay, state), (1.0, g), like=state)

    def check(self, setting: Any) -> None:
        method = setting.method
        refused = {
            "`ascent_steps` must be 1": setting.ascent_steps > 1,
            "`num_batch_splits` must be None": setting.num_batch_splits is not None,
            "`log_ascent` must be False": setting.log_ascent,
            "`method.radius` must be that of SAM": method.radius != Radius(),
            "`method.descent` must be that of SAM": method.descent != Descent(),
        }
        for rule, is_broken in refused.items():
            if is_broken:
                raise ValueError(
                    f"{rule} with msam, which computes no gradient and no loss at the weights "
                    "themselves: its only pass is at w + e, and e is the same for every example. "
                    f"Received: {setting}"
                )


def msam(decay: float = 0.9) -> Method:
    """SAM along the momentum: one pass a step.

        d = -v,    g' = dL/dw at w + e,    v = decay v + g'

    Logs and batch statistics are those at `w + e`: there is no other pass. The momentum is a state
    of its own, whatever the optimizer's is.

    Args:
        decay: Of the momentum, in [0, 1). 0 is the last step's gradient. Defaults to 0.9.

    Returns:
        A `Method`; one pass a step, the weights once more as state.

    Example:

    >>> from keras import ops
    >>> rule = msam(decay=0.5).direction
    >>> (v,) = rule.after([ops.ones(1)], [2 * ops.ones(1)])
    >>> float(v[0]), float(rule([], [v])[0][0][0])  # 0.5 * 2 + 1, and against it
    (2.0, -2.0)
    """
    return Method(direction=Momentum(decay))
