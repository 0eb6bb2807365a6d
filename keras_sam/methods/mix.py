"""Mix: a weighted mean of the plain and the perturbed gradient.

    h = (1 - alpha) g + alpha g'

To first order the gradient of L + alpha rho ||dL/dw||, a penalty on the gradient's norm. Weighted
SAM (WSAM, coupled), h = g + c / (1 - c) (g' - g), is `mix(c / (1 - c))`.

Sources: Zhao et al. 2022, "Penalizing Gradient Norm for Efficiently Improving Generalization in
Deep Learning", https://arxiv.org/abs/2202.03599, algorithm 1; Yue et al. 2023, "Sharpness-Aware
Minimization Revisited: Weighted Sharpness as a Regularization Term",
https://arxiv.org/abs/2305.15817. Reduces to SAM for alpha = 1, to the plain optimizer for 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras

from keras_sam.methods.arguments import number_in
from keras_sam.methods.method import Method
from keras_sam.methods.rules import Descent, Gradients, RuleState
from keras_sam.vectors import combine


@keras.saving.register_keras_serializable(package="keras_sam")
@dataclass(frozen=True)
class Mix(Descent):
    """`h = (1 - alpha) g + alpha g'`; see `mix`."""

    alpha: float = 0.8
    mixes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number_in("alpha", self.alpha, 0)

    def perturbed(
        self, g: Gradients, g_perturbed: Gradients, state: RuleState
    ) -> tuple[Gradients, RuleState]:
        h = combine((1 - self.alpha, g), (self.alpha, g_perturbed), like=g_perturbed)
        return h, state


def mix(alpha: float = 0.8) -> Method:
    """Penalises the norm of the gradient; coupled WSAM is `mix(c / (1 - c))`.

        h = (1 - alpha) g + alpha g'

    Args:
        alpha: The share of the perturbed gradient, >= 0. 1 is SAM, 0 the plain optimizer; above 1
            sharpness weighs more than in SAM. Defaults to 0.8.

    Returns:
        A `Method`; two passes a step, no state.

    Example:

    >>> (h,), _ = mix(0.75).descent.perturbed([keras.ops.ones(1)], [3 * keras.ops.ones(1)], [])
    >>> float(h[0])  # 0.25 * 1 + 0.75 * 3
    2.5
    """
    return Method(descent=Mix(alpha))
