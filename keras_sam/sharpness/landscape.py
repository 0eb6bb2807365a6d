"""The loss along lines and planes through weight space."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sam import backend
from keras_sam.loss_function import state_variables
from keras_sam.sharpness.directions import filter_normalized
from keras_sam.sharpness.loss_surface import LossSurface, surface_of
from keras_sam.validation import floats, integer, positive


@dataclasses.dataclass(frozen=True)
class Landscape:
    """The loss on a grid of points.

    Args:
        axes: One array of coordinates for each direction, of shapes (a,), or (a,) and (b,).
        loss: The loss at each point, of shape (a,) or (a, b). NaN and infinity are what they are.
        labels: What each axis measures.
    """

    axes: tuple[np.ndarray, ...]
    loss: np.ndarray
    labels: tuple[str, ...]


def loss_landscape(
    model: Any,
    data: Any = None,
    *,
    dimensions: int = 1,
    radius: float = 1.0,
    points: int = 21,
    seed: int = 0,
    **options: Any,
) -> Landscape:
    """Computes the loss around a model along one or two random filter-normalised directions.

        L(w + a d_1)    or    L(w + a d_1 + b d_2),    -radius <= a, b <= radius

    Each filter of a direction is Gaussian, with the norm of that filter of w, so that landscapes of
    differently scaled networks compare; biases and the parameters of normalisation layers stay
    where they are, and pruned weights stay 0. With the same seed, models of one architecture share
    their directions up to these norms. It takes `points ** dimensions` losses of the data.
    BatchNorm is in inference mode and regularisation losses are included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel; or a `LossSurface`, then no data.
        data: As for `LossSurface`.
        dimensions: 1 or 2 directions. Defaults to 1.
        radius: How far to go, > 0; 1 changes each filter by as much as it is long.
            Defaults to 1.0.
        points: Points along each direction, >= 2; an odd number has w itself among them.
            Defaults to 21.
        seed: Of the directions, an int >= 0. Same seed, same numbers. Defaults to 0.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A `Landscape`, which `plot_landscapes` draws.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range; and as for `LossSurface`.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[2.0]]), np.zeros(1)])
    >>> model.compile(loss="mse")
    >>> landscape = loss_landscape(model, (np.ones((1, 1)), np.zeros((1, 1))), points=3)
    >>> sorted(landscape.loss.tolist())  # (2 - 2)^2, 2^2, (2 + 2)^2
    [0.0, 4.0, 16.0]

    References:
        - Li et al. 2018, https://arxiv.org/abs/1712.09913
    """
    dimensions = integer("dimensions", dimensions, least=1)
    if dimensions > 2:
        raise ValueError(f"`dimensions` must be 1 or 2. Received: `dimensions={dimensions!r}`")
    radius = positive("radius", radius)
    points = integer("points", points, least=2)
    seed = integer("seed", seed, least=0)
    surface = surface_of(model, data, options)
    random = np.random.default_rng(seed)
    directions = [_random_direction(surface, random) for _ in range(dimensions)]
    axis = np.linspace(-radius, radius, points)
    loss = [
        surface.loss(
            surface.weights + sum(a * d for a, d in zip(coordinates, directions, strict=True))
        )
        for coordinates in itertools.product(axis, repeat=dimensions)
    ]
    labels = tuple(f"direction {i + 1}" for i in range(dimensions))
    return Landscape((axis,) * dimensions, np.reshape(loss, (points,) * dimensions), labels)


def loss_between(
    model: keras.Model,
    other: keras.Model,
    data: Any,
    *,
    positions: Sequence[float] | np.ndarray | None = None,
    **options: Any,
) -> Landscape:
    """Computes the loss along the line from one model's weights to another's.

        L((1 - t) w + t w'),    t = 0: model, t = 1: other

    BatchNorm statistics are interpolated as the weights are, and so at both ends are the models'
    own. Where pruning masks differ, a weight counts if either model keeps it. It takes one loss of
    the data for each position. BatchNorm is in inference mode and regularisation losses are
    included, by default.

    Args:
        model: A built and compiled `keras.Model` or SAMModel.
        other: A built model with weights of the same shapes, in the same order.
        data: As for `LossSurface`.
        positions: The values of t. Defaults to 31 from -0.5 to 1.5.
        **options: The keyword arguments of `LossSurface`.

    Returns:
        A `Landscape`, which `plot_landscapes` draws.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the models do not match; if a position is not finite; and as for
            `LossSurface`.

    Example:

    >>> def linear(w):
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    ...     model.set_weights([np.array([[w]])])
    ...     model.compile(loss="mse")
    ...     return model
    >>> data = (np.ones((1, 1)), np.zeros((1, 1)))
    >>> loss_between(linear(1.0), linear(3.0), data, positions=[0.0, 0.5, 1.0]).loss.tolist()
    [1.0, 4.0, 9.0]

    References:
        - Goodfellow, Vinyals and Saxe 2015, https://arxiv.org/abs/1412.6544, section 2
    """
    if positions is None:
        positions = np.linspace(-0.5, 1.5, 31)
    t = floats("positions", positions, least=1)
    if not np.all(np.isfinite(t)):
        raise ValueError(
            "`positions` must be a non-empty sequence of finite numbers. "
            f"Received: `positions={positions!r}`"
        )
    surface = LossSurface(model, data, **options)
    if not isinstance(other, keras.Model) or not other.built:
        raise ValueError(f"`other` must be a built keras.Model. Received: `other={other!r}`")
    pairs = _matched(model, other)
    mask_pairs = _mask_pairs(model, other)

    def loss_at(position: float) -> float:
        moved = {key: (1 - position) * a + position * b for key, (a, b) in pairs.items()}
        moved |= mask_pairs
        values, state = (
            [
                ops.convert_to_tensor(moved[id(v)], dtype=v.dtype) if id(v) in moved else present
                for v, present in zip(variables, presents, strict=True)
            ]
            for variables, presents in (
                (model.trainable_variables, [None] * len(model.trainable_variables)),
                (state_variables(model), surface.state),
            )
        )
        return surface.loss_at(values, state)

    return Landscape((t,), np.array([loss_at(position) for position in t]), ("position",))


def _random_direction(surface: LossSurface, random: np.random.Generator) -> np.ndarray:
    # Drawn for all weights, then cut: models that differ in their masks share directions.
    space = surface.space
    shapes = [array.shape for array in space.unflatten(surface.weights)]
    drawn = space.flatten([random.standard_normal(shape) for shape in shapes])
    arrays = filter_normalized(space.unflatten(drawn), space.unflatten(surface.weights))
    return space.flatten(arrays)


def _matched(model: keras.Model, other: keras.Model) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """From the id of each weight of `model` that takes part to its value and the other's."""
    pairs = {}
    for kind, mine, others in (
        ("trainable weights", model.trainable_variables, other.trainable_variables),
        ("non-trainable weights", _statistics(model), _statistics(other)),
    ):
        shapes = [[tuple(v.shape) for v in variables] for variables in (mine, others)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`other` must have {kind} of the shapes of `model`'s, {shapes[0]}. "
                f"Received: a model with {shapes[1]}"
            )
        for variable, counterpart in zip(mine, others, strict=True):
            pairs[id(variable)] = (_array(variable), _array(counterpart))
    return pairs


def _mask_pairs(model: keras.Model, other: keras.Model) -> dict[int, np.ndarray]:
    """From the id of each mask of `model` to what either model keeps."""
    others = getattr(other, "mask_variables", {})
    names = {
        mine.path: theirs.path
        for mine, theirs in zip(model.trainable_variables, other.trainable_variables, strict=True)
    }
    return {
        id(mask): np.asarray(ops.convert_to_numpy(mask))
        | (
            np.asarray(ops.convert_to_numpy(others[names[path]]))
            if names.get(path) in others
            else True
        )
        for path, mask in getattr(model, "mask_variables", {}).items()
    }


def _statistics(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(backend.read(variable)), np.float64)
