"""The algorithm: the gradient of Sharpness-Aware Minimization, with nothing mutated.

    loss, aux, g  = value_and_grad(w)
    e             = perturbation(w, g, rho)
    _,    _,   g' = value_and_grad(w + e)          (its aux is dropped)

Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
algorithm 1. The optimizer then applies `g'` to `w`, which was never touched.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras_sam.perturbation import Perturbation

Tensor = Any
Gradients = list[Tensor | None]
ValueAndGrad = Callable[[Sequence[Tensor]], tuple[tuple[Tensor, Any], Gradients]]


def sam_gradient(
    value_and_grad: ValueAndGrad,
    weights: Sequence[Tensor],
    rho: Any,
    perturbation: Perturbation,
    prepare: Callable[[Gradients], Gradients] = list,
) -> tuple[tuple[Tensor, Any], Gradients]:
    """Value and auxiliary output at `w`, gradient at `w + e`.

    Args:
        value_and_grad: `weights -> ((loss, aux), gradients)`.
        weights: The weights `w`, a list of tensors.
        rho: The radius: a number, or a scalar tensor. The number 0 is the plain gradient in one
            pass; a tensor always takes two.
        perturbation: A function of `keras_sam.perturbation`.
        prepare: What is done to the ascent gradient before it becomes a perturbation: undoing the
            loss scale, averaging over replicas. Defaults to nothing.

    Returns:
        `((loss, aux), gradients)`: loss and aux are those of the clean pass.

    Example:

    >>> from keras import ops
    >>> from keras_sam.perturbation import normalized
    >>> def parabola(w):  # L(w) = w^2
    ...     return (w[0] ** 2, None), [2.0 * w[0]]
    >>> (loss, _), (g,) = sam_gradient(parabola, [ops.ones(1)], 0.5, normalized)
    >>> float(loss[0]), float(g[0])  # 2 * (1 + 0.5)
    (1.0, 3.0)
    """
    value, gradients = value_and_grad(weights)
    if isinstance(rho, int | float) and rho == 0:
        return value, gradients
    e = perturbation(weights, prepare(gradients), rho)
    _, gradients = value_and_grad(
        [w if e_w is None else w + e_w for w, e_w in zip(weights, e, strict=True)]
    )
    return value, gradients
