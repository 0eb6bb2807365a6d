"""GSAM: descends along the perturbed gradient, and rises along what of the plain one is across it.

    h = g' - alpha (g - (g . g' / ||g'||^2) g')

The second term lowers the surrogate gap L(w + e) - L(w) without changing L(w + e) to first order.
Its authors let rho follow the learning rate: `rho=Follow(learning_rate, rho_min, rho_max)`.

Source: Zhuang et al. 2022, "Surrogate Gap Minimization Improves Sharpness-Aware Training",
https://arxiv.org/abs/2203.08065, algorithm 1. Reduces to SAM for alpha = 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Descent, Gradients, RuleState
from keras_sam.vectors import combine, dot, unit


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class GSAM(Descent):
    """`h = g' - alpha (g - (g . g' / ||g'||^2) g')`; see `gsam`."""

    alpha: float = 0.4
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number_in("alpha", self.alpha, 0)

    def perturbed(
        self, g: Gradients, g_perturbed: Gradients, state: RuleState
    ) -> tuple[Gradients, RuleState]:
        along = unit(g_perturbed)
        across = combine((1.0, g), (-dot(g, along), along), like=g)
        return combine((1.0, g_perturbed), (-self.alpha, across), like=g_perturbed), state


def gsam(alpha: float = 0.4) -> Method:
    """SAM that also shrinks the gap between the perturbed and the plain loss.

        h = g' - alpha (g - (g . g' / ||g'||^2) g')

    Args:
        alpha: How much of the plain gradient's part across the perturbed one is taken off, >= 0.
            0 is SAM. Defaults to 0.4; 0.6 was used for vision transformers.

    Returns:
        A `Method`; two passes a step, no state.

    Example:

    >>> g, g_perturbed = [keras.ops.array([1.0, 1.0])], [keras.ops.array([2.0, 0.0])]
    >>> (h,), _ = gsam(0.5).descent.perturbed(g, g_perturbed, [])
    >>> [round(float(value), 6) for value in h]  # (2, 0) - 0.5 * (0, 1)
    [2.0, -0.5]
    """
    return Method(descent=GSAM(alpha))
