"""From gradients to the ascent step `e` of Sharpness-Aware Minimization.

Every function here has one signature,

    perturbation(weights, gradients, rho) -> e

with lists of tensors that run in parallel, `rho` a number or a scalar tensor, and `e` such that the
descent gradient is taken at `w + e`. A gradient of `None` (a weight that the loss does not use)
gives an `e` of `None`.

    normalized               e = rho * g / (||g||_2 + 1e-12)
    unnormalized             e = rho * g
    adaptive                 e = rho * T^2 g / (||T g||_2 + 1e-12)        T = |w| + eta
    adaptive_unnormalized    e = rho * T^2 g

The norm is one over all weights together, accumulated in float32 (float64 for float64 weights).

Sources: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
eq. 2 (normalized); Andriushchenko and Flammarion 2022, "Towards Understanding Sharpness-Aware
Minimization", section 2 (unnormalized); Kwon et al. 2021, "ASAM", eq. 6 (adaptive).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
Perturbation = Callable[[Sequence[Tensor], Sequence[Tensor | None], Any], list[Tensor | None]]

NORM_EPSILON = 1e-12
ETA = 0.01  # Kwon et al. 2021: keeps T away from 0 for weights that are 0.


def perturbation(normalize: bool = True, adaptive: bool = False) -> Perturbation:
    """Returns the perturbation function for SAMModel's two switches.

    Args:
        normalize: Divide by the global norm. Defaults to `True`.
        adaptive: Scale by `T = |w| + eta`, elementwise (ASAM). Defaults to `False`.

    Returns:
        One of the functions of this module.

    Example:

    >>> from keras import ops
    >>> ascent = perturbation(normalize=True)
    >>> (e,) = ascent([ops.zeros(2)], [ops.convert_to_tensor([3.0, 4.0])], rho=0.5)
    >>> [round(float(value), 6) for value in e]
    [0.3, 0.4]
    """
    if adaptive:
        return adaptive_normalized if normalize else adaptive_unnormalized
    return normalized if normalize else unnormalized


def normalized(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any
) -> list[Tensor | None]:
    """`e = rho * g / (||g||_2 + 1e-12)`."""
    return _scaled(gradients, gradients, rho, 1.0 / (global_norm(gradients) + NORM_EPSILON))


def unnormalized(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any
) -> list[Tensor | None]:
    """`e = rho * g`."""
    return _scaled(gradients, gradients, rho, 1.0)


def adaptive_normalized(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any
) -> list[Tensor | None]:
    """`e = rho * T^2 g / (||T g||_2 + 1e-12)`, with `T = |w| + eta`."""
    once = _times_scale(weights, gradients)
    twice = _times_scale(weights, once)
    return _scaled(twice, gradients, rho, 1.0 / (global_norm(once) + NORM_EPSILON))


def adaptive_unnormalized(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any
) -> list[Tensor | None]:
    """`e = rho * T^2 g`, with `T = |w| + eta`."""
    twice = _times_scale(weights, _times_scale(weights, gradients))
    return _scaled(twice, gradients, rho, 1.0)


def global_norm(tensors: Sequence[Tensor | None]) -> Tensor:
    """The l2 norm of all tensors together: `sqrt(sum_i ||t_i||^2)`.

    Args:
        tensors: Tensors of any shapes; `None` counts as zero.

    Returns:
        A scalar, float32 unless a tensor is float64.
    """
    squares = [ops.sum(ops.square(_wide(t))) for t in tensors if t is not None]
    return ops.sqrt(sum(squares[1:], squares[0])) if squares else ops.zeros(())


def _times_scale(
    weights: Sequence[Tensor], tensors: Sequence[Tensor | None]
) -> list[Tensor | None]:
    return [
        None if t is None else (ops.abs(_wide(w)) + ETA) * _wide(t)
        for w, t in zip(weights, tensors, strict=True)
    ]


def _scaled(
    directions: Sequence[Tensor | None], like: Sequence[Tensor | None], rho: Any, factor: Any
) -> list[Tensor | None]:
    return [
        None
        if d is None or g is None
        else ops.cast(_wide(d) * ops.cast(rho * factor, _wide_dtype(d)), g.dtype)
        for d, g in zip(directions, like, strict=True)
    ]


def _wide(tensor: Tensor) -> Tensor:
    return ops.cast(tensor, _wide_dtype(tensor))


def _wide_dtype(tensor: Tensor) -> str:
    return keras.backend.result_type(tensor.dtype, "float32")
