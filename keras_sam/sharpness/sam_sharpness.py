"""Sharpness as SAM defines it: how much the loss rises near the weights."""

from typing import Any

import numpy as np

from keras_sam.perturbation import ETA, NORM_EPSILON
from keras_sam.sharpness.estimate import Estimate
from keras_sam.sharpness.loss_surface import LossSurface, surface_of
from keras_sam.validation import boolean, integer, nonnegative


def sam_sharpness(
    model: Any,
    data: Any = None,
    rho: float = 0.05,
    *,
    steps: int = 1,
    adaptive: bool = False,
    m: int | None = None,
    **options: Any,
) -> float:
    """Estimates the worst-case sharpness of a model's loss, from below.

        max over ||e / T||_2 <= rho of L(w + e) - L(w),    T = 1, or adaptive: T = |w| + 0.01

    by projected gradient ascent from e = 0: each step goes rho along the normalised gradient, in
    the coordinates e / T, and back onto the ball. The first step is the perturbation of SAM, so
    `steps=1` is what SAM minimises; the result is the largest rise seen, and never falls with more
    steps. It takes `steps` gradients of the data and a loss. BatchNorm is in inference mode and
    regularisation losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        rho: The radius, >= 0, in the units of the weights; adaptive: relative to them.
            Defaults to 0.05.
        steps: Steps of ascent, >= 1. Defaults to 1.
        adaptive: Whether the ball is that of ASAM, which rescaling of weights leaves as it is.
            Defaults to `False`.
        m: m-sharpness: each group of m examples, in their order, has a perturbation of its own,
            and the result is the mean over groups, weighted by size. Defaults to `None`: one
            perturbation for all examples.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A float >= 0, in units of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.set_weights([np.array([[1.0]])])
    >>> model.compile(loss="mse")
    >>> round(sam_sharpness(model, (np.ones((1, 1)), np.zeros((1, 1))), rho=0.5), 6)  # 1.5^2 - 1
    1.25

    References:
        - Foret et al. 2021, https://arxiv.org/abs/2010.01412, eq. 1 and section 4.1 (m-sharpness)
        - Kwon et al. 2021, https://arxiv.org/abs/2102.11600, eq. 4 (adaptive)
        - Andriushchenko et al. 2023, https://arxiv.org/abs/2302.07011, section 2
    """
    rho = nonnegative("rho", rho)
    steps = integer("steps", steps, least=1)
    adaptive = boolean("adaptive", adaptive)
    if m is not None:
        m = integer("m", m, least=1)
    surface = surface_of(model, data, options)
    if m is None:
        return _worst_rise(surface, rho, steps, adaptive)
    rises = (share * _worst_rise(group, rho, steps, adaptive) for share, group in surface.groups(m))
    return sum(rises, 0.0)


def average_sharpness(
    model: Any,
    data: Any = None,
    rho: float = 0.05,
    *,
    num_samples: int = 30,
    adaptive: bool = False,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    """Estimates the average-case sharpness of a model's loss.

        E[L(w + e)] - L(w),    e ~ N(0, rho^2 T^2),    T = 1, or adaptive: T = |w| + 0.01

    The norm of e is about rho sqrt(n), not rho; for small rho the value is rho^2 tr(T H T) / 2. A
    sample is the mean over e and -e, in which the slope at w cancels out. It takes
    `2 num_samples + 1` losses of the data. BatchNorm is in inference mode and regularisation
    losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        rho: The standard deviation of each weight's noise, >= 0, in the units of the weights;
            adaptive: relative to them. Defaults to 0.05.
        num_samples: The number of random pairs e and -e, >= 2. Defaults to 30.
        adaptive: Whether the noise is in proportion to T = |w| + 0.01. Defaults to `False`.
        seed: Of the perturbations, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        An `Estimate`: `value`, in units of the loss, and its `standard_error`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range; and as for `LossSurface`.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> data = (np.ones((1, 1)), np.zeros((1, 1)))
    >>> rise = average_sharpness(model, data, rho=0.1, num_samples=1000)
    >>> bool(abs(rise.value - 0.1**2) < 4 * rise.standard_error)
    True

    References:
        - Andriushchenko et al. 2023, https://arxiv.org/abs/2302.07011, section 2
    """
    rho = nonnegative("rho", rho)
    num_samples = integer("num_samples", num_samples, least=2)
    adaptive = boolean("adaptive", adaptive)
    seed = integer("seed", seed, least=0)
    surface = surface_of(model, data, options)
    scale = _scale(surface.weights, adaptive)
    random = np.random.default_rng(seed)
    base = surface.loss()
    rises = []
    for _ in range(num_samples):
        e = rho * scale * random.standard_normal(surface.size)
        rises.append((surface.loss(surface.weights + e) + surface.loss(surface.weights - e)) / 2)
    return Estimate.of(np.array(rises) - base)


def _worst_rise(surface: LossSurface, rho: float, steps: int, adaptive: bool) -> float:
    weights = surface.weights
    scale = _scale(weights, adaptive)
    position = np.zeros(surface.size)  # e / (rho T), within the unit ball.
    base, gradient = surface.gradient()
    highest = base
    for step in range(1, steps + 1):
        slope = scale * gradient
        position = position + slope / (np.linalg.norm(slope) + NORM_EPSILON)
        position = position / max(1.0, float(np.linalg.norm(position)))
        perturbed = weights + rho * scale * position
        if step < steps:
            loss, gradient = surface.gradient(perturbed)
        else:
            loss = surface.loss(perturbed)
        highest = np.maximum(highest, loss)  # Which keeps NaN, as `max` may not.
    return float(highest - base)


def _scale(weights: np.ndarray, adaptive: bool) -> np.ndarray:
    return np.abs(weights) + ETA if adaptive else np.ones_like(weights)
