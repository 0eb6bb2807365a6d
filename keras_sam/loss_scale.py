"""Loss scales, and overflows that must be seen on all replicas and in both passes."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_sam.backend import dense

Tensor = Any
Gradients = list[Tensor | None]


def times(tensor: Tensor, factor: Any) -> Tensor:
    """The product in the tensor's dtype; no operation where the factor is the number 1."""
    if isinstance(factor, int | float) and factor == 1:
        return tensor
    return tensor * ops.cast(factor, tensor.dtype)


def overflow(gradients: Sequence[Tensor | None]) -> Tensor:
    """1.0 if any gradient is not finite, else 0.0."""
    finite = [ops.all(ops.isfinite(dense(g))) for g in gradients if g is not None]
    return 1.0 - ops.cast(ops.all(ops.stack(finite)), "float32")


def spoil(gradients: Sequence[Tensor | None], overflow: Tensor) -> Gradients:
    """Makes the gradients NaN if one of either pass overflowed, on any replica.

    LossScaleOptimizer then skips the step. It looks at the descent gradients of the first replica
    only, which may be finite although the perturbation, or another replica, is not.
    """
    penalty = ops.where(overflow > 0.0, float("nan"), 0.0)
    return [None if g is None else dense(g) + ops.cast(penalty, g.dtype) for g in gradients]
