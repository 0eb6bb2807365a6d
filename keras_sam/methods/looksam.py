"""LookSAM: SAM at every k-th step, its direction remembered in between, for little more than SGD.

    rho > 0:   h = g',  u = v / ||v||,  v = g' - (g . g' / ||g||^2) g
    rho = 0:   h = g + alpha ||g|| u

The part of SAM's gradient that is across the plain one changes slowly: u stands in for it while no
second pass is made. Which steps make one is rho's affair: `rho=Every(rho, k)`. All weights together
are one vector here, as in the paper.

Source: Liu et al. 2022, "Towards Efficient and Scalable Sharpness-Aware Minimization",
https://arxiv.org/abs/2203.02714, algorithm 1. Reduces to SAM where rho is never 0, to SAM at every
k-th step for alpha = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import ops

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Descent, Gradients, RuleState, zeros_like
from keras_sam.vectors import combine, dot, norm, plain_unit, unit, wide_dtype

PRECISION = {"float32": 2.0**-23, "float64": 2.0**-52}


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class LookSAM(Descent):
    """`h = g'`, which sets `u`, or `h = g + alpha ||g|| u`; see `looksam`."""

    alpha: float = 0.7
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number_in("alpha", self.alpha, 0)

    def state(self, weights: Sequence[Any]) -> RuleState:
        return zeros_like(weights)

    def perturbed(
        self, g: Gradients, g_perturbed: Gradients, state: RuleState
    ) -> tuple[Gradients, RuleState]:
        along = unit(g)
        across = combine((1.0, g_perturbed), (-dot(g_perturbed, along), along), like=g_perturbed)
        # Of two parallel gradients rounding remains, which is no direction.
        share = norm(across) / norm(g_perturbed)
        is_direction = ops.cast(share > 16 * PRECISION[wide_dtype(share.dtype)], share.dtype)
        u = combine((is_direction, unit(across)), like=g_perturbed)
        return g_perturbed, [old if new is None else new for old, new in zip(state, u, strict=True)]

    def plain(self, g: Gradients, state: RuleState) -> tuple[Gradients, RuleState]:
        # The mean of several replicas' or splits' directions is shorter than 1: a unit again.
        u = plain_unit(state)
        return combine((1.0, g), (self.alpha * norm(g), u), like=g), combine((1.0, u), like=state)


def looksam(alpha: float = 0.7) -> Method:
    """SAM at the steps that rho says, and what it learned there at the others.

        rho > 0:   h = g',  u = v / ||v||,  v = g' - (g . g' / ||g||^2) g
        rho = 0:   h = g + alpha ||g|| u

    Its k is that of `rho=Every(rho, k)`, 5 or 10 in the paper; with a rho that is never 0 it is SAM
    at the cost of SAM.

    Args:
        alpha: How much of the remembered direction is added, in lengths of the gradient, >= 0.
            0 is SAM at every k-th step and the plain optimizer between. Defaults to 0.7.

    Returns:
        A `Method`; `1 + 1/k` passes a step, the weights once more as state.

    Example:

    >>> from keras import ops
    >>> rule, g = looksam(0.5).descent, [ops.array([2.0, 0.0])]
    >>> _, u = rule.perturbed(g, [ops.array([2.0, 1.0])], rule.state(g))
    >>> (h,), _ = rule.plain(g, u)
    >>> [round(float(value), 6) for value in h]  # (2, 0) + 0.5 * 2 * (0, 1)
    [2.0, 1.0]
    """
    return Method(descent=LookSAM(alpha))
