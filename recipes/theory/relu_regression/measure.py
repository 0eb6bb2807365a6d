"""Trains one-hidden-layer ReLU networks on a few points of a line, as populations."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recipes.running.flags import setting
from recipes.theory.relu_regression.function import (
    Weights,
    evaluate,
    initial,
    kinks,
    largest_eigenvalue,
    loss,
    total_variation,
)
from recipes.theory.training import Member, train
from recipes.theory.validation import require

Array = np.ndarray

TARGETS = ("triangle", "noise")

# Where functions are compared and drawn; and steps that make an epoch of Keras.
GRID = np.linspace(-1, 1, 201)
_STEPS = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run: what its result depends on.

    Args:
        neurons: m.
        rho: Radius of normalised SAM; 0 is gradient descent.
        target: "triangle", y = 1 - 2 |x|, whose f' has a total variation of 4; or "noise",
            y = sin(pi x) + .2 N(0, 1).
        points: Training examples, equally spaced on [-1, 1].
        learning_rate: eta.
        steps: Full-batch steps, a multiple of 500.
        seed: Fixes the initial weights, and the noise.

    Raises:
        ValueError: If a setting is out of range.
    """

    neurons: int = setting(100, "numbers of neurons")
    rho: float = setting(0.0, "radii; 0 is gradient descent")
    target: str = setting("triangle", "the function to learn", TARGETS)
    points: int = setting(12, "number of training examples")
    learning_rate: float = setting(0.05, "eta")
    steps: int = setting(12_000, "steps, each on all examples")
    seed: int = setting(0, "fixes the initial weights")

    def __post_init__(self) -> None:
        require("target", self.target, self.target in TARGETS, f"one of {', '.join(TARGETS)}")
        require("neurons", self.neurons, self.neurons >= 1, ">= 1")
        require("points", self.points, self.points >= 2, ">= 2")
        require("rho", self.rho, np.isfinite(self.rho) and self.rho >= 0, "finite and >= 0")
        eta = self.learning_rate
        require("learning_rate", eta, np.isfinite(eta) and eta > 0, "finite and > 0")
        whole = self.steps >= 1 and self.steps % _STEPS == 0
        require("steps", self.steps, whole, f"a multiple of {_STEPS}")


def data(setting: Setting) -> tuple[Array, Array]:
    """The points x and y, in numbers of float32: as such Keras hands them over."""
    x = np.linspace(-1, 1, setting.points)
    if setting.target == "triangle":
        y = 1 - 2 * np.abs(x)
    else:
        rng = np.random.default_rng([setting.seed, 1])
        y = np.sin(np.pi * x) + 0.2 * rng.normal(size=len(x))
    return x.astype("float32").astype(float), y.astype("float32").astype(float)


def network(neurons: int, seed: int) -> Any:
    """The network as a `keras.Model`."""
    import keras

    dtype = _dtype()
    inputs = keras.Input((1,), dtype=dtype)
    hidden = keras.layers.Dense(neurons, "relu", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(hidden))
    w, b, a, c = initial(neurons, seed)
    model.set_weights([w[None], b, a[:, None], np.array([c])])
    return model


def _dtype() -> str:
    """float64 where the backend has it by default."""
    import keras

    return "float32" if keras.backend.backend() == "jax" else "float64"


def weights_of(model: Any) -> Weights:
    """The weights of a `keras.Model` that `network` made."""
    w, b, a, c = (np.asarray(value, float) for value in model.get_weights())
    return Weights(w[0], b, a[:, 0], float(c[0]))


def measure(settings: Sequence[Setting]) -> Iterator[tuple[Setting, dict[str, Any]]]:
    """Trains all that differ in radius and seed together.

    Yields:
        Each setting with:
        - `loss`: mean (f(x) - y)^2 / 2 of the points.
        - `test`: mean (f(x) - target)^2 on a grid, against the function without noise.
        - `total_variation`, `kinks`: of f' on [-1, 1].
        - `lambda_max`: of the Hessian of the loss.
        - `weights`, `start`: w, b, a, c at the end and at the start; `travelled`: their distance.
        - `function`: f on the grid.
    """
    for _, some in itertools.groupby(sorted(settings, key=_shape), key=_shape):
        group = list(some)
        by_member = {Member(setting.seed, setting.rho): setting for setting in group}
        yield from _train(group[0], by_member)


def _shape(setting: Setting) -> tuple[Any, ...]:
    return dataclasses.astuple(dataclasses.replace(setting, rho=0.0, seed=0))


def _train(
    shared: Setting, by_member: dict[Member, Setting]
) -> Iterator[tuple[Setting, dict[str, Any]]]:
    import keras
    from keras import ops

    def examples(seed: int) -> tuple[Array, Array]:
        x, y = data(dataclasses.replace(shared, seed=seed))
        # All examples are one batch, and an epoch is many steps.
        return np.tile(x, _STEPS)[:, None], np.tile(y, _STEPS)[:, None]

    class HalfSquared(keras.losses.Loss):
        """In the network's dtype: a plain function would be computed in float32."""

        def call(self, y: Any, z: Any) -> Any:
            return ops.mean(ops.square(z - y), axis=-1) / 2

    runs = train(
        lambda seed: network(shared.neurons, seed),
        list(by_member),
        examples,
        lambda: keras.optimizers.SGD(shared.learning_rate),
        HalfSquared(dtype=_dtype()),
        batch_size=shared.points,
        epochs=shared.steps // _STEPS,
        shuffle=False,
    )
    for member, model, _ in runs:
        setting = by_member[member]
        yield setting, measured(setting, weights_of(model))


def measured(setting: Setting, weights: Weights) -> dict[str, Any]:
    """What `measure` yields, from the weights at the end."""
    x, y = data(setting)
    start = initial(setting.neurons, setting.seed).flat()
    truth = 1 - 2 * np.abs(GRID) if setting.target == "triangle" else np.sin(np.pi * GRID)
    function = evaluate(weights, GRID)
    finite = bool(np.isfinite(weights.flat()).all())
    return {
        "loss": loss(weights, x, y),
        "test": float(np.mean((function - truth) ** 2)),
        "total_variation": total_variation(weights) if finite else np.nan,
        "kinks": kinks(weights) if finite else np.nan,
        "lambda_max": largest_eigenvalue(weights, x, y) if finite else np.nan,
        "travelled": float(np.linalg.norm(weights.flat() - start)),
        "weights": weights.flat().tolist(),
        "function": function.tolist(),
    }
