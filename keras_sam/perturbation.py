"""From a direction, the gradient as a rule, to the ascent step `e` of Sharpness-Aware Minimization.

Every function here, and every geometry of `keras_sam.methods`, has one signature,

    perturbation(weights, gradients, rho) -> e

with lists of tensors that run in parallel, `rho` a number or a scalar tensor, and `e` such that the
descent gradient is taken at `w + e`. A gradient of `None` (a weight that the loss does not use)
gives an `e` of `None`.

    normalized               e = rho * g / (||g||_2 + 1e-12)
    unnormalized             e = rho * g
    adaptive                 e = rho * T^2 g / (||T g||_2 + 1e-12)        T = |w| + eta
    adaptive_unnormalized    e = rho * T^2 g

The norm is one over all weights together, accumulated in float32 (float64 for float64 weights), and
right where its square would overflow or vanish.

Sources: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
eq. 2 (normalized); Andriushchenko and Flammarion 2022, "Towards Understanding Sharpness-Aware
Minimization", section 2 (unnormalized); Kwon et al. 2021, "ASAM", eq. 6 (adaptive).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_sam import vectors
from keras_sam.vectors import inverse, plain_norm, rescaled, scalar, wide, wide_dtype

Tensor = Any
Vector = vectors.Vector
Perturbation = Callable[[Sequence[Tensor], Sequence[Tensor | None], Any], Vector]

NORM_EPSILON = vectors.EPSILON
ETA = 0.01  # Kwon et al. 2021: keeps T away from 0 for weights that are 0.

global_norm = vectors.norm


def perturbation(
    normalize: bool = True,
    adaptive: bool = False,
    eta: float = ETA,
    scaled: Sequence[bool] | None = None,
) -> Perturbation:
    """Returns the perturbation function for SAMModel's switches.

    Args:
        normalize: Divide by the global norm. Defaults to `True`.
        adaptive: Scale by `T = |w| + eta`, elementwise (ASAM). Defaults to `False`.
        eta: The summand of `T`, >= 0. Defaults to 0.01.
        scaled: For each weight whether `T` applies to it; elsewhere `T = 1`. Defaults to `None`,
            all weights.

    Returns:
        A function as described at the top of this module.

    Example:

    >>> from keras import ops
    >>> ascent = perturbation(normalize=True)
    >>> (e,) = ascent([ops.zeros(2)], [ops.convert_to_tensor([3.0, 4.0])], rho=0.5)
    >>> [round(float(value), 6) for value in e]
    [0.3, 0.4]
    """
    if not adaptive:
        return normalized if normalize else unnormalized
    function = adaptive_normalized if normalize else adaptive_unnormalized
    return functools.partial(function, eta=eta, scaled=scaled)


def normalized(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any) -> Vector:
    """`e = rho * g / (||g||_2 + 1e-12)`."""
    g, power = rescaled(gradients)
    return _scaled(g, gradients, rho, inverse(plain_norm(g), power))


def unnormalized(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], rho: Any) -> Vector:
    """`e = rho * g`."""
    return _scaled(gradients, gradients, rho)


def adaptive_normalized(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    rho: Any,
    eta: float = ETA,
    scaled: Sequence[bool] | None = None,
) -> Vector:
    """`e = rho * T^2 g / (||T g||_2 + 1e-12)`, with `T = |w| + eta`."""
    g, power = rescaled(gradients)  # T g may overflow where g does not.
    once, further_power = rescaled(_times_scale(weights, g, eta, scaled))
    twice = _times_scale(weights, once, eta, scaled)
    return _scaled(twice, gradients, rho, inverse(plain_norm(once), power * further_power))


def adaptive_unnormalized(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    rho: Any,
    eta: float = ETA,
    scaled: Sequence[bool] | None = None,
) -> Vector:
    """`e = rho * T^2 g`, with `T = |w| + eta`."""
    twice = _times_scale(weights, _times_scale(weights, gradients, eta, scaled), eta, scaled)
    return _scaled(twice, gradients, rho)


def _times_scale(
    weights: Sequence[Tensor],
    tensors: Sequence[Tensor | None],
    eta: float,
    scaled: Sequence[bool] | None,
) -> Vector:
    scaled = [True] * len(weights) if scaled is None else scaled
    result: Vector = []
    for w, t, is_scaled in zip(weights, tensors, scaled, strict=True):
        if t is None:
            result.append(None)
        else:
            result.append((ops.abs(wide(w)) + eta) * wide(t) if is_scaled else wide(t))
    return result


def _scaled(
    directions: Sequence[Tensor | None],
    like: Sequence[Tensor | None],
    rho: Any,
    factor: Tensor | None = None,
) -> Vector:
    """`rho * factor * d`, in the dtypes of `like`."""
    if factor is not None:
        rho = scalar(rho, wide_dtype(factor.dtype)) * factor
    return [
        None
        if d is None or g is None
        else ops.cast(wide(d) * scalar(rho, wide_dtype(d.dtype)), g.dtype)
        for d, g in zip(directions, like, strict=True)
    ]
